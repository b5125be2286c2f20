"""What measurements found out, as plain dataclasses that are saved as JSON and loaded again."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

import numpy as np

from labkit.errors import MeasurementFailed


class Spread(NamedTuple):
    """A number from several rounds: the median, the lowest, the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of the rounds' values."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Round:
    """One stretch of load.

    Attributes:
        seconds: how long it took, until the last answer.
        latencies: seconds until each answer, in the order of answers. In an open loop, from when it was due.
        service_times: in an open loop, the same from when the request was really sent; else empty.
        errors: how many requests failed, by status code.
        client_seconds: processor time that this process took meanwhile.
    """

    seconds: float
    latencies: list[float]
    service_times: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    client_seconds: float = 0.0


@dataclass(frozen=True)
class LoadResult:
    """What came of load on a target.

    Attributes:
        target: the target's name.
        loop: ``closed`` or ``open``.
        clients: how many asked at a time; in an open loop, at most.
        rate: requests a second that were asked for; None in a closed loop.
        keep_connection: whether a client kept its connection.
        request_bytes: size of a request's body or message.
        answer_bytes: size of an answer's body or message, of the first one.
        rounds: what was measured, warm-up left out.
    """

    target: str
    loop: str
    clients: int
    rate: float | None
    keep_connection: bool
    request_bytes: int
    answer_bytes: int
    rounds: list[Round]

    @property
    def requests(self) -> int:
        """How many were answered."""
        return sum(len(each.latencies) for each in self.rounds)

    @property
    def errors(self) -> dict[str, int]:
        """How many failed, by status code."""
        return dict(sum((Counter(each.errors) for each in self.rounds), Counter()))

    @property
    def throughput(self) -> Spread:
        """Answers a second."""
        return self._spread(lambda each: len(each.latencies) / each.seconds)

    @property
    def client_cores(self) -> Spread:
        """How many processor cores this process kept busy. Near 1, Python's clients were the limit, not the server."""
        return self._spread(lambda each: each.client_seconds / each.seconds)

    def latency(self, percentile: float = 50.0, *, service_time: bool = False) -> Spread:
        """Seconds within which so many per cent of a round's answers were there; failed requests are in `errors` only.

        Args:
            percentile: 0 to 100. It is the latency of a request that happened, never a value between two.
            service_time: in an open loop, count from when requests were sent.

        Raises:
            ValueError: `service_time` is asked of a closed loop, or the percentile is out of range.
        """
        if service_time and self.loop != "open":
            raise ValueError("only an open loop has service times; in a closed loop they are the latencies")
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile is {percentile}; it is a number from 0 to 100")
        return self._spread(
            lambda each: _nearest_rank(each.service_times if service_time else each.latencies, percentile)
        )

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """The result that `results.save` wrote."""
        return cls(**{**saved, "rounds": [Round(**each) for each in saved["rounds"]]})

    def _spread(self, of_round: Callable[[Round], float]) -> Spread:
        return Spread.of([of_round(each) for each in self.rounds])


def _nearest_rank(times: list[float], percentile: float) -> float:
    """Exact; numpy's `inverted_cdf` rounds, and takes the slowest of 1,000 for the 99.9th percentile."""
    return sorted(times)[max(1, ceil(len(times) * percentile / 100)) - 1]


@dataclass(frozen=True)
class Phases:
    """Where the time of a request goes.

    Attributes:
        target: the target's name.
        requests: how many requests a round had.
        seconds: name of a phase -> its mean in each round. The names, in the order of time: ``client encode``,
            ``transport`` (both sides' libraries, the network, a wait for a thread), ``server decode``, ``model run``,
            ``server encode``, ``client decode``. A server that is not labkit's has ``server decode and encode``
            in one; without the server's metrics, ``transport`` and the server's are one ``round trip``.
    """

    target: str
    requests: int
    seconds: dict[str, list[float]]

    def spread(self, phase: str) -> Spread:
        """Seconds of one phase.

        Raises:
            KeyError: there is no such phase.
        """
        return Spread.of(self.seconds[phase])

    @property
    def total(self) -> Spread:
        """Seconds of the whole."""
        return Spread.of([sum(each) for each in zip(*self.seconds.values(), strict=True)])

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """The result that `save` wrote."""
        return cls(**saved)


@dataclass(frozen=True)
class Point:
    """One payload, asked by one target.

    Attributes:
        values: numbers (or strings) in a request.
        request_bytes: size of the request's body or message.
        answer_bytes: size of the answer's body or message.
        seconds: of each round, the median time of a request, from arrays to arrays.
    """

    values: int
    request_bytes: int
    answer_bytes: int
    seconds: list[float]

    @property
    def time(self) -> Spread:
        """Seconds of a request."""
        return Spread.of(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """Several ways to ask the same, over payloads of several sizes.

    Attributes:
        sides: name of the target -> one point a size, smallest first; the same sizes for all.
    """

    sides: dict[str, list[Point]]

    @property
    def values(self) -> list[int]:
        """How many values a request had, smallest first."""
        return [point.values for point in next(iter(self.sides.values()))]

    def ratios(self, side: str, other: str) -> list[Spread]:
        """How many times as long `side` takes as `other`, for each size, compared within each round.

        Raises:
            KeyError: there is no such side.
        """
        pairs = zip(self.sides[side], self.sides[other], strict=True)
        return [
            Spread.of([mine / theirs for mine, theirs in zip(one.seconds, two.seconds, strict=True)])
            for one, two in pairs
        ]

    def break_even(self, side: str, other: str) -> float | None:
        """From how many values on `side` is the quicker one; None if not even at the largest.

        Between two sizes the crossing is where straight lines on logarithmic axes meet. If `side` is quicker at every
        size, the answer is the smallest: there was no smaller one to compare.

        Raises:
            KeyError: there is no such side.
        """
        ratios = [spread.median for spread in self.ratios(side, other)]
        slower = [place for place, ratio in enumerate(ratios) if ratio >= 1]
        if not slower:
            return float(self.values[0])
        last = slower[-1]
        if last == len(ratios) - 1:
            return None
        before, after = np.log(ratios[last : last + 2])
        smaller, larger = np.log(self.values[last : last + 2])
        return float(np.exp(smaller + (larger - smaller) * before / (before - after)))

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """The result that `save` wrote."""
        return cls({name: [Point(**point) for point in points] for name, points in saved["sides"].items()})


Result = LoadResult | Phases | Comparison
_KINDS: dict[str, type[Result]] = {kind.__name__: kind for kind in (LoadResult, Phases, Comparison)}


def save(result: Result, path: Path) -> None:
    """Write a result as JSON, with what it is under ``kind``."""
    Path(path).write_text(json.dumps({"kind": type(result).__name__, **asdict(result)}) + "\n", encoding="utf-8")


def load(path: Path) -> Result:
    """Read what `save` wrote.

    Raises:
        MeasurementFailed: the file holds something else.
        OSError: the file cannot be read.
    """
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        return _KINDS[saved.pop("kind")].from_json(saved)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        kinds = ", ".join(_KINDS)
        raise MeasurementFailed(f"{path} is no saved result of labkit.bench ({kinds}): {error!r}") from error
