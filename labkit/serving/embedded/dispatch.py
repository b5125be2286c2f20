"""Where a request is answered: at once on the event loop, or in a thread.

Handing a request to a thread and back costs more than running a small model, so small requests to models that have
shown to be quick are answered on the spot. Everything else goes to a thread, and so does a model that was slow a
moment ago: no request may keep others waiting for long.
"""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.session import RunLimits

Answer = TypeVar("Answer")

_SMALL_BYTES = 16_384
_QUICK_SECONDS = 0.002
_TRUSTED_AFTER = 3
_DISTRUST = 100


class Dispatcher:
    """Runs requests, each where it belongs.

    On the event loop a run counts by its CPU time, as other programs may have held the processor meanwhile.
    """

    def __init__(self, threads: int = 0) -> None:
        """Args: threads: how many requests may be answered in threads at a time; 0 means four for each CPU."""
        self._pool = ThreadPoolExecutor(threads or 4 * (os.cpu_count() or 1), thread_name_prefix="request")

    async def run(
        self, servable: Servable, request_bytes: int, timeout_ms: int, answer: Callable[[RunLimits], Answer]
    ) -> Answer:
        """Run `answer` while holding `servable` loaded.

        Args:
            servable: the version that answers.
            request_bytes: the size of the request's body.
            timeout_ms: the limit on the model's run.
            answer: decodes, runs and encodes; gets the limits to run the model with.
        """
        with servable.in_use():
            small = request_bytes <= _SMALL_BYTES
            if small and servable.bounded and servable.quick_runs >= _TRUSTED_AFTER:
                return _timed(servable, answer, RunLimits(in_caller_thread=True), time.thread_time)
            work = (servable, answer, RunLimits(timeout_ms), time.perf_counter if small else None)
            return await asyncio.get_running_loop().run_in_executor(self._pool, _timed, *work)


def _timed(
    servable: Servable,
    answer: Callable[[RunLimits], Answer],
    limits: RunLimits,
    clock: Callable[[], float] | None,
) -> Answer:
    if clock is None:
        return answer(limits)
    started = clock()
    try:
        return answer(limits)
    finally:
        quick = clock() - started < _QUICK_SECONDS
        servable.quick_runs = min(servable.quick_runs + 1, _TRUSTED_AFTER) if quick else -_DISTRUST
