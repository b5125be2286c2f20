"""What a training step needs in memory, counted before anything is bought, and the batch that still fits.

The step is traced, not run: TensorFlow writes down the operations of the forward and the backward pass, and
`labkit.devices.memory_walk` walks them as TensorFlow would run them one by one. A model that is built by a function
takes no memory here: its weights are only written down too, so that billions of them cost nothing.
"""

import itertools
import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labkit.devices.memory_walk import Walk, walk

if TYPE_CHECKING:
    import keras
    import pandas

GIB = 2**30
_SMALLEST_TRACED_BATCH = 1009


@dataclass(frozen=True)
class TrainingMemory:
    """What one training step with `batch` examples needs, part by part, in bytes.

    Attributes:
        batch: examples in one step.
        weights: all variables of the model, also those that are not trained.
        gradients: one number for each trained one.
        slots: what the optimizer remembers: nothing for plain SGD, two numbers for each weight for Adam.
        inputs: the batch itself.
        activations: what the forward pass makes and the backward pass reads. It grows with the batch. In mixed
            precision it holds the low-precision copies of the weights too, which do not grow.
        temporary: what the fullest moment of the step takes beyond all of the above.
    """

    batch: int
    weights: int
    gradients: int
    slots: int
    inputs: int
    activations: int
    temporary: int
    _update: int = field(repr=False)
    _walk: Walk = field(repr=False, compare=False)

    @property
    def total(self) -> int:
        """The sum of all parts, in bytes."""
        return self.weights + self.gradients + self.slots + self.inputs + self.activations + self.temporary

    @property
    def per_example(self) -> float:
        """Bytes that one more example in the batch adds, from this batch to one twice as large."""
        return (self.at(2 * self.batch).total - self.total) / self.batch

    def at(self, batch: int) -> "TrainingMemory":
        """The same step with another batch; nothing is traced again.

        Raises:
            ValueError: `batch` is not a whole number above zero.
        """
        batch = check_batch(batch)
        return _at(self._walk, batch, self.weights, self.gradients, self.slots, self._update)

    def largest_batch(self, available: float) -> int:
        """The largest batch whose `total` is at most `available` bytes; 0 where not even one example fits.

        Raises:
            ValueError: `available` is not finite.
        """
        check_available(available)
        fits, too_many = 0, 1
        while self.at(too_many).total <= available:
            fits, too_many = too_many, 2 * too_many
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if self.at(middle).total <= available else (fits, middle)
        return fits

    def table(self) -> "pandas.DataFrame":
        """One row for each part and one for the total: GiB, and the share of the total in percent."""
        from labkit import show

        parts = ("weights", "gradients", "slots", "inputs", "activations", "temporary", "total")
        sizes = [(part, getattr(self, part)) for part in parts]
        rows = [("optimizer slots" if part == "slots" else part, n / GIB, 100 * n / self.total) for part, n in sizes]
        return show.table(rows, ["part", "GiB", "share (%)"])


def training_memory(
    model: "keras.Model | Callable[[], keras.Model]",
    batch: int,
    *,
    optimizer: Any = "adam",
    dtype: str | None = None,
) -> TrainingMemory:
    """Count what a training step of `model` needs. Nothing is run and no device is touched.

    The step is a plain loop's: the forward pass under a `tf.GradientTape`, the mean square of the outputs as its loss
    (any loss that keeps its outputs needs about as much), the gradients, then an update, weight by weight; one
    operation runs at a time.

    Not counted, so leave room for it: what a kernel takes while it runs (cuDNN's workspaces), gaps between the
    allocator's blocks, labels and batches that wait (`prefetch`), and what CUDA and its libraries take beside
    TensorFlow's memory. XLA (`jit_compile`, which Keras' `fit` chooses by itself where it can) plans memory in its own
    way and needs another amount.

    Args:
        model: a built functional or sequential Keras model whose inputs have fixed shapes apart from the batch; or a
            function without arguments that makes one. The function is called where weights are written down and not
            made, so a model larger than this machine can be counted.
        batch: examples in one step.
        optimizer: a name that Keras knows, or a Keras optimizer. A copy of it says what it would remember.
        dtype: the Keras policy under which the function's model is built: ``"float32"``, ``"mixed_float16"``,
            ``"mixed_bfloat16"``. None: as the model is, or Keras' present policy. Mixed precision halves most
            activations; weights, gradients and slots stay float32, and the copies of the weights come on top.

    Raises:
        TypeError: `model` is neither.
        ValueError: `batch` is not a whole number above zero, `dtype` comes with a model that is built already, or the
            model is one that cannot be counted: not built, with inputs of open size, or with a loop (an LSTM or GRU
            that is not unrolled), a branch (`tf.cond`) or a layer's own `tf.function`, whose activations the graph
            does not show.
    """
    import keras

    batch = check_batch(batch)
    if isinstance(model, keras.Model):
        if dtype not in (None, model.dtype_policy.name):
            raise ValueError(
                f"dtype is {dtype!r}, but the model is already built as {model.dtype_policy.name!r}. Give a function "
                "that makes the model instead: training_memory(lambda: make_model(), ...)"
            )
        walked, weights, trained = _trace_built(model)
    elif callable(model):
        walked, weights, trained = _trace_made(model, dtype)
    else:
        raise TypeError(f"model is a {type(model).__name__}; give a Keras model or a function that makes one")
    gradients = sum(size for _, _, size in trained)
    return _at(walked, batch, weights, gradients, *_slots_and_update(optimizer, trained))


def check_batch(batch: int) -> int:
    """Python's own whole number for `batch`, which may be NumPy's.

    Raises:
        ValueError: `batch` is not a whole number above zero.
    """
    if not isinstance(batch, numbers.Integral) or isinstance(batch, bool) or batch < 1:
        raise ValueError(f"batch is {batch!r}; give a whole number of examples, at least 1")
    return int(batch)


def check_available(available: float) -> None:
    """Refuse a memory without an end.

    Raises:
        ValueError: `available` is not finite.
    """
    if not math.isfinite(available):
        raise ValueError(f"available is {available!r}; give a finite number of bytes, such as 8 * GIB")


def _at(walked: Walk, batch: int, weights: int, gradients: int, slots: int, update: int) -> TrainingMemory:
    activations, inputs = walked.kept(batch), walked.inputs(batch)
    # Gradients come as activations go, and the update begins when all activations have gone.
    temporary = max(0, walked.fullest(batch) - activations - gradients, update - activations)
    return TrainingMemory(batch, weights, gradients, slots, inputs, activations, temporary, update, walked)


_Weight = tuple[tuple[int, ...], str, int]
"""A variable's shape, dtype and size in bytes."""


def _weight(variable: Any) -> _Weight:
    import tensorflow as tf

    return tuple(variable.shape), variable.dtype, math.prod(variable.shape) * tf.as_dtype(variable.dtype).size


def _trace_built(model: "keras.Model") -> tuple[Walk, int, list[_Weight]]:
    import tensorflow as tf

    walks = []

    @tf.function(autograph=False)
    def step() -> None:
        walks.append(_trace(model))

    step.get_concrete_function()
    return walks[0], sum(_weight(v)[2] for v in model.variables), [_weight(v) for v in model.trainable_variables]


def _trace_made(make: "Callable[[], keras.Model]", dtype: str | None) -> tuple[Walk, int, list[_Weight]]:
    import keras
    import tensorflow as tf

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype or policy)
    try:
        with tf.Graph().as_default():  # a graph of the old kind, where also variables are only written down
            model = make()
            if not isinstance(model, keras.Model):
                raise TypeError(f"the function gave a {type(model).__name__}; it has to return a Keras model")
            walked = _trace(model)
            weights = sum(_weight(v)[2] for v in model.variables)
            return walked, weights, [_weight(v) for v in model.trainable_variables]
    finally:
        keras.config.set_dtype_policy(policy)


def _trace(model: "keras.Model") -> Walk:
    """Write the step into the present graph and walk it."""
    import tensorflow as tf

    from labkit.devices.memory_step import fixed_inputs, gradients

    graph = tf.compat.v1.get_default_graph()
    shapes = fixed_inputs(model)
    before = len(graph.get_operations())
    batch = _traced_batch([*(shape for shape, _ in shapes), *(variable.shape for variable in model.variables)])
    inputs = [tf.compat.v1.placeholder(dtype, (batch, *shape)) for shape, dtype in shapes]
    forward_ends = []
    gradients(model, inputs, between=lambda: forward_ends.append(len(graph.get_operations())))
    operations = graph.get_operations()[before:]
    return walk(operations, forward_ends[0] - before, inputs, batch)


def _traced_batch(shapes: Iterable[tuple[int, ...]]) -> int:
    """A prime that divides none of these sizes: what it divides grows with the batch, anything else does not."""
    sizes = {size for shape in shapes for size in shape if size}
    return next(
        number
        for number in itertools.count(_SMALLEST_TRACED_BATCH, 2)
        if all(number % divisor for divisor in range(3, math.isqrt(number) + 1, 2))
        and all(size % number for size in sizes)
    )


def _slots_and_update(optimizer: Any, trained: list[_Weight]) -> tuple[int, int]:
    """Bytes of what a copy of `optimizer` makes for such weights, and of what updating the largest takes meanwhile."""
    import keras
    import tensorflow as tf

    given = keras.optimizers.get(optimizer)
    config = given.get_config()

    def built_for(weights: list[_Weight]) -> tuple[Any, list[Any], int]:
        copy = type(given).from_config(config)
        own = len(copy.variables)  # its step count and learning rate
        variables = [keras.Variable(tf.zeros(shape, dtype), dtype=dtype) for shape, dtype, _ in weights]
        copy.build(variables)
        return copy, variables, sum(_weight(variable)[2] for variable in copy.variables[own:])

    if not trained:
        return 0, 0
    with tf.Graph().as_default() as graph:
        _, _, slots = built_for(trained)
        largest = max(trained, key=lambda weight: weight[2])
        copy, variables, _ = built_for([largest])
        gradient = tf.compat.v1.placeholder(largest[1], largest[0])
        before = len(graph.get_operations())
        copy.apply([gradient], variables)
        # No tensor has more elements than the "batch" of this walk, so that all sizes are fixed ones.
        update = walk(graph.get_operations()[before:], 0, [], 1 + max(1, math.prod(largest[0])))
    return slots, update.fullest(0)
