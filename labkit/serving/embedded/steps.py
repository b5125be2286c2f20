"""A request's answer as a generator that stops where the model has to run.

    feeds, fetches = what it decoded and checked
    results = yield feeds, fetches
    return what it encodes of the results

So the same few lines serve a caller that runs the model itself, in its thread, and one that waits on the event loop
while a batch runs.
"""

from collections.abc import Generator, Sequence
from time import perf_counter
from typing import TypeVar

import numpy as np

from labkit.serving.embedded.session import RunLimits, Session

Answer = TypeVar("Answer")
Run = tuple[Sequence[tuple[str, np.ndarray]], Sequence[str]]
Steps = Generator[Run, list[np.ndarray], Answer]


def complete(steps: Steps[Answer], session: Session, limits: RunLimits) -> Answer:
    """Take all steps in this thread.

    Args:
        steps: yields what to feed and to fetch, gets the results, returns the answer.
        session: runs the model.
        limits: how its runs may go about it.

    Raises:
        StatusError: what `steps` or a run of the model raises.
    """
    try:
        feeds, fetches = next(steps)
        while True:
            feeds, fetches = steps.send(session.run(feeds, fetches, limits))
    except StopIteration as end:
        return end.value


class StepTimes:
    """What one request spends on either side of the model's run, in seconds. A wait for a thread is in neither.

    Attributes:
        started: when the request's bytes were there, by `perf_counter`.
        decode: from the bytes to what the model is fed with.
        encode: from what the model answered to bytes.
    """

    __slots__ = ("decode", "encode", "started")

    def __init__(self, started: float) -> None:
        self.started, self.decode, self.encode = started, 0.0, 0.0


def timed(steps: Steps[Answer], times: StepTimes) -> Steps[Answer]:
    """The same steps, which fill in `times`. What was done since `times.started` counts as decoding, too."""
    times.decode = perf_counter() - times.started
    return _timed(steps, times)


def _timed(steps: Steps[Answer], times: StepTimes) -> Steps[Answer]:
    resumed = perf_counter()
    try:
        run = next(steps)
        times.decode += perf_counter() - resumed
        while True:
            results = yield run
            resumed = perf_counter()
            run = steps.send(results)
    except StopIteration as end:
        times.encode = perf_counter() - resumed
        return end.value
