import json
import tracemalloc
from contextlib import suppress

import pytest

from labkit.cloud.local import http_front
from labkit.cloud.local.http_messages import HttpAnswer

URL = "https://storage.googleapis.com"
pytestmark = pytest.mark.timeout(30)


def talk(door, sent, *, end=b""):
    """What comes back for bytes that were written by hand."""
    with door.tls() as connection:
        connection.sendall(sent)
        return door.received(connection, end)


def test_a_request_arrives_whole(door):
    with door.session() as session:
        answer = session.post(f"{URL}/lab/a%2Fb?q=%20x", data=b"\0body", headers={"X-Some": "thing"})
    (request,) = door.asked
    assert (request.method, request.host, request.target) == ("POST", "storage.googleapis.com", "/lab/a%2Fb?q=%20x")
    assert request.headers["x-some"] == "thing" and request.body == b"\0body"
    assert answer.content == b"\0body" and answer.headers["Content-Length"] == "5"


def test_the_host_is_the_one_that_was_connected_to(door):
    with door.session() as session:
        session.get("https://lab.storage.googleapis.com/x", headers={"Host": "example.com"})
    assert door.asked[0].host == "lab.storage.googleapis.com"


def test_a_connection_takes_one_request_after_the_other_also_when_they_come_at_once(door):
    one = b"PUT /%d HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
    answers = talk(door, one % 1 + one % 2 + b"GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert [request.target for request in door.asked] == ["/1", "/2", "/3"]


def test_an_older_client_is_not_kept(door):
    assert b"Connection: close" in talk(door, b"GET /x HTTP/1.0\r\n\r\n")


def test_chunks_are_joined_and_win_over_a_length(door):
    talk(
        door,
        b"PUT /x HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"4\r\nabcd\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
        b"GET /next HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    assert [request.body for request in door.asked] == [b"abcd0123456789", b""]


def test_identity_is_no_coding_as_tensorflow_sends_it(door):
    talk(door, b"PUT /x HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: identity\r\nConnection: close\r\n\r\nab")
    assert door.asked[0].body == b"ab"


def test_a_body_that_waits_to_be_asked_for_is_asked_for(door):
    with door.tls() as connection:
        connection.sendall(b"PUT /x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert door.received(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ab")
        assert door.received(connection).endswith(b"\r\n\r\nab")


def test_a_body_of_many_megabytes_goes_both_ways(door):
    body = bytes(range(256)) * 4 * 32 * 1024
    with door.session() as session:
        assert session.put(f"{URL}/x", data=body).content == body
    assert isinstance(door.asked[0].body, bytes)


def test_a_large_body_is_in_memory_once(door):
    body, door.answer = bytes(32 << 20), lambda _: HttpAnswer(204)
    with door.session() as session:
        tracemalloc.start()
        try:
            session.put(f"{URL}/x", data=body)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(door.asked[0].body) == len(body) < most < 1.5 * len(body)


def test_head_gets_the_length_but_not_the_body(door):
    door.answer = lambda request: HttpAnswer(body=b"12345")
    with door.session() as session:
        answer = session.head(f"{URL}/x")
        assert (answer.headers["Content-Length"], answer.content) == ("5", b"")
        door.answer = lambda request: HttpAnswer(headers={"content-length": "77"})
        assert session.head(f"{URL}/x").headers["Content-Length"] == "77"
        assert session.get(f"{URL}/x").headers["Content-Length"] == "0"


def test_head_gets_not_a_byte_of_the_body(door):
    door.answer = lambda request: HttpAnswer(body=b"12345")
    assert talk(door, b"HEAD /x HTTP/1.1\r\nConnection: close\r\n\r\n").endswith(b"\r\n\r\n")


def test_no_content_has_no_length(door):
    door.answer = lambda request: HttpAnswer(204)
    assert b"content-length" not in talk(door, b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n").lower()


def test_the_doors_own_headers_are_sent_once(door):
    door.answer = lambda request: HttpAnswer(headers={"content-length": "999", "Connection": "x"}, body=b"ab")
    answer = talk(door, b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.lower().count(b"content-length: ") == 1 and b"Content-Length: 2\r\n" in answer


def test_repeated_headers_are_joined(door):
    talk(door, b"GET /x HTTP/1.1\r\nA: 1\r\na:2 \r\nConnection: close\r\n\r\n")
    assert door.asked[0].headers["a"] == "1, 2"


def fail(request):
    raise KeyError("no such thing")


def test_an_exception_becomes_an_answer_and_is_logged(door, capsys):
    door.answer = fail
    with door.session() as session:
        answer = session.get(f"{URL}/x")
        assert answer.status_code == 500
        assert answer.json() == {"error": {"code": 500, "message": "KeyError: 'no such thing'", "status": "INTERNAL"}}
        door.answer = lambda request: HttpAnswer(body=b"fine")
        assert session.get(f"{URL}/x").text == "fine"
    assert "KeyError: 'no such thing'" in capsys.readouterr().err


def test_headers_may_be_in_any_script(door):
    door.answer = lambda request: HttpAnswer(headers={"x-goog-meta-name": "ペンギン"}, body=b"fine")
    with door.session() as session:
        answer = session.get("https://storage.googleapis.com/", timeout=20)
    assert answer.content == b"fine"
    assert answer.headers["x-goog-meta-name"].encode("latin-1").decode() == "ペンギン"


def test_an_answer_cannot_be_split_by_a_header(door):
    door.answer = lambda request: HttpAnswer(headers={"x-goog-meta-a": "b\r\nSet-Cookie: c"})
    with door.session() as session:
        answer = session.get(f"{URL}/x")
    assert answer.status_code == 500 and "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"NONSENSE\r\n\r\n", 400, "first line"),
        (b"GET /x HTTP/2.0\r\n\r\n", 400, "first line"),
        (b"GET https://example.com/ HTTP/1.1\r\n\r\n", 400, "first line"),
        (b"GET /x HTTP/1.1\r\nnothing\r\n\r\n", 400, "not a header"),
        (b"GET /x HTTP/1.1\r\nA : 1\r\n\r\n", 400, "not a header"),
        (b"GET /x HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400, "not a header"),
        (b"GET /x HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n", 400, "not a header"),
        (b"PUT /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"),
        (b"PUT /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "Content-Length"),
        (b"PUT /x HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n", 413, "in memory"),
        (b"PUT /x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "only chunked"),
        (b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "size of a chunk"),
        (b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400, "size of a chunk"),
        (b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd", 400, "longer than"),
        (b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", 413, "in memory"),
        (b"GET /x HTTP/1.1\r\nA: " + b"x" * 2 * http_front.LARGEST_HEAD, 431, "bytes"),
        (b"GET /" + b"x" * 2 * http_front.LARGEST_HEAD, 431, "bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_understood_is_answered_in_words_and_ends_the_connection(door, sent, status, words):
    head, _, body = talk(door, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert words in json.loads(body)["error"]["message"]
    assert not door.asked


@pytest.mark.parametrize(
    "sent", [b"PUT /x HTTP/1.1\r\nContent-Le", b"PUT /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"]
)
def test_half_a_request_never_arrives(door, sent):
    connection = door.tls()
    connection.sendall(sent)
    connection.close()
    with door.session() as session:
        session.get(f"{URL}/after")
    assert [request.target for request in door.asked] == ["/after"]


def test_a_slow_client_does_not_hold_up_another(door):
    with door.tls() as slow, door.session() as session:
        slow.sendall(b"GET /slow HTTP/1.1\r\n")
        assert session.get(f"{URL}/quick").status_code == 200
        slow.sendall(b"Connection: close\r\n\r\n")
        assert door.received(slow).startswith(b"HTTP/1.1 200")


def test_a_client_that_goes_on_but_too_slowly_is_left(door, monkeypatch):
    monkeypatch.setattr(http_front, "_HEAD_SECONDS", 0.2)
    with door.tls() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nA: ")
        connection.settimeout(0.01)
        while not ended(connection):
            with suppress(OSError):
                connection.sendall(b"x")
    assert not door.asked


def ended(connection):
    """Whether the other side has closed; waits a little for it."""
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_an_error_reaches_also_a_client_that_first_sends_all(door):
    answer = talk(door, b"PUT /x HTTP/1.1\r\nContent-Length: ?\r\n\r\n" + b"x" * 8_000_000)
    assert answer.startswith(b"HTTP/1.1 400 ")
