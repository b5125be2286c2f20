"""A training step's memory, measured: what TensorFlow's own allocator had given out at the fullest moment.

A GPU's allocator counts (`tf.config.experimental.get_memory_info`). The CPU's counts only where TensorFlow runs with
oneDNN, so the measurement is made in a process of its own, which is started that way whatever this one uses.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit import processes
from labkit.devices.memory import check_batch
from labkit.errors import EnvironmentProblem, MeasurementFailed, ProcessError

if TYPE_CHECKING:
    import keras

_DONE = r"(?m)^(measured|refused|uncounted) (.*)\n"
_TRACES = 3


def measured_training_memory(
    models: "Mapping[str, keras.Model | Callable[[], keras.Model]]",
    batches: Sequence[int],
    *,
    optimizer: Any = "adam",
    timeout: float = 120.0,
) -> dict[str, dict[int, int]]:
    """Train each model for some steps with each batch, all in one other process, and read the allocator's peak.

    What is measured is the step that `labkit.devices.memory.training_memory` counts and an update of the weights, as
    one `tf.function` without XLA. It contains the weights, the optimizer's slots and the batch (their size is known)
    and all that the allocator had given out at the fullest moment of a step beyond what it had before. One operation
    runs at a time; where several run side by side a step may need more. In which order they run is settled when a
    `tf.function` runs first, by how long each takes; so there are three, and the one that needs least counts. Blocks
    that the allocator does not split count in full, so two runs can differ by a sixth, and what one more example adds
    is only sound between batches that are far apart. It does not contain TensorFlow itself or the libraries below it,
    nor memory that they take past the allocator. On the first GPU that TensorFlow sees, else on
    the CPU.

    Args:
        models: what to call each model, and the model or a function that makes it. Only its configuration is sent to
            the other process; layers of your own have to be registered in a module, not in a notebook.
        batches: numbers of examples in a step, whole and above zero.
        optimizer: a name that Keras knows, or a Keras optimizer.
        timeout: seconds for everything.

    Returns:
        Bytes, by the model's name and then by batch.

    Raises:
        ValueError: a batch is not a whole number above zero.
        EnvironmentProblem: this TensorFlow counts no memory on the CPU (it was built without oneDNN).
        MeasurementFailed: a model could not be made or trained there, or not in time.
    """
    import keras

    sizes = [check_batch(batch) for batch in batches]
    job = {
        "models": {name: _configuration(model) for name, model in models.items()},
        "batches": sizes,
        "optimizer": keras.optimizers.serialize(keras.optimizers.get(optimizer)),
    }
    with tempfile.TemporaryDirectory(dir=processes.folder()) as folder:
        (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        kind, said = _run(folder, timeout)
    if kind == "uncounted":
        raise EnvironmentProblem(
            f"TensorFlow counts no memory on this machine's CPU ({said}). It does so in builds with oneDNN, as "
            "those for Linux on x86, and on a GPU; use training_memory alone, or run this there."
        )
    if kind == "refused":
        raise MeasurementFailed(f"the training step could not be measured in another process: {said}")
    return {name: dict(zip(sizes, peaks, strict=True)) for name, peaks in json.loads(said).items()}


def _configuration(model: "keras.Model | Callable[[], keras.Model]") -> str:
    import keras
    import tensorflow as tf

    if isinstance(model, keras.Model):
        return model.to_json()
    with tf.Graph().as_default():  # nothing is allocated there
        return model().to_json()


def _run(folder: str, timeout: float) -> tuple[str, str]:
    command = [sys.executable, "-P", "-m", "labkit.devices.memory_measured", folder]
    environment = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        with processes.start(
            command, name="memory measurement", ready=_DONE, timeout=timeout, env=environment
        ) as child:
            found = re.search(_DONE, child.log())
            assert found is not None  # it was ready because of this line
            return found[1], found[2]
    except ProcessError as error:
        raise MeasurementFailed(
            f"the process that measures gave no result in {timeout:g} s or ended early; give it fewer models or "
            f"smaller batches. It said: {error.log[-2000:]}"
        ) from error


def _measure_all(job: dict[str, Any], device: str) -> dict[str, list[int]]:
    import keras

    found: dict[str, list[int]] = {}
    for name, configuration in job["models"].items():
        model = keras.models.model_from_json(configuration)
        optimizer = keras.optimizers.deserialize(job["optimizer"])
        optimizer.build(model.trainable_variables)
        found[name] = [_measure(model, optimizer, batch, device) for batch in job["batches"]]
    return found


def _measure(model: "keras.Model", optimizer: Any, batch: int, device: str) -> int:
    import gc

    import tensorflow as tf

    from labkit.devices.memory_step import fixed_inputs, gradients

    inputs = [tf.zeros((batch, *shape), dtype) for shape, dtype in fixed_inputs(model)]
    state = [*model.variables, *optimizer.variables]
    known = sum(int(tf.size(value)) * tf.as_dtype(value.dtype).size for value in [*state, *inputs])
    peaks = []
    for _ in range(_TRACES):

        @tf.function(autograph=False)
        def step(inputs: list[Any]) -> None:
            optimizer.apply(gradients(model, inputs), model.trainable_variables)

        step(inputs)  # traces, and fills the caches of the kernels
        gc.collect()
        before = tf.config.experimental.get_memory_info(device)["current"]
        tf.config.experimental.reset_memory_stats(device)
        step(inputs)
        peaks.append(tf.config.experimental.get_memory_info(device)["peak"] - before)
    return known + min(peaks)


def _main(folder: str) -> None:
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    device = "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    try:
        tf.config.experimental.get_memory_info(device)
    except ValueError as error:
        print("uncounted", error, flush=True)
        return
    try:
        found = _measure_all(json.loads((Path(folder) / "job.json").read_text(encoding="utf-8")), device)
    except Exception as error:  # whatever it is, the process that asked has to say it
        print("refused", f"{type(error).__name__}: {error}".replace("\n", " ")[:2000], flush=True)
        return
    print("measured", json.dumps(found), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
