"""Comparisons: turns, what a point holds, and sides that do not answer alike."""

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import pytest

from labkit import bench
from labkit.bench import payload
from labkit.errors import RequestError


class Noted:
    """A target that answers with what `answer` makes of the batch, and notes whose turn it is."""

    def __init__(self, name: str, noted: list[str], answer: object = 1.0, *, form: payload.WireForm | None = None):
        self.name, self.noted, self.answer = name, noted, answer
        self.form = form or payload.json_rows()
        self.closed = False

    def encode(self, inputs: Mapping[str, np.ndarray]) -> bytes:
        return self.form.encode(inputs)

    def connect(self) -> "Noted":
        return self

    def send(self, request: bytes) -> bytes:
        self.noted.append(self.name)
        return b"12"

    def decode(self, answer: bytes) -> object:
        return self.answer

    def close(self) -> None:
        self.closed = True


def ones(size: int) -> dict[str, np.ndarray]:
    return {"x": np.ones((1, size), np.float32)}


def test_every_round_has_every_side_and_the_first_round_is_dropped() -> None:
    noted: list[str] = []
    sides = [Noted("a", noted), Noted("b", noted)]
    found = bench.compare(sides, ones, [2], rounds=2, seconds=1e-9)
    look_at_the_answers = ["a", "b"]
    assert noted == [*look_at_the_answers, *("b", "a"), *("a", "b"), *("b", "a")]
    assert [len(points[0].seconds) for points in found.sides.values()] == [2, 2]
    assert all(side.closed for side in sides)


def test_a_point_knows_what_travelled(sums) -> None:
    found = bench.compare([sums.rest(), sums.grpc()], sums.batch, [1, 1000], rounds=2, seconds=0.001)
    assert found.values == [1, 1000]
    for target in (sums.rest(), sums.grpc()):
        for point in found.sides[target.name]:
            assert point.request_bytes == len(target.encode(sums.batch(point.values)))
            assert 10 < point.answer_bytes < 100
            assert len(point.seconds) == 2 and min(point.seconds) > 0


def test_progress_is_told_after_each_size() -> None:
    told: list[float] = []
    bench.compare([Noted("a", [])], ones, [1, 2], rounds=1, seconds=1e-9, progress=told.append)
    assert told == [0.5, 1.0]


def test_sides_need_names_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"\['a', 'a'\]; .* each a name of its own"):
        bench.compare([Noted("a", []), Noted("a", [])], ones, [1])


@pytest.mark.parametrize(
    ("targets", "sizes", "rounds", "said"),
    [
        (0, [1], 1, r"the targets are called \[\]; give at least one"),
        (1, [], 1, r"sizes are \[\]; give at least one"),
        (1, [10, 1], 1, r"sizes are \[10, 1\]; give at least one, and the smallest first"),
        (1, [1], 0, "rounds is 0; it must be more than 0"),
    ],
)
def test_arguments_out_of_range(targets: int, sizes: list[int], rounds: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bench.compare([Noted(str(number), []) for number in range(targets)], ones, sizes, rounds=rounds)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-7], np.float32), True),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1, 2]), np.array([1.0, 2.0]), True),
        (np.array(["cat"]), np.array([b"cat"], object), True),
        ({"y": np.ones(2), "z": np.zeros(2)}, {"z": np.zeros(2), "y": np.ones(2)}, True),
        (np.array([1.0, 2.0]), np.array([1.0, 2.1]), False),
        (np.array([1.0, 2.0]), np.array([[1.0, 2.0]]), False),
        (np.array(["cat"]), np.array([b"dog"], object), False),
        ({"y": np.ones(2)}, {"z": np.ones(2)}, False),
        (np.ones(1), {"y": np.ones(1)}, False),
    ],
)
def test_sides_must_answer_alike(one: object, other: object, alike: bool) -> None:
    different = pytest.raises(ValueError, match="a and b give different answers")
    with nullcontext() if alike else different:
        bench.compare([Noted("a", [], one), Noted("b", [], other)], ones, [1], rounds=1, seconds=1e-9)


def test_a_form_that_rounds_may_bring_another_answer() -> None:
    rounded = Noted("b", [], np.ones(1), form=payload.json_rows(2))
    bench.compare([Noted("a", [], np.zeros(1)), rounded], ones, [1], rounds=1, seconds=1e-9)


def test_a_refusal_ends_the_comparison(sums) -> None:
    def wrong(size: int) -> dict[str, np.ndarray]:
        return {"x": np.ones(size, np.float32)}

    with pytest.raises(RequestError):
        bench.compare([sums.rest()], wrong, [3])
