"""One of two workers, each on a core of its own with one thread for its ops: trains alone, side by side, and together.

    train.py BATCH STEPS ROUNDS

All of it happens in the same two processes, so that only the training differs. Results are written to `worker-N.json`.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

BATCH, STEPS, ROUNDS = map(int, sys.argv[1:])
INDEX: int = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
_LEARNING_RATE = 0.01


def main() -> None:
    """Measures every way to train once a round, every second round in reverse; a first round is dropped."""
    if hasattr(os, "sched_setaffinity"):  # before TensorFlow starts its threads, which inherit it
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[INDEX]})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.RING
        )
    )
    alone, together = Training(tf.distribute.get_strategy()), Training(strategy)
    phases: dict[str, Callable[[], object]] = {
        "worker 0 alone": lambda: alone.seconds() if INDEX == 0 else None,
        "worker 1 alone": lambda: alone.seconds() if INDEX == 1 else None,
        "side by side": alone.seconds,
        "together": together.seconds,
        "parts": together.parts,
    }
    found: dict[str, list[object]] = {name: [] for name in phases}
    for turn in range(ROUNDS + 1):
        for name in phases if turn % 2 else reversed(phases):
            together.meet()
            found[name].append(phases[name]())
    together.meet()
    written = {name: values[1:] for name, values in found.items()}
    written |= {"replicas": strategy.num_replicas_in_sync, "bytes": together.bytes, "weights": together.checksum()}
    Path(f"worker-{INDEX}.json").write_text(json.dumps(written))
    while not Path(f"worker-{1 - INDEX}.json").exists():
        time.sleep(0.01)  # whoever ended first would cut off what the other still receives of the last sum


class Training:
    """A model that trains under a strategy. Each worker has a batch of its own.

    Attributes:
        bytes: of all gradients of one step.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        keras.utils.set_random_seed(1)
        self._strategy = strategy
        with strategy.scope():
            self._model = _convolutional()
        self._weights = [each.value for each in self._model.trainable_variables]
        self._images = tf.random.stateless_normal([BATCH, 32, 32, 3], [1, INDEX])
        self._labels = tf.random.stateless_uniform([BATCH], [2, INDEX], 0, 10, tf.int32)
        self.bytes = sum(4 * int(tf.size(each)) for each in self._weights)
        self._step = self._compiled(lambda: self._update(_sum(self._gradients())))
        self._own_gradients = self._compiled(self._gradients)
        self._reduced = self._compiled(_sum)
        self._updated = self._compiled(self._update)
        self._met = self._compiled(lambda: _sum([tf.ones([])]))

    def seconds(self) -> float:
        """How long the steps take, each a graph."""
        start = time.perf_counter()
        for _ in range(STEPS):
            self._step()
        return time.perf_counter() - start

    def parts(self) -> dict[str, float]:
        """Seconds of a step whose parts are graphs of their own, one after the other."""
        spent = Stopwatch()
        for _ in range(STEPS):
            gradients = self._own_gradients()
            spent.on("gradients")
            self.meet()
            spent.on("waiting")
            self.meet()  # nobody is late any more
            spent.on("one number")
            gradients = self._reduced(gradients)
            spent.on("all gradients")
            self._updated(gradients)
            spent.on("update")
        return {name: seconds / STEPS for name, seconds in spent.seconds.items()}

    def meet(self) -> None:
        """Wait for the other worker."""
        self._met()

    def checksum(self) -> float:
        """Of the weights; the same on workers that train together."""
        return sum(float(tf.reduce_sum(tf.abs(each))) for each in self._weights)

    def _compiled(self, function: Callable[..., object]) -> Callable[..., object]:
        return tf.function(lambda *arguments: self._strategy.run(function, arguments), autograph=False)

    def _gradients(self) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(self._labels, self._model(self._images))
            loss = tf.reduce_mean(losses) / self._strategy.num_replicas_in_sync
        return tape.gradient(loss, self._weights)

    def _update(self, gradients: list[tf.Tensor]) -> None:
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.assign_sub(_LEARNING_RATE * gradient)


class Stopwatch:
    """Runs from the start, or from the last call of `on`.

    Attributes:
        seconds: what was spent on each thing.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._last = time.perf_counter()

    def on(self, name: str) -> None:
        """All since the last call was spent on this."""
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last = now


def _sum(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    here = [tf.identity(each) for each in tensors]  # an argument has no device yet, which the strategy asks for
    return tf.distribute.get_replica_context().all_reduce("SUM", here)


def _convolutional() -> keras.Model:
    """An ordinary small network for pictures of 32 x 32 pixels."""
    layers = [keras.Input([32, 32, 3])]
    for filters in (32, 64):
        layers += [keras.layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        layers.append(keras.layers.MaxPooling2D())
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(10)])


if __name__ == "__main__":
    main()
