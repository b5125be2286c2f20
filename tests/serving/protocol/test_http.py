"""HTTP/1.1 as clients speak it (§2.5; RFC 9110, RFC 9112): what they may send besides the plainest request."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from ..served import Served

BODY, ANSWER = b'{"instances": [1.0]}', {"predictions": [2.5]}
START = b"POST /v1/models/many:predict HTTP/1.1\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
HOST = b"Host: localhost\r\n"


@pytest.fixture
def client(many: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", many.rest_port), timeout=30) as made:
        yield made


def read(client: socket.socket, method: str = "POST") -> tuple[int, bytes]:
    """The next answer on the connection, and not a byte more."""
    answer = http.client.HTTPResponse(_Unbuffered(client), method=method)
    try:
        answer.begin()
        return answer.status, answer.read()
    finally:
        answer.close()


class _Unbuffered:
    """Lets HTTPResponse read byte by byte, so that a second answer stays for the next one."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def makefile(self, mode: str):
        return self._client.makefile(mode, buffering=1)


def assert_answered(client: socket.socket) -> None:
    status, body = read(client)
    assert (status, json.loads(body)) == (200, ANSWER)


def test_header_names_have_no_case(client: socket.socket) -> None:
    client.sendall(START + b"HOST: x\r\ncontent-LENGTH:%d\r\nX-Empty:\r\n\r\n" % len(BODY) + BODY)
    assert_answered(client)


def test_a_request_in_single_bytes(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in START + HOST + LENGTH + b"\r\n" + BODY:
        client.sendall(bytes([byte]))
    assert_answered(client)


def test_connect_is_refused(client: socket.socket) -> None:
    """RFC 9110, section 9.3.6: CONNECT is for proxies."""
    client.sendall(b"CONNECT example.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n")
    status, body = read(client)
    assert status == 400
    assert b"CONNECT" in body


def test_a_header_without_an_end_is_refused(client: socket.socket) -> None:
    client.sendall(START + b"X-Long: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            client.sendall(b"x" * 10_000)
    with contextlib.suppress(ConnectionError):
        assert client.recv(12) in (b"HTTP/1.1 400", b"")
        return
    # Reset while we were still sending: refused all the same.


def test_a_request_before_a_malformed_one_is_answered(client: socket.socket) -> None:
    client.sendall(START + HOST + LENGTH + b"\r\n" + BODY + b"nonsense\r\n\r\n")
    assert_answered(client)
    assert read(client)[0] == 400


def test_pipelining(client: socket.socket) -> None:
    """Requests sent without waiting are answered in their order."""
    requests = []
    for number in range(50):
        body = b'{"instances": [%d]}' % number
        requests.append(START + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    client.sendall(b"".join(requests))
    with client.makefile("rb") as stream:
        for number in range(50):
            assert stream.readline().split()[1] == b"200"
            length = 0
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert json.loads(stream.read(length)) == {"predictions": [number / 2 + 2]}


@pytest.mark.parametrize("sizes", [[20], [1] * 20, [7, 13]])
def test_chunked_body(client: socket.socket, sizes: list[int]) -> None:
    chunks, rest = [], BODY
    for size in sizes:
        chunks.append(b"%x;name=value\r\n" % size + rest[:size] + b"\r\n")
        rest = rest[size:]
    for _ in range(2):  # the connection goes on
        client.sendall(START + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n")
        assert_answered(client)


def test_expect_100_continue(client: socket.socket) -> None:
    """curl asks so before it sends a large body, and waits for the answer."""
    client.sendall(START + HOST + LENGTH + b"Expect: 100-continue\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
    client.sendall(BODY)
    assert_answered(client)


@pytest.mark.parametrize(
    ("version", "header", "closes"),
    [
        (b"1.1", b"", False),
        (b"1.1", b"Connection: close\r\n", True),
        (b"1.1", b"Connection: keep-alive\r\n", False),
        (b"1.0", b"", True),
        (b"1.0", b"Connection: keep-alive\r\n", False),
    ],
)
def test_who_closes(client: socket.socket, version: bytes, header: bytes, closes: bool) -> None:
    """RFC 9112, section 9.3."""
    sent = START.replace(b"1.1", version) + HOST + LENGTH + header + b"\r\n" + BODY
    client.sendall(sent)
    assert_answered(client)
    if closes:
        assert client.recv(1) == b""
    else:
        client.sendall(sent)
        assert_answered(client)


def test_a_target_in_absolute_form(client: socket.socket) -> None:
    """RFC 9112, section 3.2.2: a server must accept it. What it is taken for is left open; it is no 5xx."""
    client.sendall(START.replace(b" /", b" http://localhost/") + HOST + LENGTH + b"\r\n" + BODY)
    assert read(client)[0] in (200, 400, 404)


def test_two_meanings_of_a_length(client: socket.socket) -> None:
    """RFC 9112, section 6.1: Transfer-Encoding and Content-Length together may be an attack; refused or chunked."""
    client.sendall(
        START + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + BODY + b"\r\n0\r\n\r\n"
    )
    assert read(client)[0] in (200, 400)


def test_head_leaves_the_connection_in_step(client: socket.socket) -> None:
    client.sendall(b"HEAD /v1/models/many HTTP/1.1\r\n" + HOST + b"\r\n")
    assert read(client, "HEAD")[0] == 400
    client.sendall(START + HOST + LENGTH + b"\r\n" + BODY)
    assert_answered(client)


def test_a_get_with_a_body(client: socket.socket) -> None:
    """The body is read and ignored; the next request is understood."""
    client.sendall(b"GET /v1/models/many HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n" + BODY)
    assert read(client)[0] == 200
    client.sendall(START + HOST + LENGTH + b"\r\n" + BODY)
    assert_answered(client)


def test_a_body_larger_than_any_message(client: socket.socket) -> None:
    """Announced, not sent: refused without waiting for it (§5.1: 2^31 - 1 bytes over gRPC; here for REST too)."""
    client.sendall(START + HOST + b"Content-Length: %d\r\n\r\n" % (1 << 40) + BODY)
    assert read(client)[0] in (400, 413)


def test_an_upgrade_is_not_taken(client: socket.socket) -> None:
    """RFC 9110, section 7.8: a server may ignore it, and answers as usual."""
    client.sendall(START + HOST + LENGTH + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + BODY)
    assert_answered(client)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_answer_says_whether_the_connection_stays(client: socket.socket, version: bytes) -> None:
    """RFC 9112, section 9.3: an HTTP/1.0 client that asked for it must be told, or it waits for the end."""
    client.sendall(START.replace(b"1.1", version) + b"Connection: keep-alive\r\n" + LENGTH + b"\r\n" + BODY)
    assert b"\r\nConnection: keep-alive\r\n" in client.recv(4096)


def test_a_body_is_not_counted_as_headers(client: socket.socket) -> None:
    """Head and body in one piece, longer than headers may be: answered, and the connection stays."""
    body = b'{"instances": [1.0]}' + b" " * 100_000
    request = START + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for _ in range(20):
        client.sendall(request)
        status, answer = read(client)
        assert (status, json.loads(answer)) == (200, ANSWER)
    client.sendall(START + HOST + LENGTH + b"\r\n" + BODY)
    assert read(client)[0] == 200
