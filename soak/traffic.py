"""Many clients at once, each in a thread, until told to stop; and what became of all their questions."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from soak.questions import ANSWERED, Client, GrpcClient, RestClient
from soak.target import Target


def both_protocols(target: Target, each: int = 2) -> list[Client]:
    """So many clients over REST and so many over gRPC."""
    return [kind(target) for kind in (RestClient, GrpcClient) for _ in range(each)]


class Traffic:
    """Clients that ask and ask while a `with` block runs.

    Attributes:
        outcomes: how many questions ended how; complete once the block is left.
    """

    def __init__(self, clients: Iterable[Client]) -> None:
        """Args: clients: they are closed in the end."""
        self.clients = list(clients)
        self.outcomes: Counter[str] = Counter()
        self._counters = [Counter[str]() for _ in self.clients]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(client, counter), daemon=True)
            for client, counter in zip(self.clients, self._counters, strict=True)
        ]

    @property
    def asked(self) -> int:
        """Questions that have ended so far."""
        return sum(counter.total() for counter in self._counters)

    @property
    def failures(self) -> Counter[str]:
        """All outcomes but `ANSWERED`."""
        return Counter({outcome: count for outcome, count in self.outcomes.items() if outcome != ANSWERED})

    def asked_by_kind(self) -> dict[str, int]:
        """Questions that have ended so far, by the client's class."""
        asked: Counter[str] = Counter()
        for client, counter in zip(self.clients, self._counters, strict=True):
            asked[type(client).__name__] += counter.total()
        return dict(asked)

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Return once every client has asked `count` more questions.

        Raises:
            AssertionError: they have not within `seconds`.
        """
        wanted = [counter.total() + count for counter in self._counters]
        wait_until(
            lambda: all(counter.total() >= total for counter, total in zip(self._counters, wanted, strict=True)),
            f"{count} more answers for each client",
            seconds,
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for client in self.clients:
            client.close()
        self.outcomes = sum(self._counters, Counter())

    def _ask(self, client: Client, counter: Counter[str]) -> None:
        while not self._stop.is_set():
            try:
                counter[client.ask()] += 1
            except Exception as error:  # a client must not leave unheard
                counter[f"the client failed: {error!r}"] += 1
            if client.pause:
                self._stop.wait(client.pause)


def wait_until(happened: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Ask `happened` again and again until it answers something true.

    Raises:
        AssertionError: it has not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)
