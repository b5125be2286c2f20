"""Results: spreads, percentiles, break-evens, and files that hold all of it."""

import json
from pathlib import Path

import pytest

from labkit.bench import results
from labkit.bench.results import Comparison, LoadResult, Phases, Point, Round
from labkit.errors import MeasurementFailed

OPEN = LoadResult(
    "REST",
    "open",
    4,
    100.0,
    True,
    20,
    30,
    [
        Round(2.0, [0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.1, 0.1], {"UNAVAILABLE": 2}, 0.5),
        Round(1.0, [0.5, 0.7], [0.4, 0.4], {"UNAVAILABLE": 1, "NOT_FOUND": 1}, 1.0),
        Round(4.0, [0.3] * 8, [0.2] * 8, {}, 1.0),
    ],
)
CLOSED = LoadResult("gRPC", "closed", 1, None, False, 20, 30, [Round(1.0, [0.1])])
PHASES = Phases("REST", 10, {"client encode": [1.0, 3.0], "round trip": [10.0, 10.0], "client decode": [2.0, 1.0]})


def comparison(**times: list[float]) -> Comparison:
    sizes = (10, 100, 1000)
    return Comparison(
        {side: [Point(size, 4 * size, 8, [seconds] * 3) for size, seconds in zip(sizes, each, strict=True)]
         for side, each in times.items()}
    )  # fmt: skip


COMPARISON = comparison(text=[1.0, 4.0, 40.0], bytes=[2.0, 2.0, 4.0])


def test_a_load_is_summed_over_rounds() -> None:
    assert OPEN.requests == 14
    assert OPEN.errors == {"UNAVAILABLE": 3, "NOT_FOUND": 1}
    assert OPEN.throughput == (2.0, 2.0, 2.0)
    assert OPEN.client_cores == (0.25, 0.25, 1.0)


@pytest.mark.parametrize(
    ("percentile", "spread"),
    [(0, (0.3, 0.1, 0.5)), (50, (0.3, 0.2, 0.5)), (75, (0.3, 0.3, 0.7)), (99, (0.4, 0.3, 0.7)), (100, (0.4, 0.3, 0.7))],
)
def test_a_percentile_is_a_request_that_happened(percentile: float, spread: tuple[float, ...]) -> None:
    assert OPEN.latency(percentile) == spread


@pytest.mark.parametrize(
    ("requests", "percentile", "place"), [(1000, 99.9, 999), (100, 55, 55), (100, 99, 99), (100, 99.1, 100), (10, 0, 1)]
)
def test_a_percentile_is_of_the_right_request(requests: int, percentile: float, place: int) -> None:
    slowest_first = [float(seconds) for seconds in range(requests, 0, -1)]
    found = LoadResult("REST", "closed", 1, None, True, 1, 1, [Round(1.0, slowest_first)])
    assert found.latency(percentile) == (place, place, place)


def test_service_times_are_an_open_loops() -> None:
    assert OPEN.latency(50, service_time=True) == (0.2, 0.1, 0.4)
    with pytest.raises(ValueError, match="only an open loop"):
        CLOSED.latency(50, service_time=True)
    for wrong in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match=f"percentile is {wrong}; it is a number from 0 to 100"):
            CLOSED.latency(wrong)


def test_phases_add_up_within_each_round() -> None:
    assert PHASES.total == (13.5, 13.0, 14.0)
    assert PHASES.spread("client encode") == (2.0, 1.0, 3.0)
    with pytest.raises(KeyError):
        PHASES.spread("model run")


def test_sides_are_compared_within_each_round() -> None:
    one = [Point(1, 4, 4, [1.0, 2.0, 9.0])]
    two = [Point(1, 4, 4, [2.0, 4.0, 9.0])]
    assert Comparison({"one": one, "two": two}).ratios("one", "two") == [(0.5, 0.5, 1.0)]
    assert COMPARISON.values == [10, 100, 1000]


def test_the_break_even_is_where_the_lines_cross() -> None:
    assert COMPARISON.ratios("bytes", "text")[0].median == 2.0
    assert COMPARISON.break_even("bytes", "text") == pytest.approx(31.6, abs=0.1), "half way: from twice to half"
    assert COMPARISON.break_even("text", "bytes") is None
    assert comparison(a=[1, 1, 1], b=[2, 2, 2]).break_even("a", "b") == 10, "nothing smaller was compared"
    dip = comparison(a=[1, 3, 1], b=[2, 2, 2])
    assert 100 < dip.break_even("a", "b") < 1000, "quicker once, then slower, does not count"
    with pytest.raises(KeyError):
        COMPARISON.break_even("bytes", "carrier pigeon")


@pytest.mark.parametrize("result", [OPEN, CLOSED, PHASES, COMPARISON], ids=lambda each: type(each).__name__)
def test_results_are_saved_and_loaded(result: results.Result, tmp_path: Path) -> None:
    results.save(result, tmp_path / "result.json")
    assert results.load(tmp_path / "result.json") == result
    assert json.loads((tmp_path / "result.json").read_text())["kind"] == type(result).__name__


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"kind": "Wish"}', '{"kind": "LoadResult"}', '{"kind": "Comparison", "sides": 1}']
)
def test_a_file_that_is_no_result(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(MeasurementFailed, match="no saved result of labkit"):
        results.load(tmp_path / "result.json")
