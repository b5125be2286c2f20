"""The short way for predict requests of plain numbers: simdjson, and a whole tensor at once.

It answers only when the request certainly is right, and otherwise leaves it to `json_tensor`. What makes it certain:
with digits and white space taken away, the text of a regular nested list is fully known from its shape.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import simdjson

from labkit.serving.embedded import dtypes
from labkit.serving.embedded.servable import DEFAULT_SIGNATURE, Signature
from labkit.serving.embedded.status import StatusError

_DIGITS = b"0123456789+-.eE \t\r\n"
_BUFFER_TYPES = {"float": "d", "double": "d", "int64": "i"} | dict.fromkeys(("int32", "int16", "int8", "uint8"), "i")
_INT32 = np.iinfo(np.int32)
_MOST_DIMENSIONS = 32
_FEW = 4096


@dataclass(frozen=True)
class NumbersRequest:
    """A predict request of plain numbers.

    Attributes:
        signature_name: the signature it asks for.
        inputs: its one input by name.
        by_rows: it has row form.
    """

    signature_name: str
    inputs: dict[str, np.ndarray]
    by_rows: bool


def read(body: bytes, signatures: Mapping[str, Signature]) -> NumbersRequest | None:
    """Read ``{"instances": numbers}`` or ``{"inputs": numbers}``, with or without a `signature_name`.

    None if the request is anything else, which does not mean that it is wrong.

    Args:
        body: the request's body.
        signatures: the servable's signatures by name.
    """
    start, end = body.find(b"["), body.rfind(b"]") + 1
    if start < 0 or b"[" in body[end:]:
        return None
    try:
        document: Any = simdjson.Parser().parse(body)
        keys = set(document.keys())
        signature_name = document["signature_name"] if "signature_name" in keys else DEFAULT_SIGNATURE
        (key,) = keys - {"signature_name"}
        if key not in ("instances", "inputs") or len(document) != len(keys):
            return None
        ((name, number),) = signatures[signature_name].input_types.items()
        data_type = dtypes.data_type(number)
        shape = _shape(document[key])
        # First elements alone may promise far more than the body holds: its skeleton is not to be built.
        if shape is None or _least_bytes(shape) > end - start:
            return None
        if body[start:end].translate(None, _DIGITS) != _skeleton(shape):
            return None
        numbers: np.ndarray = np.frombuffer(
            document[key].as_buffer(of_type=_BUFFER_TYPES[data_type.name]), np.dtype("f8")
        )
    except (ValueError, TypeError, AttributeError, RuntimeError, KeyError, StatusError):  # not quite that simple
        return None
    if _BUFFER_TYPES[data_type.name] == "i":
        numbers = numbers.view(np.int64)
        # As in the long way, a short integer is read as an int32 and then cut.
        if data_type.name != "int64" and not _INT32.min <= numbers.min() <= numbers.max() <= _INT32.max:
            return None
    with np.errstate(over="ignore"):
        return NumbersRequest(
            signature_name, {name: numbers.astype(data_type.numpy).reshape(shape)}, key == "instances"
        )


def _shape(value: object) -> tuple[int, ...] | None:
    shape: list[int] = []
    while isinstance(value, simdjson.Array):
        if not len(value) or len(shape) == _MOST_DIMENSIONS:
            return None
        shape.append(len(value))
        value = value[0]
    return tuple(shape) if shape and type(value) in (int, float) else None


def _least_bytes(shape: tuple[int, ...]) -> int:
    """How long the text of a nested list of that shape is at the very least."""
    length = 1  # a number of one digit
    for size in reversed(shape):
        length = size * (length + 1) + 1
    return length


def _skeleton(shape: tuple[int, ...]) -> bytes:
    """What is left of a regular nested list of that shape without its digits."""
    return _kept_skeleton(shape) if math.prod(shape) <= _FEW else _new_skeleton(shape)


def _new_skeleton(shape: tuple[int, ...]) -> bytes:
    text = b""
    for size in reversed(shape):
        text = b"[" + (text + b",") * (size - 1) + text + b"]"
    return text


_kept_skeleton = lru_cache(maxsize=64)(_new_skeleton)
