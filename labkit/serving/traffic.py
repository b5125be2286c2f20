"""Clients that keep asking while something is done to the server, and what became of every question.

It shows whether users notice a change. It is no measurement of how fast a server is: the clients pause between
questions, and share one Python process with everything else in the notebook.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from labkit.waiting import wait_until

_LAST_ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Asked:
    """What became of one question.

    Attributes:
        client: which client asked, 0, 1, ...
        at: when the answer, or the error, was there, as `time.monotonic` counts, in seconds.
        seconds: how long that took.
        answer: what `ask` returned; None if it failed.
        error: why it failed: a status code such as ``UNAVAILABLE``, or the exception's type; empty if it did not.
    """

    client: int
    at: float
    seconds: float
    answer: Any
    error: str


class Traffic:
    """Clients that call `ask` over and over, each in a thread of its own, from `start` to `stop`.

    A context manager. What happened stays readable after `stop`.
    """

    def __init__(self, ask: Callable[[], Any], *, clients: int = 4, pause: float = 0.01) -> None:
        """Nothing is asked yet.

        Args:
            ask: puts one question and returns what is to be kept of the answer, such as the version that gave it. What
                it raises is kept as a failure. Called by several threads at a time.
            clients: how many ask at a time.
            pause: seconds that each client waits after an answer.

        Raises:
            ValueError: there is no client.
        """
        if clients < 1:
            raise ValueError(f"clients is {clients}; at least one has to ask")
        self._ask, self._pause = ask, pause
        self._stop = threading.Event()
        self._log: list[Asked] = []
        self._threads = [
            threading.Thread(target=self._client, args=(number,), name=f"client {number}", daemon=True)
            for number in range(clients)
        ]

    @property
    def log(self) -> list[Asked]:
        """Every question that was answered, or failed, so far, in that order."""
        return self._log.copy()

    @property
    def answers(self) -> list[Any]:
        """What the questions that did not fail brought back, in order."""
        return [one.answer for one in self.log if not one.error]

    @property
    def errors(self) -> list[str]:
        """Why the others failed, in order."""
        return [one.error for one in self.log if one.error]

    def wait(self, questions: int, *, timeout: float = 30.0) -> None:
        """Return once so many more questions were answered or failed.

        Raises:
            TimeoutError: there were fewer within `timeout` seconds.
        """
        enough = len(self._log) + questions
        wait_until(lambda: len(self._log) >= enough, timeout=timeout)

    def start(self) -> Self:
        """The clients begin; once only."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """No new questions; returns when those under way have been answered. Calling it again does nothing."""
        self._stop.set()
        deadline = time.monotonic() + _LAST_ANSWER_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _client(self, number: int) -> None:
        while not self._stop.is_set():
            began, answer, error = time.monotonic(), None, ""
            try:
                answer = self._ask()
            except Exception as failure:  # whatever it is, it is what became of this question
                error = _name(failure)
            now = time.monotonic()
            self._log.append(Asked(number, now, now - began, answer, error))
            self._stop.wait(self._pause)


def _name(error: Exception) -> str:
    """The status code of a `grpc.RpcError` or a `RequestError`; of anything else the type."""
    code = getattr(error, "code", None)
    code = code() if callable(code) else code
    return str(getattr(code, "name", code)) if code is not None else type(error).__name__
