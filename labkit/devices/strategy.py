"""The strategy that this machine offers, so that one training function runs on whatever there is.

    strategy = best()
    with strategy.scope():
        model = keras.Sequential([...])

The tables in `tf.distribute`'s guide (https://www.tensorflow.org/guide/distributed_training) in one rule: a TPU, else
all GPUs if there are several, else the default strategy. That one already computes on the only GPU, or on the CPU.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from labkit.devices import tpu
from labkit.devices.placement import short_name

if TYPE_CHECKING:
    import tensorflow as tf


class Description(NamedTuple):
    """A strategy in a line, for a table.

    Attributes:
        name: the class, such as ``MirroredStrategy``.
        replicas: how many copies of the model compute at the same time.
        devices: where they compute, such as ``CPU:0, CPU:1``.
    """

    name: str
    replicas: int
    devices: str


def best(devices: Sequence[str] | None = None) -> "tf.distribute.Strategy":
    """The strategy for this machine's fastest devices, or for the named ones.

    Args:
        devices: logical devices such as ``["CPU:0", "CPU:1"]``; the model is copied to each. None: choose.
            The same ones give the same strategy. This call fixes them: a CPU can be split only before it, and before
            the first op.

    Raises:
        ValueError: `devices` is empty or a plain string, or one is named twice, is no device's name, or is not there
            (TensorFlow would compute elsewhere without a word).
    """
    import tensorflow as tf

    if devices is not None:
        return _on(devices if isinstance(devices, str) else list(devices))
    if found := tpu.find():
        return tf.distribute.TPUStrategy(tpu.connect(found.address))
    gpus = [short_name(device.name) for device in tf.config.list_logical_devices("GPU")]
    return _mirrored(tuple(gpus)) if len(gpus) > 1 else tf.distribute.get_strategy()


def describe(strategy: "tf.distribute.Strategy") -> Description:
    """Its name, its number of replicas, and the devices that these compute on.

    Args:
        strategy: any strategy of one machine, or a TPU's.
    """
    import tensorflow as tf

    try:
        devices = strategy.extended.worker_devices
    except RuntimeError:  # only the default strategy has no list; an op tells where its ops go
        return Description("default strategy", strategy.num_replicas_in_sync, short_name((tf.zeros([]) + 1.0).device))
    names = ", ".join(short_name(device) for device in devices)
    return Description(type(strategy).__name__, strategy.num_replicas_in_sync, names)


def _on(devices: list[str] | str) -> "tf.distribute.Strategy":
    import tensorflow as tf

    there = [short_name(device.name) for device in tf.config.list_logical_devices()]
    wanted = _short_names(devices)
    if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(there):
        raise ValueError(
            f"best() was given devices={devices!r}; this process has the logical devices {there}, give a list of one "
            "or more of them, each once. A CPU is split with tf.config.set_logical_device_configuration in a new "
            "process, before best() and before the first op"
        )
    return _mirrored(tuple(wanted)) if len(wanted) > 1 else tf.distribute.OneDeviceStrategy(wanted[0])


@functools.cache  # each numbers its all-reduces from 1, so two of them over the same devices wait for each other
def _mirrored(devices: tuple[str, ...]) -> "tf.distribute.Strategy":
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def _short_names(devices: list[str] | str) -> list[str]:
    """Empty when one is no device's name, as the letters of a plain string are none."""
    try:
        return [short_name(device) for device in devices]
    except (ValueError, AttributeError):  # how `tf.DeviceSpec` refuses a text, and what is none
        return []
