"""A server that is near, as it is seen from far away: latency emulation, on real sockets.

    with DistantServer(server.rest_url, round_trip=0.05) as far:
        requests.post(f"{far.url}/v1/models/penguins:predict", json=...)

Every byte is on its way for half a round trip, and a new connection takes a full round trip before its first byte may
go, as TCP's handshake does (RFC 9293, section 3.5). What else a link does is not emulated: it loses no packets, its
bandwidth is this machine's, a new connection may send any amount at once (TCP starts with some 14 kB a round trip, RFC
6928), and there is no TLS handshake.
"""

import asyncio
import math
import select
import selectors
from collections import deque
from collections.abc import Callable
from typing import Any

from labkit.bench.relay import CountingRelay, Way

_COARSE = selectors.DefaultSelector is getattr(selectors, "EpollSelector", None)
_SELECT_BOUND = 1024  # file descriptors that select(2) takes are below it


class _DelayLine:
    """One direction of a connection: what goes in comes out so many seconds later, in order, however much it is."""

    def __init__(self, delay: float, loop: asyncio.AbstractEventLoop) -> None:
        self._delay, self._loop = delay, loop
        self._held: deque[tuple[float, Callable[..., None], tuple[Any, ...]]] = deque()

    def __call__(self, action: Callable[..., None], *arguments: object) -> None:
        """Do it when its time has come."""
        due = self._loop.time() + self._delay
        self._held.append((due, action, arguments))
        if len(self._held) == 1:
            self._loop.call_at(due, self._let_out)

    def _let_out(self) -> None:
        while self._held and self._held[0][0] <= self._loop.time():
            _, action, arguments = self._held[0]
            action(*arguments)  # may put something in; while this one is still held, that sets no second timer
            self._held.popleft()
        if self._held:
            self._loop.call_at(self._held[0][0], self._let_out)


class _FineSelector(selectors.DefaultSelector):
    """Wakes up when it is time; Linux's own waits for whole milliseconds, rounded up."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout and timeout > 0 and _COARSE and self.fileno() < _SELECT_BOUND:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class DistantServer(CountingRelay):
    """Forwards every connection to a server, as if the server were a round trip away.

    A context manager. It listens on this machine only, and is as good for gRPC, for browsers and for several clients
    at once. It counts as `CountingRelay` does (one of `connections` for each, its bytes without their content).

    A client's `connect` returns at once, for the kernel answers it; what the client then sends is a round trip late.

    Attributes:
        round_trip: seconds from a byte that is sent to the first byte that can answer it.
        address: what a gRPC client is given instead of the server's: ``127.0.0.1:PORT``.
        url: what an HTTP client is given: ``http://127.0.0.1:PORT``.
    """

    _selector = _FineSelector

    def __init__(self, address: str, *, round_trip: float) -> None:
        """From now on connections are forwarded.

        Args:
            address: of the server, such as ``127.0.0.1:8500`` or ``http://127.0.0.1:8501``, on any machine.
            round_trip: seconds, 0 or more. From Europe to North America it is some 0.1, within a city 0.005.

        Raises:
            ValueError: `address` is none, or one that speaks TLS; `round_trip` is negative or not finite.
        """
        if not (math.isfinite(round_trip) and round_trip >= 0):
            raise ValueError(f"round_trip is {round_trip}; it is a time in seconds, 0 or more, as 0.05 for 50 ms")
        self.round_trip = round_trip
        super().__init__(address, keep=0)

    def _way(self) -> Way:
        return _DelayLine(self.round_trip / 2, self._loop)
