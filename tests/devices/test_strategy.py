"""labkit.devices.strategy: one training function under every strategy, in one process with two logical CPUs.

This file is also that process: as a program it prints what the tests compare.
"""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from labkit.devices import strategy, tpu
from labkit.devices.tpu import Tpu

NAMES = ("default", "one", "mirrored")


@pytest.fixture(scope="module")
def trained() -> dict:
    """What the process found: descriptions, weights, and what happened to a wrong device."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("TPU_", "COLAB_TPU", "KUBE_"))}
    command = [sys.executable, __file__]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_each_is_described_by_name_replicas_and_devices(trained):
    assert trained["described"] == {
        "default": ["default strategy", 1, "CPU:0"],
        "one": ["OneDeviceStrategy", 1, "CPU:1"],
        "mirrored": ["MirroredStrategy", 2, "CPU:0, CPU:1"],
    }


@pytest.mark.parametrize("loop", ["fit", "by hand"])
@pytest.mark.parametrize("name", NAMES[1:])
def test_the_weights_do_not_depend_on_the_strategy(trained, loop, name):
    weights = trained["weights"][loop]
    assert not np.allclose(weights["default"], trained["untrained"], atol=1e-2), "nothing was learned"
    np.testing.assert_allclose(weights[name], weights["default"], atol=1e-5)


def test_the_variables_are_where_the_strategy_says(trained):
    assert trained["variables"] == {"default": ["CPU:0"], "one": ["CPU:1"], "mirrored": ["CPU:0", "CPU:1"]}


def test_the_default_strategy_can_be_described_inside_another_ones_scope(trained):
    assert trained["inside"][0] == "default strategy"


def test_the_same_devices_have_one_strategy(trained):
    assert trained["again the same"] is True


def test_a_device_that_is_not_there_is_refused(trained):
    assert trained["wrong device"] == (
        "best() was given devices=['CPU:9']; this process has the logical devices ['CPU:0', 'CPU:1'], give a list of "
        "one or more of them, each once. A CPU is split with tf.config.set_logical_device_configuration in a new "
        "process, before best() and before the first op"
    )


@pytest.mark.parametrize("devices", [[], "CPU:0", ["nonsense"], [3], ["CPU:0", "CPU:0"], ["CPU:0", "/device:CPU:0"]])
def test_what_is_no_list_of_different_devices_is_refused(devices):
    with pytest.raises(ValueError, match=re.escape(f"best() was given devices={devices!r}; this process has")):
        strategy.best(devices=devices)


@pytest.fixture
def gpus(monkeypatch):
    """Makes TensorFlow list so many GPUs; that they compute is not tried."""
    import tensorflow as tf

    def are(count):
        listed = [tf.config.LogicalDevice(f"/device:GPU:{number}", "GPU") for number in range(count)]
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: listed if kind == "GPU" else [])
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: ("mirrored", devices))

    yield are
    strategy._mirrored.cache_clear()


def test_a_tpu_is_taken_before_several_gpus(monkeypatch, gpus):
    import tensorflow as tf

    gpus(2)
    monkeypatch.setattr(tpu, "find", lambda: Tpu("grpc://10.0.0.2:8470", 8))
    monkeypatch.setattr(tpu, "connect", lambda address: f"resolver of {address}")
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: ("TPU", resolver))
    assert strategy.best() == ("TPU", "resolver of grpc://10.0.0.2:8470")


def test_several_gpus_are_mirrored_and_one_is_left_to_the_default_strategy(monkeypatch, gpus):
    import tensorflow as tf

    monkeypatch.setattr(tpu, "find", lambda: None)
    gpus(2)
    assert strategy.best() == ("mirrored", ["GPU:0", "GPU:1"])
    gpus(1)
    assert strategy.best() is tf.distribute.get_strategy()


def _examples():
    random = np.random.default_rng(7)
    features = random.normal(size=(64, 3)).astype("float32")
    return features, (features @ [[1.0], [-2.0], [0.5]] + 0.25).astype("float32")


def _model(chosen):
    import keras

    with chosen.scope():
        keras.utils.set_random_seed(7)
        return keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])


def _fit(chosen):
    import keras

    model = _model(chosen)
    with chosen.scope():
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.fit(*_examples(), batch_size=16, epochs=2, shuffle=False, verbose=0)
    return model


def _by_hand(chosen):
    import keras
    import tensorflow as tf

    model = _model(chosen)
    with chosen.scope():
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)

    def step(features, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((model(features) - labels) ** 2) / 16.0  # the batch of all replicas together
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    run = tf.function(lambda batch: chosen.run(step, args=batch))
    dataset = tf.data.Dataset.from_tensor_slices(_examples()).batch(16, drop_remainder=True).repeat(2)
    for batch in chosen.experimental_distribute_dataset(dataset):
        run(batch)
    return model


def _flat(model):
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()]).tolist()


def _places(chosen, model):
    copies = chosen.experimental_local_results(model.trainable_variables[0].value)
    return [copy.device.rsplit("/", 1)[-1].removeprefix("device:") for copy in copies]


def _refusal():
    try:
        strategy.best(devices=["CPU:9"])
    except ValueError as error:
        return str(error)
    return "accepted"


def _main():
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    chosen = dict(zip(NAMES, map(strategy.best, (None, ["CPU:1"], ["/device:CPU:0", "CPU:1"])), strict=True))
    with chosen["mirrored"].scope():
        inside = strategy.describe(chosen["default"])
    fitted = {name: _fit(one) for name, one in chosen.items()}
    looped = {name: _by_hand(one) for name, one in chosen.items()}
    report = {
        "described": {name: strategy.describe(one) for name, one in chosen.items()},
        "inside": inside,
        "untrained": _flat(_model(chosen["default"])),
        "weights": {
            "fit": {name: _flat(model) for name, model in fitted.items()},
            "by hand": {name: _flat(model) for name, model in looped.items()},
        },
        "variables": {name: _places(chosen[name], model) for name, model in fitted.items()},
        "wrong device": _refusal(),
        "again the same": strategy.best(["CPU:0", "CPU:1"]) is chosen["mirrored"],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    _main()
