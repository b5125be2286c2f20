"""A small HTTP server that answers as it is told and keeps what it was asked."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.message import Message

import grpc

ANSWER = b'{"predictions": [2.0]}'


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: Message
    body: bytes


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with what `answer(number of the request)` gives: status and body."""

    daemon_threads = True

    def __init__(self, answer: Callable[[int], tuple[int, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.lock = answer, threading.Lock()
        self.requests: list[Asked] = []
        self.connections = 0

    @property
    def asked(self) -> int:
        return len(self.requests)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/models/m:predict"

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.requests.append(Asked(self.path, self.headers, body))
            number = len(self.server.requests)
        status, answer = self.server.answer(number)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")  # without a charset, as metrics have it
        self.send_header("Content-Length", str(len(answer)))
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@contextmanager
def answering(answer: Callable[[int], tuple[int, bytes]]) -> Iterator[Server]:
    with Server(answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class _Same(grpc.GenericRpcHandler):
    def __init__(self, answer: bytes) -> None:
        self._method = grpc.unary_unary_rpc_method_handler(lambda request, context: answer)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return self._method


@contextmanager
def answering_over_grpc(answer: bytes) -> Iterator[str]:
    """The address of a gRPC server that answers every call with the same bytes."""
    server = grpc.server(ThreadPoolExecutor(2), [_Same(answer)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def answering_with(status_of: Callable[[int], int]) -> AbstractContextManager[Server]:
    """The same, which is told the status only: `ANSWER`, or an error with the request's number."""

    def answer(number: int) -> tuple[int, bytes]:
        status = status_of(number)
        return status, ANSWER if status == 200 else json.dumps({"error": f"number {number}"}).encode()

    return answering(answer)
