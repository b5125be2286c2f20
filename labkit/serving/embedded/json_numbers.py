"""The short way for predict requests of plain numbers: simdjson, and a whole tensor at once.

It answers only when the request certainly is right, and otherwise leaves it to `json_tensor`. What makes it certain:
with digits and white space taken away, the text of a regular nested list is fully known from its shape.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import simdjson

from labkit.serving.embedded import dtypes

_DIGITS = b"0123456789+-.eE \t\r\n"
_BUFFER_TYPES = {"float": "d", "double": "d", "int64": "i"}


def tensors(body: bytes, input_types: Mapping[str, int]) -> tuple[dict[str, np.ndarray], bool] | None:
    """The one input of a request ``{"instances": numbers}`` or ``{"inputs": numbers}`` and whether it has row form.

    None if the request is anything else, which does not mean that it is wrong.

    Args:
        body: the request's body.
        input_types: the number of the data type of each of the signature's inputs.
    """
    if len(input_types) != 1:
        return None
    ((name, number),) = input_types.items()
    data_type = dtypes.data_type(number)
    start, end = body.find(b"["), body.rfind(b"]") + 1
    if data_type.name not in _BUFFER_TYPES or start < 0 or b"[" in body[end:]:
        return None
    try:
        document = simdjson.Parser().parse(body)
        (key,) = document.keys()
        if key not in ("instances", "inputs"):
            return None
        shape = _shape(document[key])
        if shape is None or body[start:end].translate(None, _DIGITS) != _skeleton(shape):
            return None
        numbers = np.frombuffer(document[key].as_buffer(of_type=_BUFFER_TYPES[data_type.name]), np.dtype("f8"))
    except (ValueError, TypeError, AttributeError, RuntimeError):  # not JSON, not an object, more keys, not numbers
        return None
    if data_type.name == "int64":
        numbers = numbers.view(np.int64)
    with np.errstate(over="ignore"):
        return {name: numbers.astype(data_type.numpy).reshape(shape)}, key == "instances"


def _shape(value: object) -> tuple[int, ...] | None:
    shape = []
    while isinstance(value, simdjson.Array):
        if not len(value):
            return None
        shape.append(len(value))
        value = value[0]
    return tuple(shape) if shape and type(value) in (int, float) else None


@lru_cache(maxsize=64)
def _skeleton(shape: tuple[int, ...]) -> bytes:
    """What is left of a regular nested list of that shape without its digits."""
    text = b""
    for size in reversed(shape):
        text = b"[" + b",".join([text] * size) + b"]"
    return text
