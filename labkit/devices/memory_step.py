"""The training step that is both counted and measured, so that the two speak of the same thing."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def fixed_inputs(model: "keras.Model") -> list[tuple[tuple[int, ...], str]]:
    """Shape without the batch, and dtype, of each input of `model`.

    Raises:
        ValueError: the model does not say, or leaves a size open.
    """
    try:
        inputs = model.inputs
    except (AttributeError, ValueError):
        inputs = None
    if not inputs:
        raise ValueError(
            f"the model {model.name!r} has no fixed inputs; give a functional or a sequential model that is built, as "
            "keras.Sequential([keras.Input((224, 224, 3)), ...])"
        )
    found = [(tuple(tensor.shape[1:]), tensor.dtype) for tensor in inputs]
    if unknown := [shape for shape, _ in found if None in shape]:
        raise ValueError(
            f"the model {model.name!r} has an input of shape {unknown[0]} with an open size; memory depends on it, so "
            "give keras.Input a number"
        )
    return found


def gradients(
    model: "keras.Model", inputs: Sequence[Any], *, between: Callable[[], object] = lambda: None
) -> list[Any]:
    """The gradients of the mean square of all outputs, one for each trained variable.

    Args:
        model: a functional or sequential model.
        inputs: one tensor for each of its inputs.
        between: called once between the forward and the backward pass.
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(inputs if len(inputs) > 1 else inputs[0], training=True)
        loss = tf.add_n([tf.reduce_mean(tf.square(tf.cast(output, "float32"))) for output in tf.nest.flatten(outputs)])
    between()
    return tape.gradient(loss, model.trainable_variables)
