"""HTTP connections to one container, kept open between requests."""

import http.client
import socket
import threading
import time
from collections.abc import Mapping

from labkit.cloud.local.http_messages import HttpAnswer

# Servers close idle connections (many after five seconds); one that has just been closed would lose its request.
_IDLE_SECONDS = 3.0
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class NotSentError(Exception):
    """The container cannot have seen the request: it may be sent to another one."""


class BrokenError(Exception):
    """The connection ended before the answer was complete."""


class Connections:
    """Connections to a port of this machine, as many as there are requests at a time."""

    def __init__(self, port: int) -> None:
        """None is opened yet."""
        self._port = port
        self._lock = threading.Lock()
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._closed = False

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> HttpAnswer:
        """One request and its answer.

        Raises:
            NotSentError: nobody listens, or the request did not get through.
            TimeoutError: no answer within `timeout` seconds (between two of its parts).
            BrokenError: the other side ended first, or does not speak HTTP.
        """
        connection = self._connected(timeout)
        try:
            try:
                connection.request(method, path, body, dict(headers))
            except TimeoutError:
                raise
            except OSError as error:
                raise NotSentError(str(error)) from error
            return self._read(connection)
        except BaseException:
            connection.close()
            raise

    def _read(self, connection: http.client.HTTPConnection) -> HttpAnswer:
        try:
            response = connection.getresponse()
            body = response.read()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise BrokenError(str(error) or type(error).__name__) from error
        if response.will_close or not self._kept(connection):
            connection.close()
        headers = {name: value for name, value in response.getheaders() if name.lower() not in _HOP}
        return HttpAnswer(response.status, headers, body)

    def _kept(self, connection: http.client.HTTPConnection) -> bool:
        with self._lock:
            if not self._closed:
                self._idle.append((time.monotonic(), connection))
            return not self._closed

    def _connected(self, timeout: float) -> http.client.HTTPConnection:
        while connection := self._newest_idle():
            if _is_open(connection.sock):
                connection.sock.settimeout(timeout)
                return connection
            connection.close()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NotSentError(str(error)) from error
        return connection

    def _newest_idle(self) -> http.client.HTTPConnection | None:
        with self._lock:
            if not self._idle:
                return None
            since, connection = self._idle.pop()
        if time.monotonic() - since < _IDLE_SECONDS:
            return connection
        connection.close()
        self._close_idle()  # those below it are idle for longer still
        return None

    def close(self) -> None:
        """Close those that are idle, and each of the others once it has its answer."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()


def _is_open(idle: socket.socket) -> bool:
    """Whether the other side has neither closed an idle connection nor sent what nobody asked for."""
    idle.settimeout(0)
    try:
        idle.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
