"""labkit.data: the same rows everywhere, nothing missing, no row on both sides."""

import numpy as np
import pytest

from labkit import data


def rows(examples: data.Examples) -> list[tuple]:
    return list(zip(*(column.tolist() for column in examples.inputs.values()), strict=True))


def test_penguins_are_measured_in_millimetres_and_grams() -> None:
    inputs = data.penguins().train.inputs
    assert list(inputs) == [*data.PENGUIN_NUMBERS, *data.PENGUIN_WORDS]
    plausible = {
        "bill_length_mm": (30, 60),
        "bill_depth_mm": (13, 22),
        "flipper_length_mm": (170, 235),
        "body_mass_g": (2500, 6500),
    }
    for name, (low, high) in plausible.items():
        assert inputs[name].dtype == np.float32
        assert low < inputs[name].min() < inputs[name].max() < high


def test_unmeasured_penguins_are_left_out_and_unknown_sex_is_a_word() -> None:
    penguins = data.penguins()
    assert len(penguins.train) + len(penguins.test) == 342
    sexes = [sex for part in (penguins.train, penguins.test) for sex in part.inputs["sex"]]
    assert (sexes.count("male"), sexes.count("female"), sexes.count("unknown")) == (168, 165, 9)


def test_words_are_python_text() -> None:
    for name in data.PENGUIN_WORDS:
        column = data.penguins().train.inputs[name]
        assert column.dtype == object
        assert {type(word) for word in column} == {str}


def test_digits_are_ink_from_0_to_16() -> None:
    digits = data.digits()
    image = digits.train.inputs["image"]
    assert image.shape[1:] == (8, 8, 1)
    assert image.dtype == np.float32
    assert (image.min(), image.max()) == (0, 16)
    assert len(digits.train) + len(digits.test) == 1797


@pytest.mark.parametrize("load", [data.penguins, data.digits])
def test_every_class_is_named_and_on_both_sides(load) -> None:
    dataset = load()
    for part in (dataset.train, dataset.test):
        assert part.labels.dtype == np.int32
        assert set(part.labels) == set(range(len(dataset.classes)))


@pytest.mark.parametrize("load", [data.penguins, data.digits])
def test_split_is_a_quarter_and_follows_the_seed(load) -> None:
    first, again, other = load(), load(), load(seed=1)
    assert len(first.test) == (len(first.test) + len(first.train)) // 4
    assert first.test.labels.tolist() == again.test.labels.tolist()
    assert first.test.labels.tolist() != other.test.labels.tolist()


def test_no_penguin_is_in_both_halves_and_none_is_lost() -> None:
    penguins = data.penguins()
    train, test = rows(penguins.train), rows(penguins.test)
    everyone = sorted(rows(data.penguins(seed=1).train) + rows(data.penguins(seed=1).test))
    assert sorted(train + test) == everyone
    assert not set(train) & set(test)


def test_labels_stay_with_their_rows() -> None:
    """Only Gentoos have flippers over 215 mm; a shuffle of one without the other would break that."""
    penguins = data.penguins()
    for part in (penguins.train, penguins.test):
        long = part.inputs["flipper_length_mm"] > 215
        assert long.any()
        assert {penguins.classes[label] for label in part.labels[long]} == {"Gentoo"}


def test_take_chooses_the_same_rows_of_every_column() -> None:
    test = data.penguins().test
    assert rows(test.take(slice(3, 5))) == rows(test)[3:5]
    assert rows(test.take(np.array([7, 0]))) == [rows(test)[7], rows(test)[0]]
    assert test.take(slice(3, 5)).labels.tolist() == test.labels[3:5].tolist()


def test_a_bitmap_has_the_ink_of_its_digit_in_every_block() -> None:
    images = data.digits().test.inputs["image"]
    drawings = data.bitmaps(images)
    assert (drawings.shape, drawings.dtype) == ((len(images), 32, 32, 1), np.float32)
    assert set(np.unique(drawings)) == {0, 1}
    np.testing.assert_array_equal(drawings.reshape(-1, 8, 4, 8, 4).sum(axis=(2, 4)), images[..., 0])
