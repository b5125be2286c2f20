"""What the bytes of HTTP/1.1 connections are that were made by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from labkit.bench import wire

from ..serving.fuzz.profile import fuzzed
from .connections import GET, cut_off, failure, names, not_understood, post, recorded, taken_apart


def test_the_order_of_parts():
    connection = recorded(GET + post(b"abc", b"de", chunked=True))
    assert names(connection) == [
        (1, "request line", 27),
        (1, "headers", 11),
        (2, "request line", 18),
        (2, "headers", 30),
        (2, "chunk framing", 3),
        (2, "body", 3),
        (2, "chunk framing", 2),
        (2, "chunk framing", 3),
        (2, "body", 2),
        (2, "chunk framing", 2),
        (2, "chunk framing", 3),
        (2, "chunk framing", 2),
    ]


def test_pipelined_requests_have_their_answers_in_order():
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (n, b"x" * n) for n in (3, 5, 7)]
    found = taken_apart(recorded(GET * 3, b"".join(answers)))
    assert [found[number, "received", "body"] for number in (1, 2, 3)] == [3, 5, 7]


def test_a_size_of_a_chunk_may_have_extensions_and_the_last_one_trailers():
    sent = post(chunked=True, end=b'00a ;x="y"\r\n0123456789\r\n0\r\nDigest: a\r\nB: c\r\n\r\n')
    found = taken_apart(recorded(sent + GET))
    assert found[1, "sent", "body"] == 10
    assert found[1, "sent", "chunk framing"] == len('00a ;x="y"\r\n') + 2 + len("0\r\nDigest: a\r\nB: c\r\n\r\n")
    assert found[2, "sent", "request line"] == 27


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body(status):
    first = f"HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n".encode()
    found = taken_apart(recorded(GET * 2, first + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
    assert (1, "received", "body") not in found and found[2, "received", "body"] == 1


def test_an_answer_to_head_says_how_long_it_would_be():
    sent = post(method="HEAD") + GET
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    found = taken_apart(recorded(sent, answer + answer + b"abc"))
    assert (1, "received", "body") not in found and found[2, "received", "body"] == 3


def test_continue_comes_before_the_answer():
    received = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    found = taken_apart(recorded(post(b"abc"), received))
    assert found[1, "received", "status line"] == len("HTTP/1.1 100 Continue\r\n" + "HTTP/1.1 200 OK\r\n")
    assert found[1, "received", "body"] == 1


def test_an_answer_without_a_length_goes_on_to_the_end():
    found = taken_apart(recorded(GET, b"HTTP/1.0 200\r\nServer: old\r\n\r\nHTTP/1.1 is what I do not speak\r\n"))
    assert found[1, "received", "body"] == 33
    assert found[1, "received", "status line"] == 14


def test_nothing_and_no_answer_yet():
    assert wire.parts(recorded()) == [] == wire.headers(recorded())
    assert taken_apart(recorded(GET)).keys() == {(1, "sent", "request line"), (1, "sent", "headers")}


def test_headers_are_as_they_were_written():
    sent = b"GET / HTTP/1.1\r\nhOsT:a:80\r\nX-Empty:\r\nX-Same:  one \r\nX-Same: \xe9\r\n\r\n"
    assert wire.headers(recorded(sent)) == [
        (1, "sent", [("hOsT", "a:80"), ("X-Empty", ""), ("X-Same", "one"), ("X-Same", "é")])
    ]


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (GET[:10], "the request line of request 1"),
        (GET + GET[:30], "the headers of request 2"),
        (post(b"abc")[:-1], "the body of request 1"),
        (post(b"abc", chunked=True)[:-8], "a chunk of request 1"),
        (post(b"abc", chunked=True)[:-6], "a chunk of request 1"),
        (post(b"abc", chunked=True)[:-4], "a chunk's size in request 1"),
        (post(b"abc", chunked=True)[:-2], "the trailers of request 1"),
    ],
)
def test_what_ends_too_early(sent, what):
    assert f"What was sent ends in the middle of {what};" in failure(sent)


def test_an_answer_that_ends_too_early():
    said = failure(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789")
    assert "What was received ends in the middle of the body of answer 1; look again when the whole" in said


@pytest.mark.parametrize(
    ("sent", "received", "what"),
    [
        (b"\x00\x01\x02", b"", r"is no HTTP/1.1: where the request line of message 1 should be, there is b'\x00"),
        (b"*1\r\n$4\r\nPING\r\n", b"", "is no HTTP/1.1"),
        (b"GET / HTTP/3\r\n\r\n", b"", "is no HTTP/1.1"),
        (GET, b"SSH-2.0\r\n\r\n", "where the status line of message 1 should be, there is b'SSH-2.0"),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"", r"has a header without a colon: b'Host\r\n'"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"", "has the Content-Length '-1'"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"", "the transfer encoding 'gzip'"),
        (post(chunked=True, end=b"x\r\n"), b"", r"has a chunk of the size b'x\r\n'"),
        (post(chunked=True, end=b"1\r\nabc\r\n"), b"", r"a chunk that is longer than it says: b'bc\r\n'"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 2, "answer number 2, but only 1 requests"),
        (GET, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "in another protocol"),
        (b"", b"HTTP/1.1 408 Timeout\r\n\r\n", "24 bytes were received before anything was sent"),
        (b"\x16\x03\x01\x02\x00\x01", b"", "speaks TLS"),
    ],
)
def test_what_cannot_be_taken_apart(sent, received, what):
    assert what in failure(sent, received)


@fuzzed
@given(some.lists(some.tuples(some.lists(some.binary(min_size=1, max_size=30), max_size=4), some.booleans())))
def test_http1_requests_with_any_bodies(requests_):
    found = taken_apart(recorded(b"".join(post(*chunks, chunked=chunked) for chunks, chunked in requests_)))
    for number, (chunks, _) in enumerate(requests_, start=1):
        assert found[number, "sent", "body"] == sum(map(len, chunks))


def test_cut_off_anywhere():
    first_two = GET + post(b"abc", b"de", chunked=True)
    reasons = cut_off(first_two + post(b"a"))
    assert all("ends in the middle of" in reason for reason in reasons if reason)
    assert [place for place, reason in enumerate(reasons) if not reason] == [0, len(GET), len(first_two)]


@fuzzed
@given(some.sampled_from([b"", GET, post(b"a")]), some.binary())
def test_garbage_has_its_parts_or_a_reason(begin, garbage):
    not_understood(recorded(begin + garbage))
    not_understood(recorded(begin or GET, garbage))
