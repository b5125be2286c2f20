"""page/bitmap.js: what is drawn becomes what scikit-learn's digits are."""

import json
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from labkit import data
from labkit.browser import PageServer
from labkit.browser.devtools import Browser

Stroke = list[tuple[float, float]]


def arc(x: float, y: float, width: float, height: float, start: float, end: float) -> Stroke:
    """Part of an ellipse around (x, y), from one angle to another, in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 16))
    return [(x + width / 2 * math.cos(a), y + height / 2 * math.sin(a)) for a in angles]


# One way to write each digit, upright, from 0 to 1.
DIGITS: list[list[Stroke]] = [
    [arc(0.5, 0.5, 0.5, 0.8, -90, 270)],
    [[(0.42, 0.22), (0.5, 0.1), (0.5, 0.9)]],
    [[*arc(0.5, 0.3, 0.42, 0.4, -170, 40), (0.3, 0.88), (0.74, 0.88)]],
    [[*arc(0.47, 0.29, 0.42, 0.38, -150, 90), *arc(0.47, 0.69, 0.5, 0.42, -90, 150)]],
    [[(0.4, 0.1), (0.26, 0.56), (0.76, 0.56)], [(0.6, 0.34), (0.57, 0.9)]],
    [[(0.7, 0.12), (0.36, 0.12), (0.33, 0.46), *arc(0.47, 0.66, 0.48, 0.44, -100, 140)]],
    [[(0.6, 0.1), (0.4, 0.32), (0.3, 0.62), *arc(0.49, 0.7, 0.38, 0.38, 180, -170)]],
    [[(0.25, 0.12), (0.75, 0.12), (0.55, 0.5), (0.42, 0.9)]],
    [arc(0.5, 0.29, 0.36, 0.38, 90, -270) + arc(0.5, 0.69, 0.46, 0.42, -90, 270)],
    [[*arc(0.5, 0.31, 0.38, 0.4, 0, -350), (0.68, 0.4), (0.62, 0.9)]],
]


def written(digit: int, *, slant: float = 0.0, width: float = 1.0, size: float = 1.0) -> list[Stroke]:
    """A digit by a hand that slants to the right, writes wide, or small."""
    return [
        [(0.5 + ((x - 0.5) * width + (0.5 - y) * slant) * size, 0.5 + (y - 0.5) * size) for x, y in stroke]
        for stroke in DIGITS[digit]
    ]


HANDS = [{"slant": s, "width": w, "size": z} for s in (-0.2, 0.1, 0.4) for w, z in ((0.6, 0.9), (0.9, 0.6), (1.2, 0.4))]


@pytest.fixture(scope="module")
def module(browser: Browser) -> Iterator[Callable[..., Any]]:
    """Calls a function of page/bitmap.js once for each given argument and returns what it gave as arrays."""
    with PageServer("draw", files={"page.json": b"{}"}) as server:
        tab = browser.open(server.url)

        def call(function: str, arguments: list[Any]) -> np.ndarray:
            given = json.dumps(arguments)
            work = f"m => {given}.map((given) => Array.from(m.{function}(given)))"
            return np.array(tab.evaluate(f"import('./page/bitmap.js').then({work})"))

        yield call
        tab.close()


@pytest.fixture(scope="module")
def bitmaps(module: Callable[..., Any]) -> np.ndarray:
    """(digit, hand, row, column) of zeros and ones."""
    drawings = [written(digit, **hand) for digit in range(10) for hand in HANDS]
    return module("bitmapFromStrokes", drawings).reshape(10, len(HANDS), 32, 32)


def test_the_digits_of_the_data_are_their_nearest_neighbours(module: Callable[..., Any], bitmaps: np.ndarray) -> None:
    ink = module("inkOf", bitmaps.reshape(-1, 1024).tolist())
    known = data.digits().train
    images = known.inputs["image"].reshape(-1, 64)
    distances = ((ink[:, None] - images) ** 2).sum(axis=2)
    nearest = known.labels[np.argsort(distances, axis=1)[:, :3]]
    votes = np.array([np.bincount(three, minlength=10).argmax() for three in nearest])
    right = votes.reshape(10, -1) == np.arange(10)[:, None]
    assert right.mean() >= 0.95, f"right by digit: {dict(enumerate(right.mean(axis=1).round(2)))}"


def test_every_drawing_has_the_ink_and_the_box_of_the_data(bitmaps: np.ndarray) -> None:
    ink = bitmaps.sum(axis=(2, 3))
    assert ink.min() >= 256 and ink.max() <= 413
    theirs = data.digits().train.inputs["image"].sum(axis=(1, 2, 3))
    assert ink.mean() == pytest.approx(theirs.mean(), rel=0.1)
    rows = bitmaps.any(axis=3)
    assert rows.sum(axis=2).min() >= 31  # from top to bottom
    middle = (bitmaps.any(axis=2) * np.arange(0.5, 32)).sum(axis=2) / bitmaps.any(axis=2).sum(axis=2)
    assert abs(middle - 16).max() <= 6


def test_what_is_written_with_a_slant_stands_upright(bitmaps: np.ndarray) -> None:
    left = bitmaps.argmax(axis=3)
    assert abs(left[..., 2] - left[..., 29]).max() <= 2


def test_a_line_is_a_one_and_not_a_square(module: Callable[..., Any]) -> None:
    straight, dot, nothing = module("bitmapFromStrokes", [[[[0.5, 0.1], [0.5, 0.9]]], [[[0.3, 0.3]]], []])
    wide = straight.reshape(32, 32).sum(axis=1)
    assert straight.reshape(32, 32).any(axis=1).all() and 8 <= wide.max() <= 14
    assert 0 < dot.sum() < 100
    assert nothing.shape == (1024,) and not nothing.any()


def test_size_place_and_number_of_points_change_nothing(module: Callable[..., Any]) -> None:
    five = written(5)
    small = [[(0.1 + x * 0.4, 0.5 + y * 0.4) for x, y in stroke] for stroke in five]
    halved = [
        [point for pair in pairwise(stroke) for point in (pair[0], tuple(np.mean(pair, axis=0)))] + [stroke[-1]]
        for stroke in five
    ]
    first, second, third = module("bitmapFromStrokes", [five, small, halved])
    assert (first != second).sum() <= 10
    assert (first != third).sum() <= 10


def test_an_example_has_exactly_its_ink_and_is_what_python_makes_of_it(module: Callable[..., Any]) -> None:
    images = data.digits().test.inputs["image"][:20]
    examples = images.reshape(-1, 64).astype(int)
    made = module("bitmapFromInk", examples.tolist())
    assert (made.reshape(-1, 32, 32, 1) == data.bitmaps(images)).all()
    assert (module("inkOf", made.tolist()) == examples).all()


@pytest.mark.parametrize("ink", [[0] * 63, [17] + [0] * 63, [-1] + [0] * 63])
def test_what_is_no_example_is_refused_in_words(module: Callable[..., Any], ink: list[int]) -> None:
    from labkit.errors import BrowserError

    with pytest.raises(BrowserError, match=rf"An example is 64 counts from 0 to 16, got {len(ink)} values: {ink[0]},"):
        module("bitmapFromInk", [ink])
