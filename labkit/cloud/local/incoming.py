"""What a client sends on a connection, in pieces whose ends are known, with limits on their size and time."""

import socket
import time
from io import BytesIO

_PIECE = 64 * 1024
_PATIENCE = 30.0  # seconds without a single byte of a body


class Refused(Exception):
    """What the client sent is not to be answered, but with an error.

    Attributes:
        status: the HTTP status that says so.
        words: why, for a reader.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Incoming:
    """Reads a connection; what came together with an earlier piece is kept for the next."""

    def __init__(self, connection: socket.socket) -> None:
        """Read from `connection`, whose time limit it sets as it goes."""
        self._connection = connection
        self._buffer = bytearray()

    def starts(self, seconds: float) -> bool:
        """Wait for the first byte of something new; False if there will be none, as the client has closed.

        Raises:
            TimeoutError: nothing came for so long.
        """
        if not self._buffer:
            self._receive(seconds)
        return bool(self._buffer)

    @property
    def waiting(self) -> bool:
        """Whether more has come already than was asked for."""
        return bool(self._buffer)

    def until(self, end: bytes, limit: int, seconds: float) -> bytes:
        """What comes before `end`; that is swallowed.

        Args:
            end: a few bytes.
            limit: how many bytes may come before.
            seconds: for all of it.

        Raises:
            Refused: it is too long, or the connection was closed before the end.
            TimeoutError: it took longer.
        """
        deadline, start = time.monotonic() + seconds, 0
        while (found := self._buffer.find(end, start)) < 0 and len(self._buffer) <= limit:
            start = max(0, len(self._buffer) - len(end) + 1)
            if not self._receive(deadline - time.monotonic()):
                raise Refused(
                    400, f"the connection was closed after {len(self._buffer)} bytes, in the middle of a line"
                )
        if not 0 <= found <= limit:
            raise Refused(431, f"more than {limit} bytes came where {end!r} was expected")
        taken = bytes(self._buffer[:found])
        del self._buffer[: found + len(end)]
        return taken

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            Refused: the connection was closed before.
            TimeoutError: nothing came for half a minute.
        """
        got = min(size, len(self._buffer))
        taken = BytesIO(bytes(size))  # written in place and handed out as it is: `bytes` of a bytearray would be a copy
        self._wait_at_most(_PATIENCE)
        with taken.getbuffer() as view:
            view[:got] = self._buffer[:got]
            del self._buffer[:got]
            while got < size:
                received = self._connection.recv_into(view[got:])
                if not received:
                    raise Refused(400, f"the connection was closed after {got} of the body's {size} bytes")
                got += received
        return taken.getvalue()

    def rest(self) -> bytes:
        """What has come already."""
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    def _receive(self, seconds: float) -> bool:
        if seconds <= 0:
            raise TimeoutError("timed out")
        self._wait_at_most(seconds)
        received = self._connection.recv(_PIECE)
        self._buffer += received
        return bool(received)

    def _wait_at_most(self, seconds: float) -> None:
        self._connection.settimeout(seconds)
        if hasattr(socket, "TCP_QUICKACK"):
            # Through a proxy, `requests` sends a body only when its head is acknowledged; that would take 40 ms.
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
