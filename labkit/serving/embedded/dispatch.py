"""Where a request is answered: at once on the event loop, or in a thread.

Handing a request to a thread and back costs several times what a small model's run costs. So a request is answered on
the spot when that is certain to be quick: the model's work depends on the size of its input only (`work`), the
request is small, and others of its size were quick before. Everything else goes to a thread, where it keeps nobody
waiting.

A model whose requests are batched runs in the batches' threads. A request for it waits there as a future of the event
loop, not as a thread, so any number can wait; what comes before and after is done on the spot if it is small.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from labkit.serving.embedded.batching_session import BatchingSession, Feeds
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.session import RunLimits
from labkit.serving.embedded.steps import Steps, complete

Answer = TypeVar("Answer")

_SMALL_BYTES = 16_384
_SMALL_RESULT_BYTES = 4096  # a number takes longer to write as JSON than to read
_QUICK_SECONDS = 0.002
_LARGEST_PROOF = 10_000
_ON_THE_SPOT = RunLimits(in_caller_thread=True)


@dataclass
class _Pace:
    """How quickly a servable answers requests of about one size.

    Attributes:
        in_a_row: quick answers since the last slow one.
        proof: how many of them it takes to be answered on the spot; more after every disappointment there.
    """

    in_a_row: int = 0
    proof: int = 3

    @property
    def trusted(self) -> bool:
        return self.in_a_row >= self.proof

    def note(self, seconds: float) -> None:
        if seconds < _QUICK_SECONDS:
            self.in_a_row += 1
            return
        if self.trusted:
            self.proof = min(4 * self.proof, _LARGEST_PROOF)
        self.in_a_row = 0


class Dispatcher:
    """Runs the requests of one protocol and remembers how quick each servable is."""

    def __init__(self, threads: int = 0) -> None:
        """Args: threads: how many requests are answered in threads at a time; 0 means four for each CPU."""
        self._threads = threads or 4 * (os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="request")
        self._handed_over = 0  # requests that a thread has, or that wait for one
        self._paces: WeakKeyDictionary[Servable, defaultdict[int, _Pace]] = WeakKeyDictionary()

    async def run(self, servable: Servable, request_bytes: int, timeout_ms: int, steps: Steps[Answer]) -> Answer:
        """Take `steps` to the answer, holding `servable` loaded until they have ended.

        Args:
            servable: the version that answers.
            request_bytes: the size of the request's body.
            timeout_ms: how long the model may run, waiting for a batch included; 0 for no limit.
            steps: decodes, stops for the model's run, encodes.

        Raises:
            StatusError: what `steps` or the model's run raises.
        """
        if isinstance(servable.session, BatchingSession):
            return await self._batched(servable, servable.session, request_bytes, timeout_ms, steps)

        pace = self._pace(servable, request_bytes)
        if pace is None or not pace.trusted:
            limits = RunLimits(timeout_ms)
            return await self._in_thread(servable, pace, partial(complete, steps, servable.session, limits))
        started = time.thread_time()  # not the clock: other programs may hold the processor meanwhile
        try:
            return complete(steps, servable.session, _ON_THE_SPOT)
        finally:
            pace.note(time.thread_time() - started)

    async def _batched(
        self, servable: Servable, session: BatchingSession, size: int, timeout_ms: int, steps: Steps[Answer]
    ) -> Answer:
        servable.hold()
        try:
            small, results = size <= _SMALL_BYTES, None
            while True:
                step = partial(_step, steps, results)
                ended, value = step() if small else await self._in_thread(servable, None, step)
                if ended:
                    return value
                feeds, fetches = value
                results = await self._run(servable, session, timeout_ms, feeds, fetches)
                small = _has_few_bytes(results)
        finally:
            servable.release()

    async def _run(
        self, servable: Servable, session: BatchingSession, timeout_ms: int, feeds: Feeds, fetches: Sequence[str]
    ) -> list[np.ndarray]:
        limits = RunLimits(timeout_ms)
        waiting = session.submit(feeds, fetches, limits)
        if waiting is not None:
            return await waiting  # a caller that leaves cancels it, and its place in the queue is free
        return await self._in_thread(servable, None, partial(session.run, feeds, fetches, limits))

    def _pace(self, servable: Servable, request_bytes: int) -> _Pace | None:
        """The pace of requests of about that size (by powers of two); None for what never runs on the loop."""
        if request_bytes > _SMALL_BYTES or not servable.steady:
            return None
        return self._paces.setdefault(servable, defaultdict(_Pace))[request_bytes.bit_length()]

    async def _in_thread(self, servable: Servable, pace: _Pace | None, work: Callable[[], Answer]) -> Answer:
        def timed() -> Answer:
            started = time.perf_counter()
            try:
                return work()
            finally:
                if pace and not pace.trusted:
                    # Its share of the time: the threads wait for each other, and under load each would look slow.
                    pace.note((time.perf_counter() - started) / max(1, min(self._handed_over, self._threads)))

        servable.hold()
        self._handed_over += 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, timed)
        running.add_done_callback(lambda _: self._returned(servable))
        running.add_done_callback(lambda done: done.cancelled() or done.exception())  # also heard if the caller left
        return await asyncio.shield(running)  # a caller that leaves must not free what the thread still uses

    def _returned(self, servable: Servable) -> None:
        self._handed_over -= 1
        servable.release()


def _step(steps: Steps[Answer], results: list[np.ndarray] | None) -> tuple[bool, Any]:
    """Take one of `steps`: whether it was the last, and the answer or the model's run that it wants."""
    try:
        return False, steps.send(results)  # type: ignore[arg-type]  # None begins
    except StopIteration as end:
        return True, end.value


def _has_few_bytes(arrays: Sequence[np.ndarray]) -> bool:
    if sum(array.nbytes for array in arrays) > _SMALL_RESULT_BYTES:
        return False
    texts = [array for array in arrays if array.dtype == object]
    return sum(len(value) for array in texts for value in array.reshape(-1)) <= _SMALL_RESULT_BYTES
