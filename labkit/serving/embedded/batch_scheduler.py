"""The threads that run batches, and whose batch is next."""

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.serving.embedded.batch_queue import Batch, Part, Task, tell
from labkit.serving.embedded.batching_session import BatchingSession, SessionQueue
from labkit.serving.embedded.session import Session

if TYPE_CHECKING:
    from labkit.serving.embedded.batching import BatchingParameters

logger = logging.getLogger(__name__)


class BatchScheduler:
    """The threads that run batches, and the queues they take them from, in turns."""

    def __init__(
        self,
        parameters: "BatchingParameters",
        *,
        strict: bool = False,
        on_wait: Callable[[str, float], None] | None = None,
    ) -> None:
        """No thread starts before the first `session`.

        Args:
            parameters: the number of threads and their name.
            strict: an error of a run is the error of every request in the batch, as upstream.
            on_wait: told the threads' name and the seconds that a request waited, for each.
        """
        self.strict = strict
        self._name = parameters.thread_pool_name
        self._count = parameters.num_batch_threads or os.cpu_count() or 1
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._settled = threading.Condition(self._lock)
        self._idle = 0
        self._filled: deque[SessionQueue] = deque()
        self._threads: list[threading.Thread] = []

    def session(self, session: Session, parameters: "BatchingParameters") -> BatchingSession:
        """`session` with its requests batched by `parameters`, in this scheduler's threads."""
        with self._lock:
            while len(self._threads) < self._count:
                thread = threading.Thread(
                    target=self._take_batches, name=f"{self._name}_{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        return BatchingSession(session, parameters, self)

    def add(self, queue: SessionQueue, task: Task) -> None:
        """Queue `task`; raises StatusError: UNAVAILABLE, the queue is full."""
        with self._lock:
            empty = not len(queue)
            nearer = queue.add(task)
            if empty:
                self._filled.append(queue)
            if nearer and self._idle:
                self._work.notify()

    def withdraw(self, queue: SessionQueue, task: Task, error: Exception) -> None:
        """End `task` with `error` if it, or a part of it, still waits."""
        with self._lock:
            if not queue.withdraw(task):
                return
            if not len(queue):
                self._filled.remove(queue)
            task.fail(error)
        tell([task])

    def finish(self, parts: Iterable[Part], outputs: Sequence[list[np.ndarray] | Exception]) -> None:
        """Hand each part its outputs, or the error it failed with, and tell those that wait."""
        with self._lock:
            ended = []
            for part, result in zip(parts, outputs, strict=True):
                task = part.task
                if task.fail(result) if isinstance(result, Exception) else task.receive(part.index, result):
                    ended.append(task)
        tell(ended)

    def wait_until_idle(self, session: BatchingSession) -> None:
        """Block until no batch of `session` is being run."""
        with self._lock:
            while session.running:
                self._settled.wait()

    def _take_batches(self) -> None:
        while True:
            queue, batch = self._next_batch()
            try:
                if self._on_wait:
                    now = time.monotonic()
                    for part in batch.parts:
                        self._on_wait(self._name, now - part.task.since)
                queue.session.process(queue, batch)
            except Exception as error:  # whatever it is, nobody may wait for ever
                logger.exception("A batch failed")
                self.finish(batch.parts, [error] * len(batch.parts))
            finally:
                with self._lock:
                    queue.session.running -= 1
                    self._settled.notify_all()
                del queue, batch  # or this thread keeps a model's last batch, and the model, until the next one

    def _next_batch(self) -> tuple[SessionQueue, Batch]:
        with self._lock:
            while True:
                now, soonest = time.monotonic(), math.inf
                for _ in range(len(self._filled)):
                    queue = self._filled[0]
                    due = queue.due()
                    if due <= now:
                        return queue, self._taken(queue)
                    soonest = min(soonest, due)
                    self._filled.rotate(-1)
                self._idle += 1
                self._work.wait(None if soonest == math.inf else soonest - now)
                self._idle -= 1

    def _taken(self, queue: SessionQueue) -> Batch:
        batch = queue.take()
        self._filled.popleft()
        if len(queue):
            self._filled.append(queue)  # others first
        queue.session.running += 1
        if self._filled and self._idle:
            self._work.notify()  # this thread is busy now; another one has to watch the clock
        return batch
