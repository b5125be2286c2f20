"""What measuring thread settings gave."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from labkit import show
from labkit.bench.results import Spread
from labkit.devices.trace import Trace

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Round:
    """One setting's turn.

    Attributes:
        seconds: how long each run of the step took.
        processor_seconds: what all threads of the process used meanwhile.
        wall_seconds: how long all of it took.
    """

    seconds: tuple[float, ...]
    processor_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class Measurement:
    """One setting.

    Attributes:
        label: what tells it from the others, ``"intra 2"``.
        function: the name of the function that made the step.
        intra: threads that share one op; 0 is TensorFlow's own choice.
        inter: threads that run different ops; 0 is TensorFlow's own choice.
        cores: how many processor cores the process was allowed; None: all of this machine.
        env: environment variables that it was given.
        rounds: what was measured.
        threads: how many threads the process had at the end, whatever for.
        fingerprint: of the result's bits: the same for results that are equal to the last bit.
        difference: largest difference from the first setting's result, as a share of that one's largest finite number
            or, where that is 0, the difference itself; infinite if only one of the two is not a number (NaN) somewhere
            or infinite; None if the two cannot be compared (other shapes, other texts).
        trace: what happened in one run, if that was asked for.
    """

    label: str
    function: str
    intra: int
    inter: int
    cores: int | None
    env: Mapping[str, str]
    rounds: tuple[Round, ...]
    threads: int
    fingerprint: str
    difference: float | None
    trace: Trace | None = field(default=None, repr=False)

    @property
    def seconds(self) -> tuple[float, ...]:
        """How long each run of the step took, all rounds together."""
        return tuple(second for each in self.rounds for second in each.seconds)

    @property
    def median(self) -> float:
        """Half of the runs took less, in seconds."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the runs took less than the first, a quarter more than the second, in seconds."""
        lower, upper = np.percentile(self.seconds, [25, 75])
        return float(lower), float(upper)

    @property
    def cores_busy(self) -> float:
        """Processor time ÷ time on the clock. Below what was asked for, threads waited: for work or for a core."""
        return sum(each.processor_seconds for each in self.rounds) / sum(each.wall_seconds for each in self.rounds)


@dataclass(frozen=True)
class Measurements(Sequence[Measurement]):
    """All settings, in the order in which they were given: ``m[0]``, ``m["intra 2"]``.

    Attributes:
        all: the measurements.
    """

    all: tuple[Measurement, ...]

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self.all)

    def __getitem__(self, which: int | str) -> Measurement:  # type: ignore[override]
        """One of them, by its place or its label.

        Raises:
            IndexError: there are not so many.
            KeyError: none has this label.
        """
        if not isinstance(which, str):
            return self.all[which]
        for each in self.all:
            if each.label == which:
                return each
        raise KeyError(f"no setting is called {which!r}; there are {', '.join(repr(each.label) for each in self.all)}")

    def speedup(self, baseline: int | str = 0) -> dict[str, Spread]:
        """How many times as fast each is as `baseline`: their medians, compared within each round.

        Raises:
            IndexError: `baseline` is not there.
            KeyError: `baseline` is not there.
        """
        base = self[baseline]
        return {each.label: Spread.of(_ratios(base, each)) for each in self.all}

    def table(self) -> "pandas.DataFrame":
        """Median and quartiles of a step, and the processor time of one, which is that of all threads together."""
        rows = []
        for each in self.all:
            times = (each.median, *each.quartiles, each.cores_busy * _mean(each))
            rows.append([each.label, *map(show.milliseconds, times)])
        return show.table(rows, ["setting", "a step", "a quarter below", "a quarter above", "processor time of a step"])


def _ratios(base: Measurement, other: Measurement) -> list[float]:
    pairs = zip(base.rounds, other.rounds, strict=True)
    return [median(slow.seconds) / median(quick.seconds) for slow, quick in pairs]


def _mean(measurement: Measurement) -> float:
    return sum(measurement.seconds) / len(measurement.seconds)
