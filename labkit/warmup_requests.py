"""One request for a model's warm-up: made a message, and held against the model's signatures.

A server refuses to load a version that fails to answer one of them; whoever writes them had better hear it first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import ModelFolderError, WarmupError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

DEFAULT_SIGNATURE = "serving_default"
SignatureDefs = Mapping[str, "SignatureDef"]

_LOGS = {
    "PredictRequest": "predict_log",
    "ClassificationRequest": "classify_log",
    "RegressionRequest": "regress_log",
    "MultiInferenceRequest": "multi_inference_log",
}


def signatures_of(folder: Path) -> SignatureDefs:
    """The signatures of the SavedModel in a version's folder.

    Raises:
        ModelFolderError: there is none, or it is damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = folder / "saved_model.pb"
    if not file.is_file():
        found = sorted(child.parent for child in folder.glob("*/saved_model.pb"))
        hint = f"It is the model's folder: choose a version, such as {found[-1]}." if found else "Export a model first."
        raise ModelFolderError(f"{folder} is not the folder of one version, there is no saved_model.pb in it. {hint}")
    try:
        graphs = SavedModel.FromString(file.read_bytes()).meta_graphs
    except DecodeError as error:
        raise ModelFolderError(
            f"{file} is damaged, it holds no SavedModel ({error}). Export the model again."
        ) from None
    served = [graph for graph in graphs if "serve" in graph.meta_info_def.tags]
    return dict((served or graphs)[0].signature_def) if graphs else {}


def to_log(request: Any, signatures: SignatureDefs, signature_name: str) -> "PredictionLog":
    """The record for one request.

    Args:
        request: a mapping from input name to array, an array, or a message.
        signatures: of the model.
        signature_name: the one that mappings and arrays are for.

    Raises:
        WarmupError: the request does not fit it, or is of a kind that servers do not warm up with.
    """
    from google.protobuf.message import Message
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    if not isinstance(request, Message):
        request = _predict_request(request, signatures, signature_name)
    if isinstance(request, PredictionLog):
        log = request
    else:
        log = PredictionLog()
        if field := _LOGS.get(type(request).__name__):
            getattr(log, field).request.CopyFrom(request)
    kind = log.WhichOneof("log_type")
    if kind not in _LOGS.values():
        found = f"a PredictionLog of {kind or 'nothing'}" if log is request else f"a {type(request).__name__}"
        raise WarmupError(f"it is {found}; servers warm up with {', '.join(_LOGS)}.")
    if kind == "predict_log":
        _check_predict(log.predict_log.request, signatures)
    else:
        _check_examples(getattr(log, kind).request, signatures)
    return log


def _predict_request(given: Any, signatures: SignatureDefs, signature_name: str) -> "PredictRequest":
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    declared = _signature(signatures, signature_name).inputs
    if not isinstance(given, Mapping):
        if len(declared) != 1:
            raise WarmupError(
                f"signature {signature_name!r} has the inputs {sorted(declared)}: pass a mapping with an array each."
            )
        given = dict.fromkeys(declared, given)
    request = PredictRequest()
    request.model_spec.signature_name = signature_name
    for name, value in given.items():
        request.inputs[name].CopyFrom(_tensor(name, value, declared.get(name)))
    return request


def _tensor(name: str, value: Any, declared: "TensorInfo | None") -> "TensorProto":
    """The value as a tensor, of its own type if it has one, else of the declared one."""
    import tensorflow as tf

    dtype = declared.dtype if declared and not hasattr(value, "dtype") else None
    try:
        return tf.make_tensor_proto(value, dtype)
    except (TypeError, ValueError) as error:
        raise WarmupError(f"the value of input {name!r} cannot be made a tensor: {error}") from error


def _check_predict(request: "PredictRequest", signatures: SignatureDefs) -> None:
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _signature(signatures, name)
    missing = signature.inputs.keys() - request.inputs.keys() - signature.defaults.keys()
    if missing or request.inputs.keys() - signature.inputs.keys():
        raise WarmupError(
            f"it has the inputs {sorted(request.inputs)}, signature {name!r} takes {sorted(signature.inputs)}."
        )
    if unknown := set(request.output_filter) - signature.outputs.keys():
        raise WarmupError(f"it asks for {sorted(unknown)}, signature {name!r} gives {sorted(signature.outputs)}.")
    for key, tensor in request.inputs.items():
        _check_tensor(f"input {key!r}", tensor, signature.inputs[key])


def _check_tensor(what: str, tensor: "TensorProto", declared: "TensorInfo") -> None:
    import tensorflow as tf

    if tensor.dtype != declared.dtype:
        found, wanted = tf.as_dtype(tensor.dtype).name, tf.as_dtype(declared.dtype).name
        raise WarmupError(f"{what} is {found}, the signature takes {wanted}: convert it, as with .astype({wanted!r}).")
    shape = tf.TensorShape(tensor.tensor_shape)
    wanted = tf.TensorShape(declared.tensor_shape if declared.HasField("tensor_shape") else None)
    if not wanted.is_compatible_with(shape):
        raise WarmupError(
            f"{what} has the shape {shape}, the signature takes {wanted}. (None stands for any number; the first "
            "dimension is usually that of the batch.)"
        )


def _check_examples(request: "Message", signatures: SignatureDefs) -> None:
    """Check what Classify, Regress and MultiInference have in common: signatures that take tf.Examples, and some."""
    specs = [request.model_spec] if hasattr(request, "model_spec") else [task.model_spec for task in request.tasks]
    for spec in specs:
        name = spec.signature_name or DEFAULT_SIGNATURE
        if "inputs" not in (inputs := _signature(signatures, name).inputs):
            raise WarmupError(f"signature {name!r} takes {sorted(inputs)}, not tf.Examples as its input 'inputs'.")
    if hasattr(request, "tasks") and len({spec.name for spec in specs} - {""}) != 1:
        raise WarmupError("all tasks of a MultiInferenceRequest must name a model, and the same; which, is ignored.")
    if not (request.input.example_list.examples or request.input.example_list_with_context.examples):
        raise WarmupError(f"this {type(request).__name__} has no examples.")


def _signature(signatures: SignatureDefs, name: str) -> "SignatureDef":
    if name not in signatures:
        known = sorted(key for key in signatures if key != "__saved_model_init_op")
        raise WarmupError(f"the model has no signature {name!r}; it has {', '.join(known)}.")
    return signatures[name]
