"""What a process holds over time: memory, threads, open files; and whether that grows."""

import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One look at a process.

    Attributes:
        seconds: since the watching began.
        resident: bytes of its memory that are really there.
        threads: how many it has.
        files: its open file descriptors, connections among them.
    """

    seconds: float
    resident: int
    threads: int
    files: int


class Watch:
    """Looks at a process again and again, in a thread, while a `with` block runs.

    Attributes:
        samples: what was seen.
    """

    def __init__(self, pid: int, every: float) -> None:
        """Args: pid: the process. every: seconds between two looks."""
        self.samples: list[Sample] = []
        self._process = psutil.Process(pid)
        self._every = every
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    @property
    def peak(self) -> int:
        """The most memory it had at any look."""
        return max(sample.resident for sample in self.samples)

    def look(self) -> Sample:
        """Look once more, now."""
        with self._process.oneshot():
            sample = Sample(
                time.monotonic() - self._began,
                self._process.memory_info().rss,
                self._process.num_threads(),
                self._process.num_fds(),
            )
        self.samples.append(sample)
        return sample

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.look()
            except psutil.NoSuchProcess:
                return


def growth_per_hour(samples: Sequence[Sample]) -> float:
    """Bytes of memory that an hour adds, by a straight line through the samples (least squares)."""
    if len(samples) < 2:
        return 0.0
    times = [sample.seconds / 3600 for sample in samples]
    return statistics.linear_regression(times, [sample.resident for sample in samples]).slope
