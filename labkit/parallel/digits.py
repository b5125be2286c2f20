"""The model that `train` trains: a small network on scikit-learn's digits, its variables given from outside.

This module imports TensorFlow.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from labkit.errors import needs_extra

with needs_extra("labkit.parallel", "labs"):
    from sklearn.datasets import load_digits


def examples() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797 of them: images float32 of shape (rows, 64) in 0..1, and labels int32 of shape (rows,)."""
    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32), labels.astype(np.int32)


def first_values(hidden: int = 32, seed: int = 0, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Values to begin with: He's initialization, the same for the same seed.

    Args:
        hidden: units between the 64 pixels and the 10 classes; with 0 the model is a softmax regression.
        seed: of the random numbers.
        scale: of all weights; over 1 the training begins far from where it ends, with large gradients.
    """
    widths = [64, hidden, 10] if hidden else [64, 10]
    random = np.random.default_rng(seed)
    values = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        weights = random.normal(0, scale * np.sqrt(2 / inputs), [inputs, outputs])
        values[f"weights_{layer}"] = weights.astype(np.float32)
        values[f"biases_{layer}"] = np.zeros([outputs], np.float32)
    return values


@tf.function
def loss_and_gradients(values: dict[str, Any], images: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
    """The mean cross-entropy of the model with these values, and its gradient for each of them."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        mean = loss(values, images, labels)
    return mean, tape.gradient(mean, values)


@tf.function
def loss(values: dict[str, Any], images: Any, labels: Any) -> Any:
    """The mean cross-entropy of the model with these values."""
    layers = len(values) // 2
    flow = images
    for layer in range(layers):
        flow = flow @ values[f"weights_{layer}"] + values[f"biases_{layer}"]
        if layer < layers - 1:
            flow = tf.nn.relu(flow)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=flow))
