"""What a training step needs, counted; and the same step measured in a process of its own."""

import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from labkit import processes
from labkit.devices.memory import GIB, training_memory
from labkit.devices.memory_measured import measured_training_memory
from labkit.devices.memory_models import CARDS, TRANSFORMERS, Transformer, which_fit
from labkit.errors import MeasurementFailed

layers = keras.layers


def dense(*, activation: str | None = "relu") -> keras.Model:
    """100 numbers in, 50 hidden, 10 out: 5050 + 510 weights."""
    return keras.Sequential([keras.Input((100,)), layers.Dense(50, activation=activation), layers.Dense(10)])


def wide(units: int = 1024) -> keras.Model:
    return keras.Sequential([keras.Input((512,)), layers.Dense(units, activation="relu"), layers.Dense(10)])


def convolutional() -> keras.Model:
    image = keras.Input((32, 32, 3))
    hidden = layers.Conv2D(32, 3, padding="same", activation="relu")(image)
    hidden = layers.Conv2D(32, 3, padding="same", activation="relu")(hidden)
    hidden = layers.Conv2D(64, 3, padding="same", activation="relu")(layers.MaxPooling2D()(hidden))
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(hidden)))


def test_a_dense_model_is_counted_to_the_byte():
    counted = training_memory(dense, 8)
    assert (counted.weights, counted.gradients, counted.slots) == (4 * 5560, 4 * 5560, 8 * 5560)
    assert counted.inputs == 8 * 100 * 4
    # The hidden layer after its ReLU, and the outputs that the loss squares; the ReLU keeps nothing more.
    assert counted.activations == 8 * (50 + 10) * 4
    assert training_memory(lambda: dense(activation=None), 8).activations == counted.activations


def test_the_fullest_moment_is_counted_to_the_byte():
    def three_operations() -> keras.Model:
        hidden = layers.Dense(50, use_bias=False, activation="relu")
        return keras.Sequential([keras.Input((100,)), hidden, layers.Lambda(tf.identity)])

    counted = training_memory(three_operations, 1024, optimizer="sgd")
    outputs = 1024 * 50 * 4
    # The ReLU writes over the product, and its own copy is none: one tensor, which both the square and the ReLU read.
    assert counted.activations == outputs
    # When the square's gradient is made there are the outputs, twice the outputs, and the mean's gradient, into which
    # the product of these two is written. The weights' gradient comes later.
    assert counted.temporary == 3 * outputs - counted.activations - counted.gradients
    # With one example the update is the fullest: SGD makes two tensors as large as the weights.
    assert counted.at(1).temporary == 2 * 4 * 5000 - counted.at(1).activations


def test_a_tensor_of_which_only_the_shape_is_read_is_not_kept():
    @tf.custom_gradient
    def doubled(x):
        return 2 * x, lambda upstream: tf.reshape(2 * upstream, tf.raw_ops.Shape(input=x))

    def model() -> keras.Model:
        return keras.Sequential([keras.Input((100,)), layers.Dense(50), layers.Lambda(doubled)])

    assert training_memory(model, 8).activations == 8 * 50 * 4


def test_a_built_model_needs_what_the_function_says_that_makes_it():
    made = training_memory(convolutional, 8)
    assert training_memory(convolutional(), 8) == made
    assert made.activations > 8 * 32 * 32 * 32 * 4 * 2


def test_a_model_larger_than_any_laptop_is_counted_without_its_weights():
    def huge() -> keras.Model:
        return keras.Sequential([keras.Input((200_000,)), layers.Dense(2_000_000, use_bias=False)])

    counted = training_memory(huge, 1, optimizer="sgd")
    assert counted.weights == 4 * 200_000 * 2_000_000
    assert counted.largest_batch(CARDS["80 GB"]) == 0


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [("sgd", 0), (keras.optimizers.SGD(momentum=0.9), 1), ("rmsprop", 1), ("lion", 1), ("adam", 2), ("adamw", 2)],
)
def test_slots_are_what_the_optimizer_itself_makes(optimizer, numbers):
    assert training_memory(dense, 1, optimizer=optimizer).slots == numbers * 4 * 5560
    if not isinstance(optimizer, str):
        assert not optimizer.built  # it was a copy


def test_frozen_layers_need_no_gradients_and_no_slots():
    def half_frozen() -> keras.Model:
        model = dense()
        model.layers[0].trainable = False
        return model

    for model in (half_frozen, half_frozen()):
        counted = training_memory(model, 1)
        assert (counted.weights, counted.gradients, counted.slots) == (4 * 5560, 4 * 510, 8 * 510)


def test_another_shape_of_the_same_numbers_is_counted_once():
    def reshaped() -> keras.Model:
        hidden = layers.Dense(50, activation="relu")
        return keras.Sequential(
            [keras.Input((100,)), hidden, layers.Reshape((5, 10)), layers.Flatten(), layers.Dense(10)]
        )

    assert training_memory(reshaped, 8).activations == training_memory(dense, 8).activations


def test_activations_grow_with_the_batch_and_nothing_else_does():
    small = training_memory(convolutional, 4)
    large = small.at(12)
    assert large == training_memory(convolutional, 12)
    assert (large.weights, large.gradients, large.slots) == (small.weights, small.gradients, small.slots)
    assert (large.activations, large.inputs) == (3 * small.activations, 3 * small.inputs)


def test_the_largest_batch_fits_and_one_more_does_not():
    counted = training_memory(convolutional, 1)
    largest = counted.largest_batch(GIB)
    assert counted.at(largest).total <= GIB < counted.at(largest + 1).total
    assert counted.largest_batch(counted.weights) == 0
    for endless in (counted, Transformer(layers=2, width=64, heads=4, sequence=32, vocabulary=100)):
        with pytest.raises(ValueError, match="available is inf; give a finite number"):
            endless.largest_batch(float("inf"))


def test_a_batch_may_be_a_number_of_numpys():
    counted = training_memory(dense, np.int64(8))
    assert counted == training_memory(dense, 8)
    assert (type(counted.batch), type(counted.at(np.int32(3)).total)) == (int, int)


@pytest.mark.parametrize("units", [1024, 1009, 1009 * 1013])  # the last two are sizes that a batch is traced with
def test_mixed_precision_halves_activations_and_adds_copies_of_the_weights(units):
    full = training_memory(lambda: wide(units), 1)
    mixed = training_memory(lambda: wide(units), 1, dtype="mixed_float16")
    assert (mixed.weights, mixed.gradients, mixed.slots) == (full.weights, full.gradients, full.slots)
    assert full.activations == 4 * (units + 10)
    example = 2 * (512 + units) + 4 * 10  # the input's copy and the hidden layer in float16, the loss in float32
    assert mixed.at(3).activations - mixed.activations == 2 * example
    assert mixed.activations == example + 2 * units * 10  # the copy of the second layer's weights
    assert keras.config.dtype_policy().name == "float32"


def test_an_update_takes_copies_of_the_largest_weight_for_a_moment():
    largest = 4 * 512 * 1024
    sgd, adam = (training_memory(wide, 1, optimizer=optimizer) for optimizer in ("sgd", "adam"))
    assert sgd.temporary + sgd.activations >= largest
    assert adam.temporary + adam.activations >= 2 * largest


def test_the_parts_sum_to_the_total():
    counted = training_memory(convolutional, 8)
    table = counted.table()
    assert list(table.index) == [
        "weights", "gradients", "optimizer slots", "inputs", "activations", "temporary", "total"
    ]  # fmt: skip
    assert table["share (%)"].iloc[:-1].sum() == pytest.approx(100, abs=0.01)
    assert table.loc["total", "GiB"] == round(counted.total / GIB, 3)


def either(x: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.exp(tf.exp(x)), lambda: x)


class Hiding(layers.Layer):
    """A layer whose operations are in a graph of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = layers.LSTM(4)

    @tf.function
    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.loop(x)


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="unroll=True"):
        training_memory(lambda: keras.Sequential([keras.Input((5, 3)), layers.LSTM(4)]), 1)
    with pytest.raises(ValueError, match=r"Take @tf\.function off"):
        training_memory(lambda: keras.Sequential([keras.Input((5, 3)), Hiding()]), 1)
    with pytest.raises(ValueError, match="has a branch"):
        training_memory(lambda: keras.Sequential([keras.Input((3,)), layers.Dense(3), layers.Lambda(either)]), 1)
    with pytest.raises(ValueError, match="open size"):
        training_memory(lambda: keras.Sequential([keras.Input((None, 3)), layers.Dense(4)]), 1)
    with pytest.raises(ValueError, match="no fixed inputs"):
        training_memory(keras.Sequential([layers.Dense(4)]), 1)
    with pytest.raises(ValueError, match="already built as 'float32'"):
        training_memory(dense(), 1, dtype="mixed_float16")
    with pytest.raises(ValueError, match="batch is 0"):
        training_memory(dense, 0)
    with pytest.raises(TypeError, match="a function that makes one"):
        training_memory("dense", 1)
    with pytest.raises(TypeError, match="has to return a Keras model"):
        training_memory(lambda: None, 1)


def test_a_branch_that_keeps_nothing_is_counted():
    made = training_memory(
        lambda: keras.Sequential([keras.Input((100,)), layers.SpectralNormalization(layers.Dense(50))]), 8
    )
    assert made.weights == 4 * (5050 + 50)


def test_an_unrolled_loop_is_counted():
    counted = training_memory(lambda: keras.Sequential([keras.Input((5, 3)), layers.LSTM(4, unroll=True)]), 1)
    assert counted.activations >= 5 * 4 * 4


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, dict[int, int]]:
    here = tmp_path_factory.mktemp("here")
    (here / "signal.py").write_text("raise SystemExit('the notebook has a file of this name')")
    assert processes.folder().is_dir()  # all files belong into this one, which goes with the process
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(tempfile, "tempdir", str(here / "absent"))
        return measured_training_memory({"wide": wide, "convolutional": convolutional()}, np.array([32, 256]))


def test_the_count_is_what_is_measured(measured):
    for name, model in {"wide": wide, "convolutional": convolutional}.items():
        for batch, found in measured[name].items():
            assert training_memory(model, batch).total == pytest.approx(found, rel=0.4), (name, batch)


def test_a_batch_that_is_none_is_not_measured():
    with pytest.raises(ValueError, match="batch is 0"):
        measured_training_memory({"dense": dense}, [8, 0])


def test_so_is_what_one_more_example_adds(measured):
    found = (measured["convolutional"][256] - measured["convolutional"][32]) / 224
    counted = training_memory(convolutional, 32)
    assert counted.per_example == pytest.approx(found, rel=0.4)


def test_a_model_that_cannot_be_made_elsewhere_is_reported_with_its_reason():
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    with pytest.raises(MeasurementFailed, match="Own"):
        measured_training_memory({"own": keras.Sequential([keras.Input((3,)), Own()])}, [1])


def test_transformers_have_the_sizes_they_are_named_after():
    assert [round(model.parameters / 1e9, 1) for model in TRANSFORMERS.values()] == [0.1, 1.3, 6.6]


def test_the_formula_of_a_transformer():
    model = Transformer(layers=2, width=64, heads=4, sequence=32, vocabulary=100)
    assert model.per_example == 2 * (34 * 32 * 64 + 5 * 4 * 32**2) + 4 * 32 * 100
    assert model.total(3) == 18 * model.parameters + 3 * model.per_example
    assert model.largest_batch(model.total(3)) == 3
    assert model.largest_batch(model.total(3) - 1) == 2
    assert model.largest_batch(1) == 0


def test_which_models_fit_which_card():
    table = which_fit({"dense": dense, "decoder": TRANSFORMERS["decoder, 7 billion"]}, optimizer="sgd")
    assert list(table.columns) == ["fixed (GiB)", "each example (MiB)", "8 GB", "10 GB", "24 GB", "80 GB"]
    assert (table.loc["decoder", "8 GB":] == 0).all()
    assert table.loc["dense", "8 GB":].is_monotonic_increasing
    assert table.loc["dense", "8 GB"] > 1000
    kept_back = which_fit({"dense": dense}, {"small": 2**20}, reserve=2**20)
    assert kept_back.loc["dense", "small"] == 0
