"""Connections to other hosts, straight or through a company's proxy, and bytes carried between two connections."""

import base64
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from labkit.cloud.local.incoming import Incoming, Refused

_SECONDS = 30.0  # for reaching a host
_LARGEST_HEAD = 64 * 1024
_PIECE = 256 * 1024


@dataclass(frozen=True)
class Upstream:
    """The proxy that other hosts are reached through.

    Attributes:
        host: its name.
        port: its port.
        authorization: what it wants to hear, the value of ``Proxy-Authorization``; empty if nothing.
    """

    host: str
    port: int
    authorization: str = ""

    @classmethod
    def parsed(cls, url: str) -> "Upstream | None":
        """From a value of ``HTTPS_PROXY``; None if it is empty.

        Raises:
            ValueError: it is not one, or its proxy is to be spoken to over TLS.
        """
        if not url:
            return None
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port or 80
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port:
            raise ValueError(
                f"the proxy to other hosts is {parts.scheme}://{parts.hostname}; expected one as http://HOST:PORT. "
                "Set HTTPS_PROXY to such a one, or unset it"
            )
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
        return cls(parts.hostname, port, f"Basic {base64.b64encode(user.encode()).decode()}" if user else "")


def reach(host: str, port: int, upstream: Upstream | None) -> tuple[socket.socket, bytes]:
    """Connect to a host.

    Returns:
        The connection, and what came on it already.

    Raises:
        Refused: with words for the client.
    """
    way = (upstream.host, upstream.port) if upstream else (host, port)
    try:
        connection = socket.create_connection(way, timeout=_SECONDS)
    except (OSError, UnicodeError) as error:
        through = f" on the way to {host}:{port}" if upstream else ""
        raise Refused(502, f"{way[0]}:{way[1]} could not be reached{through}: {error}") from error
    try:
        return connection, _ask(connection, host, port, upstream) if upstream else b""
    except BaseException:
        connection.close()
        raise


def _ask(connection: socket.socket, host: str, port: int, upstream: Upstream) -> bytes:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if upstream.authorization:
        lines.append(f"Proxy-Authorization: {upstream.authorization}")
    incoming = Incoming(connection)
    try:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = incoming.until(b"\r\n\r\n", _LARGEST_HEAD, _SECONDS).split(b"\r\n")[0].decode("latin-1")
    except OSError as error:
        raise Refused(502, f"the proxy {upstream.host}:{upstream.port} did not answer: {error}") from error
    status = answer.split(" ")[1] if answer.count(" ") else ""
    if status.startswith("2"):
        return incoming.rest()
    refused = int(status) if status.isdecimal() and 400 <= int(status) < 600 else 502
    raise Refused(refused, f"the proxy {upstream.host}:{upstream.port} answered {answer[:200]!r} for {place}")


def splice(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until both have closed; one that has closed may still receive."""
    for connection in (one, other):
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    back = threading.Thread(target=_carry, args=(other, one), name="proxied answers", daemon=True)
    back.start()
    _carry(one, other)
    back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    piece = memoryview(bytearray(_PIECE))
    try:
        while size := source.recv_into(piece):
            sink.sendall(piece[:size])
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for connection in (source, sink):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
