"""SavedModels that answer which version they are, so that an answer and the version it claims can be compared.

    serving_default     x [-1, 1] float -> y = x + N, v = N       (N is the version; a row for each row of x)
    total               x float, any shape -> y = sum of x, v = N (much to send, little to answer)
    classify            serialized tf.Examples with x -> scores = x + N

TensorFlow makes one of them; the others are that one with another number in its graph, written in a millisecond.
"""

import os
import shutil
from pathlib import Path

_TAGS = ["serve"]
_NUMBER = "version"  # the constant of the graph that differs


class Numbered:
    """One model, of which any number of versions can be made.

    Attributes:
        megabytes: what its variable takes on disk, and in memory once it is loaded.
    """

    def __init__(self, folder: Path, megabytes: float = 0.0) -> None:
        """Write the first of them to `folder`, which must not exist yet."""
        self.megabytes = megabytes
        self._folder = folder
        _save(folder, megabytes)

    def add(self, base: Path, number: int, name: str = "") -> Path:
        """Put version `number` under `base`, complete from the first moment it is seen, and return its folder.

        Args:
            base: the model's folder; it is made if it is not there.
            number: what this version answers.
            name: of the folder, if not the number.
        """
        aside = self.aside(base, number)
        base.mkdir(parents=True, exist_ok=True)
        return aside.rename(base / (name or str(number)))

    def aside(self, base: Path, number: int) -> Path:
        """Make version `number` beside `base`, where no server looks, and return its folder."""
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        folder = base.parent / f"{base.name}-{number}.tmp"
        # Variables are the same in all of them: a link is as good as a copy, and 1,000 copies are much to write.
        shutil.copytree(self._folder, folder, copy_function=os.link)
        model = SavedModel.FromString((self._folder / "saved_model.pb").read_bytes())
        constants = [node for node in model.meta_graphs[0].graph_def.node if node.name == _NUMBER]
        constants[0].attr["value"].tensor.float_val[:] = [number]
        (folder / "saved_model.pb").unlink()
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
        return folder


def _save(folder: Path, megabytes: float) -> None:
    import tensorflow as tf

    v1, signatures = tf.compat.v1, {}
    with tf.Graph().as_default(), v1.Session() as session:
        number = tf.constant(0.0, name=_NUMBER)
        ballast = [
            v1.get_variable(f"layer{layer}", initializer=tf.zeros([size]), use_resource=True)
            for layer, size in enumerate(_layers(megabytes))
        ]
        number += ballast[0][0]  # zero; so the answer depends on the variables file
        x = v1.placeholder("float32", [None, 1])
        signatures["serving_default"] = _signature({"x": x}, {"y": x + number, "v": tf.zeros_like(x) + number})
        x = v1.placeholder("float32")
        signatures["total"] = _signature({"x": x}, {"y": tf.reduce_sum(x), "v": tf.identity(number)})
        serialized = v1.placeholder("string", [None])
        x = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], "float32")})["x"]
        signatures["classify"] = _signature({"inputs": serialized}, {"scores": x + number}, "classify")
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, _TAGS, signature_def_map=signatures)
        builder.save()


def _layers(megabytes: float) -> list[int]:
    """Numbers in each variable: 4 MB a piece, as in a model of many layers, whose memory is given back in pieces."""
    numbers, layer = max(1, int(megabytes * 2**20 / 4)), 2**20
    return [min(layer, numbers - start) for start in range(0, numbers, layer)]


def _signature(inputs: dict, outputs: dict, method: str = "predict") -> object:
    from tensorflow.compat.v1 import saved_model

    def infos(tensors: dict) -> dict:
        return {name: saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()}

    return saved_model.build_signature_def(infos(inputs), infos(outputs), f"tensorflow/serving/{method}")
