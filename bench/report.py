"""Measurements of one run, their file, and the bars they have to clear."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from labkit.bench.results import Comparison, Phases

Rounds = dict[str, list[float]]  # side -> one value a round; the same rounds for all sides


@dataclass
class Run:
    """What one run found out.

    Attributes:
        about: machine, versions, what the sides are.
        cases: each case's sides.
        units: what a case's numbers are.
        comparisons: what belongs to payloads of several sizes, or to their bytes as well.
        phases: name of the payload -> where the time of a request goes, for each side.
    """

    about: dict[str, str]
    cases: dict[str, Rounds] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    phases: dict[str, list[Phases]] = field(default_factory=dict)

    def add(self, case: str, unit: str, sides: Rounds) -> None:
        """Keep one case."""
        self.cases[case], self.units[case] = sides, unit

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Read what `save` wrote."""
        saved = json.loads(path.read_text())
        compared = {name: Comparison.from_json(each) for name, each in saved.pop("comparisons", {}).items()}
        phases = {name: [Phases.from_json(side) for side in each] for name, each in saved.pop("phases", {}).items()}
        return cls(**saved, comparisons=compared, phases=phases)


@dataclass(frozen=True)
class Bar:
    """What `ours / theirs` must reach in `case`: at least `bound` where more is better, else at most.

    `theirs` are sides' names; of several the fastest counts. Without a bound the ratio is only reported.
    """

    case: str
    ours: str
    theirs: tuple[str, ...]
    bound: float | None
    more_is_better: bool = True


_FASTAPI = ("FastAPI typed", "FastAPI threadpool")
_LITSERVE = ("LitServe default", "LitServe tuned")
BARS = (
    Bar("process start", "labkit", ("import tensorflow",), 0.5, more_is_better=False),
    Bar("REST, 1 in flight", "labkit", _FASTAPI, 4),
    Bar("REST, 8 in flight", "labkit", _FASTAPI, 4),
    Bar("REST, 1 in flight", "labkit", ("FastAPI blocking",), None),
    Bar("REST, 8 in flight", "labkit", ("FastAPI blocking",), None),
    Bar("REST, 1 in flight", "labkit", _LITSERVE, 6),
    Bar("REST, 8 in flight", "labkit", _LITSERVE, 6),
    Bar("REST, 1000 x 784", "labkit", _FASTAPI, 3),
    Bar("gRPC, 1 in flight", "labkit Predict", ("echo",), 1.5, more_is_better=False),
    Bar("gRPC, 8 in flight", "labkit Predict", ("echo",), 1.5, more_is_better=False),
    Bar("gRPC, 1 in flight", "labkit Predict", ("labkit REST",), 1, more_is_better=False),
    Bar("gRPC, 8 in flight", "labkit Predict", ("labkit REST",), 1, more_is_better=False),
    Bar("gRPC, saturated", "labkit Predict", ("echo",), 0.5),
    Bar("gRPC, saturated, processor time", "labkit Predict", ("echo",), None, more_is_better=False),
    Bar("REST, CNN, 32 clients", "batching on", ("batching off",), 2),
    Bar("gRPC, CNN, 32 clients", "batching on", ("batching off",), 2),
    Bar("REST, CNN with a hidden layer, 32 clients", "batching on", ("batching off",), 2),
    Bar("gRPC, CNN with a hidden layer, 32 clients", "batching on", ("batching off",), 2),
    Bar("Python clients", "grpcio", ("requests",), 1, more_is_better=False),
)
PROTOCOL_BARS = (
    Bar("codecs, REST", "the server", ("the bare codecs",), 2, more_is_better=False),
    Bar("codecs, gRPC", "the server", ("the bare codecs",), 2, more_is_better=False),
    Bar("1000 x 784, whole time", "REST, shortest digits", ("gRPC, tensor_content",), None, more_is_better=False),
)


@dataclass(frozen=True)
class Verdict:
    """A bar after the run: `ratio` is the median over rounds of ours / rival, `low` and `high` its extremes."""

    rival: str
    ratio: float
    low: float
    high: float
    words: str  # "met", "missed by N%" of the bar, or "" without one


def judge(run: Run, bar: Bar) -> Verdict:
    """Compare within each round, then over rounds: what slows the machine for a while slows all sides of a round."""
    sides = run.cases[bar.case]
    fastest = max if bar.more_is_better else min
    rival = fastest(bar.theirs, key=lambda side: median(sides[side]))
    ratios = [ours / theirs for ours, theirs in zip(sides[bar.ours], sides[rival], strict=True)]
    return Verdict(rival, median(ratios), min(ratios), max(ratios), _words(bar, median(ratios)))


def _words(bar: Bar, ratio: float) -> str:
    if bar.bound is None:
        return ""
    met = ratio >= bar.bound if bar.more_is_better else ratio <= bar.bound
    return "met" if met else f"missed by {abs(1 - ratio / bar.bound):.0%}"
