"""A request's answer as a generator that stops where the model has to run.

    feeds, fetches = what it decoded and checked
    results = yield feeds, fetches
    return what it encodes of the results

So the same few lines serve a caller that runs the model itself, in its thread, and one that waits on the event loop
while a batch runs.
"""

from collections.abc import Generator, Sequence
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
