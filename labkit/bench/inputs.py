"""A batch as everything in this package takes it: a mapping from input name to array."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from labkit.serving.embedded import dtypes

Inputs = Mapping[str, np.ndarray]
"""Input name -> array whose first dimension is the batch. Text is an array of objects, each bytes or str."""


def named_arrays(inputs: Inputs) -> dict[str, np.ndarray]:
    """The inputs in this machine's byte order; arrays of text have dtype object.

    Raises:
        ValueError: they are no mapping from name to array, or one is of a type that TensorFlow cannot receive.
    """
    if not isinstance(inputs, Mapping) or not inputs:
        raise ValueError(f"inputs are {inputs!r:.60}; wanted is a mapping from input name to array, as {{'x': array}}")
    return {name: _array(name, value) for name, value in inputs.items()}


def encoded_strings(array: np.ndarray) -> np.ndarray:
    """An array of bytes from one of bytes and str, which becomes UTF-8."""
    encoded = np.empty(array.size, object)
    encoded[:] = [element.encode() if isinstance(element, str) else element for element in array.ravel().tolist()]
    return encoded.reshape(array.shape)


def _array(name: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise ValueError(f"input {name!r} is a {type(value).__name__}, wanted is a numpy array: np.asarray(...)")
    if value.dtype.kind in "SU":
        return value.astype(object)
    array = value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    if array.dtype.kind == "O":
        if other := {type(element).__name__ for element in array.flat if not isinstance(element, bytes | str)}:
            raise ValueError(
                f"input {name!r} is an array of objects with {sorted(other)} in it, wanted are bytes or str"
            )
        return array
    try:
        dtypes.of(array)
    except KeyError:
        raise ValueError(
            f"input {name!r} is {array.dtype}, which TensorFlow has no type for: use .astype(...)"
        ) from None
    return array
