"""Storage behind a plain HTTP server, as Google's clients find it with an endpoint of their own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage

from labkit.cloud.local.http_messages import HttpRequest
from labkit.cloud.local.storage import Storage


class Front(ThreadingHTTPServer):
    """One `Storage` for whoever connects.

    Attributes:
        storage: what answers.
        url: where it is.
        seen: methods and addresses of the requests so far.
    """

    daemon_threads = True
    request_queue_size = 128  # gcsfs connects a hundred times at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage = Storage()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Front

    def answer(self):
        self.server.seen.append(f"{self.command} {self.path}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._chunks() if "transfer-encoding" in headers else self._sized(headers)
        answer = self.server.storage.answer(HttpRequest(self.command, "127.0.0.1", self.path, headers, body))
        self.send_response(answer.status, "Resume Incomplete" if answer.status == 308 else None)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and answer.body:
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        """Nothing: the tests' output is for the tests."""

    def _sized(self, headers):
        return self.rfile.read(int(headers.get("content-length", 0)))

    def _chunks(self):
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


@pytest.fixture
def front():
    with Front() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(front):
    """Google's client, unmodified."""
    found = google_storage.Client(
        project="lab", credentials=AnonymousCredentials(), client_options={"api_endpoint": front.url}
    )
    yield found
    found.close()


@pytest.fixture
def bucket(client):
    return client.create_bucket("bucket-of-tests")


@pytest.fixture
def ask(front):
    """Ask storage itself: method, address, body and headers, without HTTP."""

    def ask(method, target, body=b"", host="storage.googleapis.com", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return front.storage.answer(HttpRequest(method, host, target, named, body))

    return ask
