"""How much memory a server takes while something is done to it."""

import threading
import time
from collections.abc import Callable
from typing import Self


class MemoryCurve:
    """Looks at a server's memory again and again, in a thread of its own, from `start` to `stop`.

    A context manager. What was seen stays readable after `stop`.
    """

    def __init__(self, measure: Callable[[], int], *, every: float = 0.02) -> None:
        """Nothing is measured yet.

        Args:
            measure: gives the memory in bytes, as `ModelServer.memory` does.
            every: seconds between two looks.
        """
        self._measure, self._every = measure, every
        self._stop = threading.Event()
        self._points: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._look, name="memory curve", daemon=True)

    @property
    def points(self) -> list[tuple[float, int]]:
        """When, as `time.monotonic` counts, in seconds; and how much, in bytes."""
        return self._points.copy()

    def start(self) -> Self:
        """The looks begin; once only."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """No more looks. Calling it again does nothing."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _look(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            size = self._measure()  # takes a while, and reads the memory somewhere in between
            self._points.append(((began + time.monotonic()) / 2, size))
            self._stop.wait(self._every)
