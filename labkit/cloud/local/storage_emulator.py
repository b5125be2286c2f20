"""gcp-storage-emulator's own answers, for what it answers as Google does: access lists and policies."""

import io
from email.message import Message
from types import SimpleNamespace

from gcp_storage_emulator.server import Router

from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.storage_store import Store


class _Door:
    """What the emulator reads a request from and writes its answer to: a `BaseHTTPRequestHandler` without a socket."""

    server = SimpleNamespace(server_address=("127.0.0.1", 0))

    def __init__(self, store: Store, request: HttpRequest) -> None:
        self.storage = store
        self.path = request.target
        self.rfile, self.wfile = io.BytesIO(request.body), io.BytesIO()
        self.headers = Message()
        for name, value in request.headers.items():
            if name not in ("transfer-encoding", "content-length"):
                self.headers[name] = value
        self.headers["Content-Length"] = str(len(request.body))
        self.status = 0
        self.written: dict[str, str] = {}

    def send_response(self, status: int, _phrase: str) -> None:
        self.status = status

    def send_header(self, name: str, value: str) -> None:
        if name != "Content-Length":
            self.written[name] = value

    def end_headers(self) -> None:
        """Nothing: headers and body are kept apart."""


def passed_on(store: Store, request: HttpRequest) -> HttpAnswer:
    """What the emulator answers."""
    door = _Door(store, request)
    with store.lock:
        Router(door).handle(request.method)
    return HttpAnswer(door.status, door.written, door.wfile.getvalue())
