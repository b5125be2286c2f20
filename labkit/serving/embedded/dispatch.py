"""Where a request is answered: at once on the event loop, or in a thread.

Handing a request to a thread and back costs several times what a small model's run costs. So a request is answered on
the spot when that is certain to be quick: the model's work depends on the size of its input only (`work`), the
request is small, and others of its size were quick before. Everything else goes to a thread, where it keeps nobody
waiting.
"""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakKeyDictionary

from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.session import RunLimits

Answer = TypeVar("Answer")

_SMALL_BYTES = 16_384
_QUICK_SECONDS = 0.002
_LARGEST_PROOF = 10_000


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
        self._pool = ThreadPoolExecutor(threads or 4 * (os.cpu_count() or 1), thread_name_prefix="request")
        self._paces: WeakKeyDictionary[Servable, dict[int, _Pace]] = WeakKeyDictionary()

    async def run(
        self, servable: Servable, request_bytes: int, timeout_ms: int, answer: Callable[[RunLimits], Answer]
    ) -> Answer:
        """Run `answer`, holding `servable` loaded until it has ended.

        Args:
            servable: the version that answers.
            request_bytes: the size of the request's body.
            timeout_ms: how long the model may run; 0 for no limit.
            answer: decodes, runs and encodes; gets the limits to run the model with.

        Raises:
            StatusError: what `answer` raises.
        """
        pace = self._pace(servable, request_bytes)
        if pace is None or not pace.trusted:
            return await self._in_thread(servable, pace, timeout_ms, answer)
        started = time.thread_time()  # not the clock: other programs may hold the processor meanwhile
        try:
            return answer(RunLimits(in_caller_thread=True))
        finally:
            pace.note(time.thread_time() - started)

    def _pace(self, servable: Servable, request_bytes: int) -> _Pace | None:
        """The pace of requests of about that size (by powers of two); None for what never runs on the loop."""
        if request_bytes > _SMALL_BYTES or not servable.steady:
            return None
        return self._paces.setdefault(servable, {}).setdefault(request_bytes.bit_length(), _Pace())

    async def _in_thread(
        self, servable: Servable, pace: _Pace | None, timeout_ms: int, answer: Callable[[RunLimits], Answer]
    ) -> Answer:
        def timed() -> Answer:
            started = time.perf_counter()
            try:
                return answer(RunLimits(timeout_ms))
            finally:
                if pace:
                    pace.note(time.perf_counter() - started)

        servable.hold()
        running = asyncio.get_running_loop().run_in_executor(self._pool, timed)
        running.add_done_callback(lambda _: servable.release())
        running.add_done_callback(lambda done: done.cancelled() or done.exception())  # also heard if the caller left
        return await asyncio.shield(running)  # a caller that leaves must not free what the thread still uses
