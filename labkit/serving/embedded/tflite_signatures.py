"""The signatures of a TFLite model, by TensorFlow Serving's rules (servables/tensorflow/tflite_session.cc).

Serving reads the SignatureDefs that the model's metadata holds under ``signature_defs_metadata``. Those that TFLite's
converter writes nowadays stand elsewhere and do not count: such a model has one signature, with the tensors' names.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.serving.embedded import dtypes
from labkit.serving.embedded.servable import DEFAULT_SIGNATURE
from labkit.serving.embedded.status import Code, StatusError, invalid_argument

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef, TensorInfo

_METADATA = b"signature_defs_metadata"
_PREDICT = "tensorflow/serving/predict"
_FIRST = ":0"  # what TensorFlow calls an operation's first output; earlier converters left it out

Details = Mapping[str, Any]


def meta_graph(content: bytes, inputs: Iterable[Details], outputs: Iterable[Details]) -> "MetaGraphDef":
    """A MetaGraphDef without a graph: the signatures of a model that an interpreter has read and found sound.

    Args:
        content: the ``.tflite`` file.
        inputs: the interpreter's details of its input tensors.
        outputs: the same of its output tensors.

    Raises:
        StatusError: the signatures do not fit the model, or a tensor's type cannot be served.
    """
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    graph = MetaGraphDef()
    sources, results = _tensors("Input", inputs), _tensors("Output", outputs)
    for name, serialized in _from_metadata(content).items():
        definition = graph.signature_def[name]
        definition.ParseFromString(serialized)
        _settle(name, definition, sources, results)
    if not graph.signature_def:
        definition = graph.signature_def[DEFAULT_SIGNATURE]
        definition.method_name = _PREDICT
        for tensors, entries in ((sources, definition.inputs), (results, definition.outputs)):
            for tensor, info in tensors.items():
                entries[tensor.removesuffix(_FIRST)].CopyFrom(info)
    return graph


def number_of(numpy_type: type) -> int:
    """The number of TensorFlow's data type for the type that an interpreter gives for a tensor.

    Raises:
        StatusError: UNIMPLEMENTED, such values cannot travel.
    """
    if numpy_type is np.bytes_:
        return dtypes.STRING
    try:
        return dtypes.of(np.empty(0, numpy_type)).number
    except KeyError:
        raise StatusError(Code.UNIMPLEMENTED, f"Tensors of type {np.dtype(numpy_type)} cannot be served") from None


def _tensors(kind: str, details: Iterable[Details]) -> "dict[str, TensorInfo]":
    """Name -> type and shape."""
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

    found: dict[str, TensorInfo] = {}
    for tensor in details:
        if tensor["name"] in found:
            raise StatusError(Code.ALREADY_EXISTS, f"{kind} tensor name: {tensor['name']} has multiple indices")
        info = found[tensor["name"]] = TensorInfo(name=tensor["name"], dtype=number_of(tensor["dtype"]))
        info.tensor_shape.SetInParent()  # a scalar has a shape, too
        signature = tensor["shape_signature"]
        for size in signature if len(signature) else tensor["shape"]:
            info.tensor_shape.dim.add().size = int(size)
    return found


def _from_metadata(content: bytes) -> dict[str, bytes]:
    """Name -> serialized SignatureDef; empty if the model's metadata hold none."""
    from ai_edge_litert.schema_py_generated import Model
    from flatbuffers import flexbuffers

    model = Model.GetRootAs(content, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() != _METADATA:
            continue
        try:
            buffer = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            entries = flexbuffers.GetRoot(buffer).AsMap
            keys, values = entries.Keys, entries.Values
            return {keys[place].AsKey: values[place].AsStringBytes for place in range(len(keys))}
        except Exception as error:  # any, the buffer may hold anything
            raise invalid_argument(f"Invalid SignatureDefs found in TfLite model: {error!r}") from error
    return {}


def _settle(
    name: str, definition: "SignatureDef", sources: "Mapping[str, TensorInfo]", results: "Mapping[str, TensorInfo]"
) -> None:
    """Write the tensors' names as the model has them, with their true types and shapes."""
    for kind, entries, tensors in (("input", definition.inputs, sources), ("output", definition.outputs, results)):
        for key, info in entries.items():
            known = [tensor for tensor in (info.name, info.name.removesuffix(_FIRST)) if tensor in tensors]
            if not known:
                raise invalid_argument(
                    f"Invalid SignatureDefs found in TfLite model: {kind} {key} of signature {name} is the tensor "
                    f"{info.name}, which the model does not have; it has {', '.join(sorted(tensors))}"
                )
            info.CopyFrom(tensors[known[0]])
    # An interpreter computes all its outputs from all its inputs. One that is not fed keeps another request's values.
    if missing := sources.keys() - {info.name for info in definition.inputs.values()}:
        raise invalid_argument(
            f"Invalid SignatureDefs found in TfLite model: signature {name} leaves out the input tensors "
            f"{', '.join(sorted(missing))}; every signature must feed all of them"
        )
