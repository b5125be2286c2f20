"""A session whose runs wait for others, to be run with them. `batch_scheduler` has the threads that do it."""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.serving.embedded import dtypes
from labkit.serving.embedded.batch_arrays import check_outputs, merged, rows_of
from labkit.serving.embedded.batch_queue import Batch, BatchQueue, Part, Task, Waiter
from labkit.serving.embedded.session import RunLimits, Session
from labkit.serving.embedded.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

    from labkit.serving.embedded.batch_scheduler import BatchScheduler
    from labkit.serving.embedded.batching import BatchingParameters

_MOST_KNOWN = 256

Feeds = Sequence[tuple[str, np.ndarray]]


class SessionQueue(BatchQueue):
    """The queue of one set of inputs and outputs of one session."""

    def __init__(self, session: "BatchingSession", definition: "SignatureDef") -> None:
        super().__init__(session.parameters.limits)
        self.session = session
        self.types = {info.name: info.dtype for info in definition.inputs.values()}
        self.fetches = tuple({info.name: None for info in definition.outputs.values()})


class BatchingSession:
    """A session whose runs wait for others of their signature; see `session.Session`.

    Runs that ask for other outputs than those of a whole signature, or whose inputs are of other types, or have no
    rows, are not batched.
    """

    def __init__(self, session: Session, parameters: "BatchingParameters", scheduler: "BatchScheduler") -> None:
        self.meta_graph = session.meta_graph
        self.parameters = parameters
        self.running = 0  # batches, guarded by the scheduler's lock
        self._session = session
        self._scheduler = scheduler
        self._queues: dict[tuple[frozenset[str], frozenset[str]], SessionQueue] = {}
        for definition in self.meta_graph.signature_def.values():
            queue = SessionQueue(self, definition)
            self._queues.setdefault((frozenset(queue.types), frozenset(queue.fetches)), queue)
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...]], SessionQueue | None] = {}

    def run(self, feeds: Feeds, fetches: Sequence[str], limits: RunLimits) -> list[np.ndarray]:
        """See `Session.run`; blocks until the batch has been run.

        Raises:
            StatusError: besides the model's own errors INVALID_ARGUMENT, no common number of rows, or more than may
                be; UNAVAILABLE, the queue is full; FAILED_PRECONDITION, the batch's inputs or outputs do not fit;
                RESOURCE_EXHAUSTED, the time was over before the batch was run.
        """
        ended = threading.Event()
        queued = self._queue(feeds, fetches, limits, ended)
        if queued is None:
            return self._session.run(feeds, fetches, limits)
        queue, task = queued
        if not ended.wait(limits.timeout_ms / 1000 if limits.timeout_ms else None):
            self._scheduler.withdraw(queue, task, _too_late())
            ended.wait()  # or it is being run, with the time limit of its batch
        return task.outputs()

    def submit(
        self, feeds: Feeds, fetches: Sequence[str], limits: RunLimits
    ) -> "asyncio.Future[list[np.ndarray]] | None":
        """As `run`, for the event loop: a future; cancelling it takes the request out of the queue.

        None for a run that is not batched: use `run`, in a thread.

        Raises:
            StatusError: what `run` would fail with before it waits.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[np.ndarray]] = loop.create_future()
        queued = self._queue(feeds, fetches, limits, future)
        if queued is None:
            return None
        queue, task = queued
        timer = None
        if limits.timeout_ms:
            timer = loop.call_later(limits.timeout_ms / 1000, self._scheduler.withdraw, queue, task, _too_late())

        def left(done: "asyncio.Future[list[np.ndarray]]") -> None:
            if timer:
                timer.cancel()
            if done.cancelled():
                self._scheduler.withdraw(queue, task, StatusError(Code.CANCELLED, "The client has left"))

        future.add_done_callback(left)
        return future

    def close(self) -> None:
        """See `Session.close`; waits for a batch that is being run for clients that have left."""
        self._scheduler.wait_until_idle(self)
        self._session.close()

    def _queue(
        self, feeds: Feeds, fetches: Sequence[str], limits: RunLimits, waiter: Waiter
    ) -> tuple[SessionQueue, Task] | None:
        """Queue a run; None if it is not one to be batched."""
        queue = self._queue_for(tuple(name for name, _ in feeds), tuple(fetches))
        if queue is None:
            return None
        given = dict(feeds)
        arrays = [given[name] for name in queue.types]
        rows = rows_of(arrays)
        queue.check_size(rows)
        if not rows or any(dtypes.of(given[name]).number != number for name, number in queue.types.items()):
            return None
        now = time.monotonic()
        task = Task(arrays, rows, waiter, now)
        if limits.timeout_ms:
            task.deadline = now + limits.timeout_ms / 1000
        if tuple(fetches) != queue.fetches:
            task.order = [queue.fetches.index(name) for name in fetches]
        self._scheduler.add(queue, task)
        return queue, task

    def _queue_for(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> SessionQueue | None:
        try:
            return self._known[feeds, fetches]
        except KeyError:
            queue = self._queues.get((frozenset(feeds), frozenset(fetches)))
        if len(self._known) >= _MOST_KNOWN:  # clients may ask for outputs in any order
            self._known.clear()
        self._known[feeds, fetches] = queue  # another thread may clear it right now: `queue` is the answer
        return queue

    def process(self, queue: SessionQueue, batch: Batch) -> None:
        """Run `batch` and tell those that wait for it; only for the scheduler's threads."""
        now = time.monotonic()
        live: list[Part] = []
        late: list[Part] = []
        for part in batch.parts:
            (live if part.task.deadline > now else late).append(part)
        if late:
            self._scheduler.finish(late, [_too_late()] * len(late))
        live = [part for part in live if part.task.error is None]  # another part of it failed
        if not live:
            return
        latest = max(part.task.deadline for part in live)
        limits = RunLimits() if latest == math.inf else RunLimits(max(1, int((latest - now) * 1000)))
        self._scheduler.finish(live, self._outcomes(queue, live, limits))

    def _outcomes(
        self, queue: SessionQueue, parts: Sequence[Part], limits: RunLimits
    ) -> Sequence[list[np.ndarray] | Exception]:
        """What each part gets: outputs, or an error."""
        rows = self.parameters.filled_up(sum(part.rows for part in parts))
        try:
            feeds = self._merged(queue, parts, rows)
        except Exception as error:
            return [error] * len(parts)
        try:
            outputs = self._session.run(feeds, queue.fetches, limits)
        except Exception as error:
            timed_out = isinstance(error, StatusError) and error.code is Code.DEADLINE_EXCEEDED
            if len(parts) == 1 or timed_out or self._scheduler.strict:
                return [error] * len(parts)
            return [self._outcomes(queue, [part], limits)[0] for part in parts]
        try:
            check_outputs(outputs, rows)
        except StatusError as error:
            return [error] * len(parts)
        ends = list(itertools.accumulate(part.rows for part in parts))
        return [[output[end - part.rows : end] for output in outputs] for part, end in zip(parts, ends, strict=True)]

    def _merged(self, queue: SessionQueue, parts: Sequence[Part], rows: int) -> list[tuple[str, np.ndarray]]:
        pad = self.parameters.pad_variable_length_inputs
        columns = zip(*(part.arrays for part in parts), strict=True)
        return [(name, merged(name, column, rows, pad)) for name, column in zip(queue.types, columns, strict=True)]


def _too_late() -> StatusError:
    return StatusError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
