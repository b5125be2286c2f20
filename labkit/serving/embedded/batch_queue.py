"""Requests that wait to be run together: tasks, batches of them, and a queue of batches.

Nothing here locks; `batch_scheduler.BatchScheduler` does. A batch fills as requests come, and is taken as a whole. The
rules are those of TensorFlow's SharedBatchScheduler, which TensorFlow Serving uses.
"""

import asyncio
import contextlib
import math
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Union

import numpy as np

from labkit.serving.embedded.status import Code, StatusError, invalid_argument

Waiter = Union[threading.Event, "asyncio.Future[list[np.ndarray]]"]


@dataclass(frozen=True)
class QueueLimits:
    """What a queue holds.

    Attributes:
        task_rows: the most rows of one request.
        batch_rows: the most rows of a batch; below `task_rows`, requests are split.
        batches: the most batches that wait, the one that still fills included.
        seconds: how long a batch that is not full waits for more; 0 takes it as soon as a thread is free.
    """

    task_rows: int
    batch_rows: int
    batches: int
    seconds: float
    splits: bool = False


@dataclass(eq=False, slots=True)
class Task:
    """One request's run.

    Attributes:
        arrays: the inputs, in the queue's order.
        rows: the size of their dimension 0.
        waiter: the event that a thread waits on, or the future of an event loop.
        since: when it came (seconds of `time.monotonic`, as all times here).
        deadline: when its time is over; infinity for never.
        error: what it failed with.
        order: which of the queue's outputs it wants, in its order; None for all, in the queue's.
        waiting: the batches that hold parts of it.
    """

    arrays: Sequence[np.ndarray]
    rows: int
    waiter: Waiter
    since: float
    deadline: float = math.inf
    error: Exception | None = None
    order: list[int] | None = None
    waiting: list["Batch"] = field(default_factory=list)
    _parts: list[list[np.ndarray] | None] = field(default_factory=list)
    _missing: int = 0

    def part(self, start: int, stop: int) -> "Part":
        """A new part of it, to be run in one batch."""
        self._parts.append(None)
        self._missing += 1
        return Part(self, len(self._parts) - 1, start, stop)

    def receive(self, index: int, outputs: list[np.ndarray]) -> bool:
        """Take one part's outputs; whether these were the last."""
        self._parts[index] = outputs
        self._missing -= 1
        return not self._missing and self.error is None

    def fail(self, error: Exception) -> bool:
        """End with `error`; whether it had not ended before."""
        news, self.error = self.error is None and self._missing > 0, self.error or error
        return news

    def outputs(self) -> list[np.ndarray]:
        """The outputs of all parts together.

        Raises:
            Exception: what it failed with.
        """
        if self.error is not None:
            raise self.error
        parts = [part for part in self._parts if part is not None]
        whole = parts[0] if len(parts) == 1 else [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        return whole if self.order is None else [whole[index] for index in self.order]


def tell(tasks: Iterable[Task]) -> None:
    """Wake those that wait for `tasks`, which have ended; each event loop once, however many of them wait on it."""
    on_loops: dict[asyncio.AbstractEventLoop, list[Task]] = defaultdict(list)
    for task in tasks:
        if isinstance(task.waiter, threading.Event):
            task.waiter.set()
        else:
            on_loops[task.waiter.get_loop()].append(task)
    for loop, ended in on_loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_resolve, ended)


def _resolve(tasks: list[Task]) -> None:
    for task in tasks:
        future = task.waiter
        assert not isinstance(future, threading.Event)
        if future.done():  # the client has left
            continue
        try:
            future.set_result(task.outputs())
        except Exception as error:
            future.set_exception(error)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows `start` to `stop` of a task: all of them, unless it was split."""

    task: Task
    index: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    @property
    def arrays(self) -> Sequence[np.ndarray]:
        if self.rows == self.task.rows:
            return self.task.arrays
        return [array[self.start : self.stop] for array in self.task.arrays]


@dataclass(eq=False, slots=True)
class Batch:
    """Parts that will run together; `since` is when the first came."""

    since: float
    parts: list[Part] = field(default_factory=list)
    rows: int = 0

    def drop(self, task: Task) -> None:
        """Take the parts of `task` out."""
        self.parts = [part for part in self.parts if part.task is not task]
        self.rows = sum(part.rows for part in self.parts)


class BatchQueue:
    """Batches that wait, the oldest first; the last one still fills."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._batches: deque[Batch] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def check_size(self, rows: int) -> None:
        """Raises StatusError: INVALID_ARGUMENT, no request may be that large."""
        if rows > self._limits.task_rows:
            raise invalid_argument(f"Task size {rows} is larger than maximum input batch size {self._limits.task_rows}")

    def add(self, task: Task) -> bool:
        """Append `task`; whether the time of `due` may have come nearer.

        Raises:
            StatusError: UNAVAILABLE, as many batches wait as may.
        """
        self._check_room(task)
        before, most = len(self._batches), self._limits.batch_rows
        start = 0
        while start < task.rows:
            room = most - self._batches[-1].rows if self._batches else 0
            if room <= 0 or (room < task.rows and not self._limits.splits):
                self._batches.append(Batch(task.since))
                room = most
            open_batch, stop = self._batches[-1], min(task.rows, start + room)
            open_batch.parts.append(task.part(start, stop))
            open_batch.rows += stop - start
            task.waiting.append(open_batch)
            start = stop
        return len(self._batches) > before or self._batches[-1].rows >= most

    def _check_room(self, task: Task) -> None:
        limits, waiting = self._limits, len(self._batches)
        open_rows = self._batches[-1].rows if self._batches else 0
        if limits.splits:
            room = max(0, limits.batches - max(waiting, 1)) * limits.batch_rows
            room += max(0, limits.batch_rows - open_rows)
            full = task.rows > room
        else:
            full = waiting >= limits.batches and open_rows + task.rows > limits.batch_rows
        if full:
            raise StatusError(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{waiting} batches enqueued and max_enqueued_batches is {limits.batches}",
            )

    def withdraw(self, task: Task) -> bool:
        """Take out what still waits of `task`; whether there was anything."""
        waited = bool(task.waiting)
        for batch in task.waiting:
            batch.drop(task)
            if not batch.parts:
                self._batches.remove(batch)
        task.waiting.clear()
        return waited

    def due(self) -> float:
        """When the oldest batch may be taken: a time that may be past."""
        oldest = self._batches[0]
        if len(self._batches) > 1 or oldest.rows >= self._limits.batch_rows:
            return -math.inf
        return oldest.since + self._limits.seconds

    def take(self) -> Batch:
        """The oldest batch, which waits no longer."""
        batch = self._batches.popleft()
        for part in batch.parts:
            part.task.waiting.remove(batch)
        return batch
