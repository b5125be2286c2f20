"""A door of the local cloud for tests, and what stands in for other hosts behind it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
import requests

from labkit.cloud.local.accounts import Hosts
from labkit.cloud.local.authority import Authority
from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.proxy import Proxy

PROJECT = "penguin-lab"


@dataclass
class Door:
    """A running proxy whose storage echoes what it was asked.

    Attributes:
        proxy: the proxy.
        environment: what clients need.
        asked: the requests that came to storage.
        answer: what storage answers.
    """

    proxy: Proxy
    environment: dict[str, str]
    asked: list[HttpRequest] = field(default_factory=list)
    answer: Callable[[HttpRequest], HttpAnswer] = lambda request: HttpAnswer(body=request.body)

    @property
    def url(self) -> str:
        """The proxy's address with its secret."""
        return self.environment["HTTPS_PROXY"]

    def storage(self, request: HttpRequest) -> HttpAnswer:
        """What stands behind storage.googleapis.com."""
        self.asked.append(request)
        return self.answer(request)

    def session(self) -> requests.Session:
        """A client of `requests` that finds this cloud."""
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": self.url, "http": self.url}
        session.verify = self.environment["REQUESTS_CA_BUNDLE"]
        return session

    def connect(self, target: str, *, user: str | None = None) -> tuple[socket.socket, bytes]:
        """Ask for a connection by hand: the socket, and the head of the proxy's answer."""
        secret = self.url.split("@")[0].removeprefix("http://") if user is None else user
        connection = socket.create_connection(("127.0.0.1", self.proxy.port), timeout=20)
        basic = requests.auth._basic_auth_str(*secret.split(":")) if secret else "none"
        try:
            connection.sendall(f"CONNECT {target} HTTP/1.1\r\nProxy-Authorization: {basic}\r\n\r\n".encode())
            return connection, self.received(connection, b"\r\n\r\n")
        except BaseException:
            connection.close()
            raise

    def tls(self, host: str = "storage.googleapis.com") -> ssl.SSLSocket:
        """A connection to one of Google's hosts, on which anything may be sent."""
        connection, _ = self.connect(f"{host}:443")
        context = ssl.create_default_context(cafile=self.environment["SSL_CERT_FILE"])
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context.wrap_socket(connection, server_hostname=host)

    @staticmethod
    def received(connection: socket.socket, end: bytes = b"") -> bytes:
        """All that comes until `end` is in it, or until the other side closes."""
        content = b""
        while not end or end not in content:
            piece = connection.recv(65536)
            if not piece:
                break
            content += piece
        return content


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """One for all tests, as its keys take time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        yield Authority(tmp_path_factory.mktemp("door") / "cloud")


@pytest.fixture
def opened(authority):
    """A context manager: a door with storage behind it."""

    @contextmanager
    def door(**how):
        hosts = Hosts(PROJECT, "123")
        with Proxy(authority, hosts, **how) as proxy:
            door = Door(proxy, authority.environment(proxy.port, PROJECT))
            hosts.add("storage.googleapis.com", door.storage)
            yield door
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("prox")]

    return door


@pytest.fixture
def door(opened):
    """A running door."""
    with opened() as found:
        yield found


@pytest.fixture
def listening():
    """A context manager: some other host; one connection after the other is handed to `answer` and then closed."""
    return _listening


@contextmanager
def _listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                if connection.recv(1, socket.MSG_PEEK) == b"\0":
                    return
                with suppress(OSError):  # the client went away
                    answer(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield port
    finally:
        with socket.create_connection(("127.0.0.1", port)) as last:
            last.sendall(b"\0")
            thread.join(20)
        listener.close()
