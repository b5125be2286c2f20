"""Data that ships with installed packages: nothing is downloaded, every machine gets the same rows.

Both sets come as a `Dataset`: seeded train and test parts of plain numpy arrays, one per model input.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from labkit.errors import needs_extra

PENGUIN_NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
PENGUIN_WORDS = ("island", "sex")


@dataclass(frozen=True)
class Examples:
    """Rows of a data set, column by column.

    Attributes:
        inputs: input name -> array whose first dimension is the row. Text is an object array of `str`, which Keras and
            TensorFlow both accept (numpy's own fixed-width text they refuse).
        labels: class number of each row, int32, shape (rows,).
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray | slice) -> "Examples":
        """The chosen rows: a slice, or an array of row numbers."""
        return Examples({name: column[rows] for name, column in self.inputs.items()}, self.labels[rows])


@dataclass(frozen=True)
class Dataset:
    """Examples to train on, examples kept back, and what the class numbers mean.

    Attributes:
        train: three quarters of the rows.
        test: the other quarter.
        classes: the name of class 0, 1, ...
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...]


def penguins(seed: int = 0) -> Dataset:
    """Measured penguins of three species on three islands (package `palmerpenguins`).

    Inputs, each of shape (rows,): ``bill_length_mm``, ``bill_depth_mm``, ``flipper_length_mm`` (float32, millimetres),
    ``body_mass_g`` (float32, grams), ``island`` and ``sex`` (text). Of the 344 penguins the two that were never
    measured are left out; where only the sex is missing it is the word ``unknown``.
    """
    with needs_extra("labkit.data.penguins", "labs"):
        table = files("palmerpenguins") / "data" / "penguins.csv"
    with table.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "NA" not in [row[name] for name in PENGUIN_NUMBERS]]
    inputs = {name: np.array([row[name] for row in rows], np.float32) for name in PENGUIN_NUMBERS}
    inputs["island"] = np.array([row["island"] for row in rows], object)
    inputs["sex"] = np.array(["unknown" if row["sex"] == "NA" else row["sex"] for row in rows], object)
    classes = tuple(sorted({row["species"] for row in rows}))
    labels = np.array([classes.index(row["species"]) for row in rows], np.int32)
    return _split(Examples(inputs, labels), classes, seed)


def digits(seed: int = 0) -> Dataset:
    """1,797 handwritten digits, 8 x 8 pixels (package `scikit-learn`).

    Input ``image``: float32, shape (rows, 8, 8, 1), ink from 0 (paper) to 16 (full). Classes are "0" to "9".
    """
    with needs_extra("labkit.data.digits", "labs"):
        from sklearn.datasets import load_digits  # a second of import that penguins need not pay

    bunch = load_digits()
    images = bunch.images.astype(np.float32)[..., np.newaxis]
    return _split(Examples({"image": images}, bunch.target.astype(np.int32)), tuple("0123456789"), seed)


def bitmaps(images: np.ndarray) -> np.ndarray:
    """Digits as black and white drawings: each cell becomes a block of 4 x 4 pixels with as much ink.

    The inverse of how those digits were made, but for where in its block a pixel is black, which nobody kept.

    Args:
        images: (rows, 8, 8, 1), ink from 0 to 16, as `digits` has them.

    Returns:
        float32 (rows, 32, 32, 1) of zeros and ones.
    """
    place = np.arange(16, dtype=np.float32).reshape(4, 4)  # which pixel of a block is the next to be black
    return (np.tile(place, (8, 8))[..., np.newaxis] < images.repeat(4, axis=1).repeat(4, axis=2)).astype(np.float32)


def _split(examples: Examples, classes: tuple[str, ...], seed: int) -> Dataset:
    order = np.random.default_rng(seed).permutation(len(examples))
    cut = len(examples) // 4
    return Dataset(train=examples.take(order[cut:]), test=examples.take(order[:cut]), classes=classes)
