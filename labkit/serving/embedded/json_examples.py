"""REST classify and regress: the ``examples`` and ``context`` of a request as serialized tf.Examples.

The rules and messages are TensorFlow Serving's (util/json_tensor.cc). The answers are in `json_answer`.
"""

from typing import TYPE_CHECKING, Any

from labkit.serving.embedded.examples import with_context
from labkit.serving.embedded.json_document import shown, to_bytes, type_name
from labkit.serving.embedded.json_tensor import is_base64, string_bytes
from labkit.serving.embedded.status import invalid_argument

if TYPE_CHECKING:
    from tensorflow.core.example.feature_pb2 import Feature

_INT64 = range(-(1 << 63), 1 << 63)


def examples(request: dict[str, Any]) -> list[bytes]:
    """The serialized tf.Examples of a parsed classify or regress request; its context's features are in each.

    Raises:
        StatusError: INVALID_ARGUMENT, ``examples`` is no list of objects, or a feature is no list of one kind.
    """
    context = _example(request["context"]) if "context" in request else b""
    if "examples" not in request:
        raise _misses(request, "When method is classify, key 'examples' is expected and was not found")
    entries = request["examples"]
    if not isinstance(entries, list):
        raise _misses(request, "Expecting 'examples' value to be an list/array")
    if not entries:
        raise _misses(request, "'examples' value is an empty array")
    return with_context(context, [_example(entry) for entry in entries])


def _misses(request: dict[str, Any], what: str) -> Exception:
    return invalid_argument(f"JSON Value: {shown(request)} {what}")


def _example(value: Any) -> bytes:
    from tensorflow.core.example.example_pb2 import Example

    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = Example()
    for name, content in value.items():
        # Asking a map for an entry makes it: an empty list becomes a feature without a kind, as upstream.
        _fill(example.features.feature[_name(name)], name, content if isinstance(content, list) else [content])
    return example.SerializeToString()


def _name(text: str) -> str:
    try:
        return to_bytes(text).decode()
    except UnicodeDecodeError:
        raise invalid_argument(f"JSON Parse error: the name of the feature {text!r} is not UTF-8") from None


def _fill(feature: "Feature", name: str, values: list[Any]) -> None:
    kinds = set(map(type, values))
    if kinds == {float}:  # the common case, and the only one with many values
        feature.float_list.value.extend(values)
        return
    expected = None
    for value in values:
        kind = _kind(name, value)
        expected = expected or kind
        if kind != expected:
            raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {expected}")
        if kind == "bytes":
            feature.bytes_list.value.append(string_bytes(value))
        elif kind == "float":
            feature.float_list.value.append(value)
        elif value in _INT64:
            feature.int64_list.value.append(int(value))  # protobuf refuses bools
        else:
            raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")


def _kind(name: str, value: Any) -> str:
    """The kind of list that takes `value`, by the names of upstream's messages."""
    if isinstance(value, int):
        return "int64"  # bools, too
    if isinstance(value, float):
        return "float"
    if isinstance(value, str) or is_base64(value):
        return "bytes"
    raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
