"""The door of the local cloud: an HTTPS proxy on loopback that answers for `googleapis.com` and lets all else through.

A client asks it for a connection to ``storage.googleapis.com:443`` and speaks TLS; who answers is this machine. What it
offers inside TLS says whether it speaks gRPC (``h2`` alone) or HTTP/1.1. None of Google's hosts is ever connected to,
also not when something goes wrong.
"""

import base64
import hmac
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Self

from labkit.cloud.local import client_hello, http_front
from labkit.cloud.local.accounts import Hosts
from labkit.cloud.local.authority import Authority, is_google
from labkit.cloud.local.incoming import Incoming, Refused
from labkit.cloud.local.tunnels import Upstream, reach, splice

_SECONDS = 30.0  # for a client to say what it wants, and for TLS
_STOP_SECONDS = 5.0
_LARGEST_HEAD = 16 * 1024
_GO_AHEAD = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy:
    """Listens as soon as it is made. A context manager.

    Attributes:
        port: where, on 127.0.0.1.
        grpc_port: where gRPC is answered, with the authority's certificate; None as long as nobody does.
    """

    def __init__(self, authority: Authority, hosts: Hosts, *, upstream: str = "", grpc_port: int | None = None) -> None:
        """Answer from now on.

        Args:
            authority: whose certificate is shown, and whose secret is asked for.
            hosts: answers HTTP for Google's hosts.
            upstream: the proxy through which other hosts are reached, a value of ``HTTPS_PROXY``; empty: directly.
            grpc_port: where gRPC is answered.

        Raises:
            ValueError: `upstream` is not the address of a proxy.
        """
        self.grpc_port = grpc_port
        self._hosts, self._upstream = hosts, Upstream.parsed(upstream)
        self._context = authority.server_context()
        self._expected = b"Basic " + base64.b64encode(f"labkit:{authority.secret}".encode())
        self._lock = threading.Lock()
        self._stopping = False
        self._to_grpc: set[int] = set()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name=f"proxy {self.port}", daemon=True)
        self._accepting.start()

    def connected_from(self, port: int) -> bool:
        """Whether a client that knew the secret is connected to gRPC by way of this port of loopback."""
        with self._lock:
            return port in self._to_grpc

    def stop(self) -> None:
        """Close all connections and listen no more. Calling it again does nothing."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        with suppress(OSError):  # wakes the thread that accepts
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._accepting.join()
        self._listener.close()
        with self._lock:
            threads = list(self._threads)
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError as error:  # too many open files: some may be closed soon
                print(f"proxy: {error}", file=sys.stderr, flush=True)
                time.sleep(0.1)
                continue
            with self._lock:
                if self._stopping:
                    client.close()
                    return
                thread = threading.Thread(target=self._serve, args=(client,), name="proxied client", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # too many threads: this client has to come again
                    print(f"proxy: {error}", file=sys.stderr, flush=True)
                    client.close()
                    continue
                self._threads.add(thread)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                self._keep(client)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    self._connect(client)
                except Refused as refused:
                    client.settimeout(_SECONDS)
                    client.sendall(_refusal(refused))
        except OSError:
            pass  # the client is gone, or the proxy stops
        finally:
            with self._lock:
                self._open.discard(client)
                self._threads.discard(threading.current_thread())

    def _connect(self, client: socket.socket) -> None:
        incoming = Incoming(client)
        head = incoming.until(b"\r\n\r\n", _LARGEST_HEAD, _SECONDS)
        host, port = _asked(head, self._expected)
        if not is_google(host):
            server, first = reach(host, port, self._upstream)
            client.sendall(_GO_AHEAD + first)
            self._join(client, server, incoming.rest())
            return
        if incoming.waiting:
            raise Refused(400, "the client did not wait for the proxy's answer")
        client.sendall(_GO_AHEAD)
        try:
            offered = client_hello.protocols(client_hello.peek(client, _SECONDS))
            if "h2" in offered and "http/1.1" not in offered:
                self._grpc(client, host)
            else:
                self._http(client, host)
        except OSError as error:
            if not self._stopping and not isinstance(error, ConnectionResetError):
                print(f"connection to {host}: {error}", file=sys.stderr, flush=True)

    def _grpc(self, client: socket.socket, host: str) -> None:
        if self.grpc_port is None:
            raise ConnectionError("gRPC is not answered yet")
        server = socket.create_connection(("127.0.0.1", self.grpc_port), timeout=_SECONDS)
        own = server.getsockname()[1]
        with self._lock:
            self._to_grpc.add(own)
        try:
            self._join(client, server)
        finally:
            with self._lock:
                self._to_grpc.discard(own)

    def _http(self, client: socket.socket, host: str) -> None:
        client.settimeout(_SECONDS)
        with self._context.wrap_socket(client, server_side=True) as connection:
            self._keep(connection)
            try:
                http_front.serve(connection, host, self._hosts.answer)
            finally:
                self._forget(connection)

    def _join(self, client: socket.socket, server: socket.socket, first: bytes = b"") -> None:
        with server:
            self._keep(server)
            try:
                server.sendall(first)
                splice(client, server)
            finally:
                self._forget(server)

    def _keep(self, connection: socket.socket) -> None:
        """Remember what `stop` has to close."""
        with self._lock:
            if self._stopping:
                raise ConnectionAbortedError("the proxy stops")
            self._open.add(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)


def _asked(head: bytes, expected: bytes) -> tuple[str, int]:
    """The host and port that a client wants to be connected to.

    Raises:
        Refused: it wants something else, or may not.
    """
    line, *lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (each.partition(b":") for each in lines)}
    if not hmac.compare_digest(headers.get(b"proxy-authorization", b""), expected):
        raise Refused(407, "this proxy is for one local cloud only; use the HTTPS_PROXY that it was started with")
    method, _, rest = line.partition(b" ")
    if method != b"CONNECT":
        raise Refused(405, f"only CONNECT is known here, for https addresses; this was {line[:200]!r}")
    host, _, port = rest.partition(b" ")[0].rpartition(b":")
    host = host.strip(b"[]")
    if not host or not host.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise Refused(400, f"expected CONNECT HOST:PORT HTTP/1.1; this was {line[:200]!r}")
    return host.decode(), int(port)


def _refusal(refused: Refused) -> bytes:
    body = f"labkit's local cloud: {refused.words}\n".encode()
    ask = b'Proxy-Authenticate: Basic realm="labkit"\r\n' if refused.status == 407 else b""
    return (
        f"HTTP/1.1 {refused.status} Refused by the local cloud\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n".encode()
        + ask
        + b"\r\n"
        + body
    )
