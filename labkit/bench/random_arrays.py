"""Arrays to measure with when there are none: random, and the same each time."""

from math import prod

import numpy as np

VALUES = ("normal", "uniform", "digits", "pixels")
_WORDS = ("north", "south", "east", "west", "red", "green", "blue", "one", "two", "three", "yes", "no")
_BELOW = {"digits": 10, "pixels": 256}


def random_array(
    dtype: np.dtype, shape: tuple[int, ...], *, values: str | None = None, generator: np.random.Generator
) -> np.ndarray:
    """An array of a numpy type that TensorFlow knows.

    Args:
        dtype: its type; of objects, it holds short words as str.
        shape: its shape.
        values: ``normal`` (mean 0, deviation 1), ``uniform`` (0 to 1), ``digits`` (whole numbers 0 to 9) or ``pixels``
            (whole numbers 0 to 255). By default floats are normal, uint8 are pixels and other whole numbers digits.
        generator: where the numbers come from.

    Raises:
        ValueError: the type cannot hold these values, or there are no such values.
    """
    if values is not None and values not in VALUES:
        raise ValueError(f"values are {values!r}; there are {', '.join(VALUES)}")
    if dtype.kind in "Ob":
        return _words_or_coins(dtype, shape, values, generator)
    kind = values or _usual(dtype)
    if dtype.kind in "iu" and kind not in _BELOW:
        raise ValueError(f"{kind} values are no whole numbers, and {dtype} holds nothing else: use digits or pixels")
    if dtype == np.int8 and kind == "pixels":
        raise ValueError("pixels go up to 255, int8 to 127: use uint8")
    drawn = _draw(kind, shape, generator)
    if dtype.kind == "c":
        drawn = drawn + 1j * _draw(kind, shape, generator)
    return np.asarray(drawn).astype(dtype)


def _words_or_coins(
    dtype: np.dtype, shape: tuple[int, ...], values: str | None, generator: np.random.Generator
) -> np.ndarray:
    if values is not None:
        raise ValueError(f"{values} values are numbers; text and bool have only one kind: leave the values out")
    if dtype.kind == "b":
        return np.asarray(generator.integers(0, 2, shape)).astype(dtype)
    return np.array(_WORDS, object)[generator.integers(0, len(_WORDS), prod(shape))].reshape(shape)


def _usual(dtype: np.dtype) -> str:
    if dtype.kind not in "iu":
        return "normal"
    return "pixels" if dtype == np.uint8 else "digits"


def _draw(kind: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if kind in _BELOW:
        return generator.integers(0, _BELOW[kind], shape)
    return generator.normal(size=shape) if kind == "normal" else generator.random(shape)
