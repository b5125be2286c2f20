"""Slow, half-open and vanishing clients, a hard-working request, and memory: none of them is others' problem."""

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import grpc
import psutil
import pytest

from ..grpc_calls import PREDICT, calls, outcome, request
from ..served import Served, ask_on, until

GOOD, ANSWER = {"instances": [1.0]}, {"predictions": [2.5]}
BODY = json.dumps(GOOD).encode()
HEAD = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def half(saved_models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("server"), "half", saved_models.half_plus[2]) as server:
        yield server


@pytest.fixture
def quietly(half: Served) -> Iterator[None]:
    """The test leaves no traceback in the server's log."""
    before = len(half.stderr)
    yield
    assert "Traceback" not in half.stderr[before:], half.stderr[before:][:3000]


def assert_both_answer(server: Served) -> None:
    answer = server.predict(GOOD)
    assert (answer.status, answer.json) == (200, ANSWER)
    with calls(server.grpc_port) as grpc_calls:
        assert list(grpc_calls.predict(request(server.name, x=[1.0])).outputs["y"].float_val) == [2.5]


@contextmanager
def connected(port: int, *parts: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as made:
        with suppress(BrokenPipeError, ConnectionResetError):  # the other side may have heard enough
            for part in parts:
                made.sendall(part)
        yield made


SLOW = {
    "nothing sent": [],
    "half a request line": [b"POST /v1/mod"],
    "a header that never ends": [HEAD, b"X-Slow: "],
    "headers without an end": [HEAD, b"Content-Length: 20\r\n"],
    "a body that never comes": [HEAD, b"Content-Length: 20\r\n\r\n"],
    "half a body": [HEAD, b"Content-Length: 1000000000\r\n\r\n", BODY],
    "a chunk that never ends": [HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"ffff\r\n", BODY],
}


def _frame(kind: int, stream: int, payload: bytes, flags: int = 0, length: int | None = None) -> bytes:
    """An HTTP/2 frame (RFC 9113, section 4.1)."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = PREFACE + _frame(4, 0, b"")


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field as it is (RFC 7541, section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


CALL = SETTINGS + _frame(
    *(1, 1),
    b"\x83\x86"  # :method POST, :scheme http
    + _literal(b":path", PREDICT.encode())
    + _literal(b":authority", b"localhost")
    + _literal(b"content-type", b"application/grpc")
    + _literal(b"te", b"trailers"),
    flags=4,
)
HALF_A_MESSAGE = CALL + _frame(0, 1, struct.pack(">BI", 0, 1000) + b"half")
SLOW_GRPC = {
    "nothing sent": [],
    "half a preface": [PREFACE[:10]],
    "settings and no call": [SETTINGS],
    "headers without an end": [SETTINGS, _frame(1, 1, b"\x83", flags=4, length=100)],
    "a message that never comes": [CALL],
    "half a message": [HALF_A_MESSAGE],
    "half a frame": [CALL, _frame(0, 1, b"half", length=16_384)],
}


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize(
    ("protocol", "title"), [*(("rest", title) for title in SLOW), *(("grpc", title) for title in SLOW_GRPC)]
)
def test_slow_clients_block_nobody(half: Served, protocol: str, title: str) -> None:
    """Fifty at a time."""
    port, parts = (half.rest_port, SLOW[title]) if protocol == "rest" else (half.grpc_port, SLOW_GRPC[title])
    with ExitStack() as clients:
        made = [clients.enter_context(connected(port, *parts)) for _ in range(50)]
        assert_both_answer(half)
        assert not [client for client in made if _is_closed(client)], "refused, not waited for"
    assert_both_answer(half)


def _is_closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection; what it said before, such as its settings, is read."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_a_slow_body_is_answered_in_the_end(half: Served) -> None:
    with connected(half.rest_port, HEAD, b"Content-Length: %d\r\n\r\n" % len(BODY)) as client:
        for byte in BODY[:-1]:
            client.sendall(bytes([byte]))
        assert_both_answer(half)
        client.sendall(BODY[-1:])
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, json.loads(answer.read())) == (200, ANSWER)


def test_many_idle_connections(half: Served) -> None:
    with ExitStack() as clients:
        for _ in range(400):
            clients.enter_context(connected(half.rest_port))
        assert_both_answer(half)


VANISHING = {
    "in the head": [HEAD],
    "in the body": [HEAD, b"Content-Length: 1000\r\n\r\n", BODY],
    "before the answer": [HEAD, b"Content-Length: %d\r\n\r\n" % len(BODY), BODY],
}


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("title", VANISHING)
def test_clients_that_vanish(half: Served, title: str, reset: bool) -> None:
    """Thirty of them, politely or not."""
    for _ in range(30):
        with connected(half.rest_port, *VANISHING[title]) as client:
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert_both_answer(half)


GARBAGE = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
    "zeros": bytes(10_000),
    "a line without end": b"GET /" + b"a" * 200_000,
    "a header of 200 kB": HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    "10,000 headers": HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(10_000)) + b"\r\n",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length that is no number": HEAD + b"Content-Length: many\r\n\r\n",
    "a bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/9.9": b"GET /v1/models/half HTTP/9.9\r\n\r\n",
    "a path that is not UTF-8": b"GET /v1/models/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path that decodes to no UTF-8": b"GET /v1/models/%ff%fe%zz% HTTP/1.1\r\nHost: x\r\n\r\n",
    "a verb of its own": b"BREW /v1/models/half HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2 on the REST port": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
}


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize("title", GARBAGE)
def test_garbage_for_http(half: Served, title: str) -> None:
    """Refused with a 4xx, or the connection is closed; never a 5xx but for 505."""
    with connected(half.rest_port) as client:
        answer = _all_of(client, GARBAGE[title])
    if answer:
        status = int(answer.split(b" ")[1])
        assert 400 <= status < 500 or status == 505, answer[:300]
    assert_both_answer(half)


HTTP2_GARBAGE = {
    "HTTP/1.1": HEAD + b"\r\n",
    "random": bytes(range(256)) * 50,
    "a preface and garbage": PREFACE + bytes(range(256)) * 50,
    "a frame of a type that is none": PREFACE + _frame(255, 1, b"abcd"),
    "a frame of 16 MB announced": SETTINGS + _frame(0, 1, b"x" * 1000, length=0xFFFFFF),
    "headers that do not decode": SETTINGS + _frame(1, 1, b"\xff\xff\xff\xff", flags=4),
    "a thousand pings": SETTINGS + _frame(6, 0, bytes(8)) * 1000,
    "a thousand resets": SETTINGS + b"".join(_frame(3, stream, bytes([0, 0, 0, 8])) for stream in range(1, 2001, 2)),
}


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize("title", HTTP2_GARBAGE)
def test_garbage_for_grpc(half: Served, title: str) -> None:
    with connected(half.grpc_port) as client:
        _all_of(client, HTTP2_GARBAGE[title])
    assert_both_answer(half)


def _all_of(client: socket.socket, sent: bytes) -> bytes:
    """What the server says until it closes the connection, or until it has had its chance."""
    received = b""
    client.settimeout(0.5)
    try:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(65536):
            received += part
    except OSError:  # closed by the server, or still waiting for more: both are fine
        pass
    return received


@pytest.mark.usefixtures("quietly")
def test_a_grpc_client_that_vanishes(half: Served) -> None:
    """A call whose message is cut off, and one that is cancelled at once."""
    for _ in range(20):
        with connected(half.grpc_port, HALF_A_MESSAGE):
            pass
    with calls(half.grpc_port) as grpc_calls:
        for _ in range(20):
            call = grpc_calls.prediction.Predict.future(request("half", x=[1.0]))
            call.cancel()
    assert_both_answer(half)


@pytest.mark.parametrize("signature", ["wait", "grow"])
def test_a_hard_request_does_not_hold_up_others(serve, saved_models, signature: str) -> None:
    """Small to send and long to run, in the model's loop or in one operation: others are answered meanwhile."""
    folder, small, hard = {
        "wait": (saved_models.slow, {"seconds": [0.0], "x": [1.0]}, {"seconds": [6.0], "x": [1.0]}),
        "grow": (saved_models.many, {"n": 2}, {"n": 2000}),
    }[signature]
    server = serve("hard", folder, "--rest_api_timeout_in_ms=0")
    for _ in range(20):  # it has shown to be quick
        assert server.predict({"signature_name": signature, "inputs": small}).status == 200
        assert_both_answer(server)
    if signature == "grow":  # cubic: some four seconds' work for this machine
        began = time.perf_counter()
        server.predict({"signature_name": signature, "inputs": hard})
        hard = {"n": min(12_000, int(hard["n"] * (4 / (time.perf_counter() - began)) ** (1 / 3)))}
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(server.predict({"signature_name": signature, "inputs": hard}).status)
    )
    busy = psutil.Process(server.process.pid)
    before = sum(busy.cpu_times()[:2])
    asking.start()
    until(lambda: sum(busy.cpu_times()[:2]) - before > 0.2, "the hard request is running")
    for _ in range(5):
        assert_both_answer(server)
    assert not answers, "others were answered only after the hard request"
    asking.join()
    assert answers == [200]


CODES = ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED")
REQUESTS, WARM_UP, BOUND_BYTES = 10_000, 4_000, 1 << 20


def test_memory_over_ten_thousand_requests(half: Served) -> None:
    """Right, wrong and broken ones over both protocols: the last 6,000 keep less than 1 MiB together."""
    process = psutil.Process(half.process.pid)
    connection = half.connection()
    path = "/v1/models/half:predict"
    large = json.dumps({"instances": [[0.5]] * 500}).encode()
    rest = [BODY, b"{", b'{"inputs": "x"}', b'{"instances": [[1], [1, 2]]}', large, b'{"signature_name": "foo"}', b""]
    wrong = request("half", x=[1.0])
    wrong.inputs["x"].tensor_shape.dim[0].size = 2**40
    strings = request("half", "foo", x=[1.0])
    resident = []
    with calls(half.grpc_port) as grpc_calls:
        messages = [request("half", x=[1.0]), wrong, strings, request("nope", x=[1.0])]
        for number in range(REQUESTS):
            if number >= WARM_UP and number % 1000 == 0:
                resident.append(process.memory_info().rss)
            if number % 4:
                ask_on(connection, "POST", path, rest[number % len(rest)])
            else:
                code, message = outcome(grpc_calls.predict, messages[number // 4 % len(messages)])
                assert code in CODES, message
    resident.append(process.memory_info().rss)
    connection.close()
    assert_both_answer(half)
    assert resident[-1] - resident[0] < BOUND_BYTES, f"resident bytes every 1,000 requests: {resident}"


def test_grpc_over_many_channels(half: Served) -> None:
    """Channels that come and go, each with a call."""
    for _ in range(30):
        with grpc.insecure_channel(f"127.0.0.1:{half.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            channel.unary_unary(PREDICT)(request("half", x=[1.0]).SerializeToString(), timeout=60)
    assert_both_answer(half)
