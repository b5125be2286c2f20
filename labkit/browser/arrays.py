"""Arrays in JSON, as page/arrays.js writes and reads them: ``{"$array": dtype, "shape": [...], "base64": "..."}``."""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def dumps(value: Any) -> bytes:
    """`value` as JSON; numpy arrays and numbers anywhere in it are kept with their type.

    Arrays become what TensorFlow.js takes: all floats float32, bool uint8, whole numbers but uint8 int32.

    Raises:
        TypeError: something JSON cannot carry, an array of another type, or a whole number of more than 32 bits.
    """
    return json.dumps(_finite(value), default=_packed, allow_nan=False).encode()


def loads(text: bytes) -> Any:
    """The inverse of what the page's `encode` wrote: arrays come back as numpy arrays."""
    return json.loads(text, object_hook=_unpacked)


def _finite(value: Any) -> Any:
    """Numbers that JSON does not have, NaN and the infinite ones, as page/arrays.js reads them."""
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, np.floating):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"$number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value


def _packed(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"a {type(value).__name__} cannot be sent to a page; give numbers, strings, lists or numpy arrays"
        )
    array = _for_a_page(value)
    return {"$array": array.dtype.name, "shape": array.shape, "base64": base64.b64encode(array.tobytes()).decode()}


def _for_a_page(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, "<f4")
    if array.dtype in (np.bool_, np.uint8):
        return np.ascontiguousarray(array, np.uint8)
    if array.dtype.kind not in "iu":
        raise TypeError(f"an array of {array.dtype} cannot be sent to a page; give one of numbers")
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise TypeError(f"an array goes from {array.min()} to {array.max()}; a page has whole numbers of 32 bits")
    return np.ascontiguousarray(array, "<i4")


def _unpacked(value: dict[str, Any]) -> Any:
    if "$number" in value:
        return float(value["$number"])
    if "$array" not in value:
        return value
    data = base64.b64decode(value["base64"])
    return np.frombuffer(data, np.dtype(value["$array"])).reshape(value["shape"]).copy()
