"""Gradients made smaller before they cross the link, and the bytes that are left.

small = to_float16(gradients)                    # half the bytes
top = TopK(0.01)
small = top(gradients)                           # 1 % of the entries, 8 bytes each
servers.push(small, version, learning_rate)      # the server makes them whole again
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


def to_float16(gradients: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each gradient as float16: 2 bytes an entry, about 3 digits; from 65520 on infinite, up to 3e-8 nothing."""
    return {name: np.asarray(gradient).astype(np.float16) for name, gradient in gradients.items()}


class TopK:
    """Keeps of each gradient the entries that are largest in size, as (indices, values).

    What is left out is not lost: it is added to the next gradient (error feedback, https://arxiv.org/abs/1809.07599).
    Every worker has a `TopK` of its own, for the gradients that it makes one after the other.
    """

    def __init__(self, share: float, *, feedback: bool = True) -> None:
        """Nothing is left over yet.

        Args:
            share: of each gradient's entries, above 0 and at most 1; one entry at least is kept.
            feedback: False: what is left out is forgotten.

        Raises:
            ValueError: `share` is out of its range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}; a part of all entries is wanted, above 0 and at most 1, as 0.01")
        self._share, self._feedback = share, feedback
        self._left: dict[str, np.ndarray] = {}

    def __call__(self, gradients: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Each gradient as its chosen entries: indices into the flattened array (int32), and values (float32)."""
        return {name: self._choose(name, np.ravel(gradient)) for name, gradient in gradients.items()}

    def _choose(self, name: str, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        whole = gradient.astype(np.float32) + self._left.get(name, np.float32(0))
        count = max(1, round(self._share * whole.size))
        indices = np.sort(np.argpartition(np.abs(whole), -count)[-count:]).astype(np.int32)
        values = whole[indices]
        if self._feedback:
            whole[indices] = 0
            self._left[name] = whole
        return indices, values


def wire_bytes(values: Mapping[str, Any]) -> int:
    """The bytes of all numbers in `values`: what must cross the link, without what the protocol adds.

    Args:
        values: name -> array, or tuple of arrays, as gradients and what `pull` gives.
    """
    parts = [value if isinstance(value, tuple) else (value,) for value in values.values()]
    return sum(np.asarray(array).nbytes for each in parts for array in each)


def unpack(gradient: Any, shape: tuple[int, ...]) -> Any:
    """On the server: a gradient as float32 of `shape` again. Part of a TensorFlow graph."""
    import tensorflow as tf

    if not isinstance(gradient, tuple):
        return tf.cast(gradient, tf.float32)
    indices, values = gradient
    return tf.reshape(tf.scatter_nd(indices[:, tf.newaxis], values, [int(np.prod(shape))]), shape)
