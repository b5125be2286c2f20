"""What the bytes of HTTP/2 connections are that were made by hand."""

import random

import pytest
from hyperframe import frame as frames
from hypothesis import given
from hypothesis import strategies as some

from labkit.bench import wire

from ..serving.fuzz.profile import fuzzed
from .connections import (
    GRPC,
    PREFACE,
    Spoken,
    calls,
    cut_off,
    data,
    failure,
    message,
    names,
    not_understood,
    recorded,
    said,
    taken_apart,
)


def test_what_belongs_to_the_connection_and_what_to_a_request():
    client, server = Spoken(), Spoken()
    sent = [
        PREFACE,
        frames.SettingsFrame(0, {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 9}).serialize(),
        frames.WindowUpdateFrame(0, 100).serialize(),
        frames.PriorityFrame(7, depends_on=3).serialize(),
        client.headers(7),
        data(7, message(b"abc")),
        frames.WindowUpdateFrame(7, 100).serialize(),
        frames.PingFrame(0, b"12345678").serialize(),
        frames.RstStreamFrame(7, 8).serialize(),
        frames.GoAwayFrame(0, additional_data=b"bye").serialize(),
    ]
    received = [
        frames.SettingsFrame(0, flags=["ACK"]).serialize(),
        frames.PriorityFrame(7).serialize(),
        frames.WindowUpdateFrame(7, 100).serialize(),
        server.headers(7, [(":status", "200")]),
        frames.RstStreamFrame(7).serialize(),
    ]
    connection = recorded(b"".join(sent), b"".join(received))
    taken_apart(connection)
    assert names(connection) == [
        (0, "connection preface", 24),
        (0, "SETTINGS", 9 + 6),
        (0, "WINDOW_UPDATE", 13),
        (0, "PRIORITY", 14),
        (1, "frame headers", 9),
        (1, "HPACK", len(sent[4]) - 9),
        (1, "frame headers", 9),
        (1, "gRPC prefix", 5),
        (1, "message", 3),
        (1, "WINDOW_UPDATE", 13),
        (0, "PING", 17),
        (1, "RST_STREAM", 13),
        (0, "GOAWAY", 17 + 3),
    ]
    assert names(connection, "received") == [
        (0, "SETTINGS", 9),
        (1, "PRIORITY", 14),
        (1, "WINDOW_UPDATE", 13),
        (1, "frame headers", 9),
        (1, "HPACK", 1),
        (1, "RST_STREAM", 13),
    ]


def test_requests_are_numbered_as_they_begin():
    client = Spoken()
    sent = PREFACE + client.headers(5) + client.headers(9) + data(9, message(b"ab")) + data(5, message(b"abcd"))
    found = taken_apart(recorded(sent))
    assert (found[1, "sent", "message"], found[2, "sent", "message"]) == (4, 2)


def test_padding_and_priority_go_to_the_frame():
    client = Spoken()
    first = client.headers(1, GRPC, "PADDED", "PRIORITY", pad_length=7, depends_on=0, stream_weight=9)
    sent = PREFACE + first + data(1, message(b"abc"), padding=200) + data(1, message(b""), "PADDED")
    connection = recorded(sent)
    block = len(first) - 9 - 1 - 5 - 7
    assert names(connection) == [
        (0, "connection preface", 24),
        (1, "frame headers", 9 + 1 + 5 + 7),
        (1, "HPACK", block),
        (1, "frame headers", 9 + 1 + 200),
        (1, "gRPC prefix", 5),
        (1, "message", 3),
        (1, "frame headers", 9 + 1),
        (1, "gRPC prefix", 5),
    ]
    taken_apart(connection)
    assert said(connection, 1, "sent") == GRPC


def test_headers_in_two_frames():
    sent = PREFACE + Spoken().headers(1, split=4)
    connection = recorded(sent)
    found = taken_apart(connection)
    assert found[1, "sent", "frame headers"] == 18 and found[1, "sent", "HPACK"] == len(sent) - 24 - 18
    assert said(connection, 1, "sent") == GRPC


def test_headers_are_decoded_with_the_table_of_their_own_direction():
    client, server = Spoken(), Spoken()
    sent = PREFACE + b"".join(client.headers(stream, [*GRPC, ("user", "me")]) for stream in (1, 3))
    received = b"".join(server.headers(stream, [(":status", "200"), ("it", "is é")]) for stream in (1, 3))
    connection = recorded(sent, received)
    found = taken_apart(connection)
    assert found[2, "sent", "HPACK"] == len(GRPC) + 1  # an index each
    assert wire.headers(connection) == [
        (1, "sent", [*GRPC, ("user", "me")]),
        (2, "sent", [*GRPC, ("user", "me")]),
        (1, "received", [(":status", "200"), ("it", "is Ã©")]),  # bytes, as HTTP/1.1's
        (2, "received", [(":status", "200"), ("it", "is Ã©")]),
    ]


def test_a_larger_table_and_longer_headers_than_usual():
    client = Spoken()
    client.encoder.header_table_size = 200_000
    fields = [*GRPC, *((f"name-{number}", "x" * 1000) for number in range(100))]
    connection = recorded(PREFACE + client.headers(1, fields) + client.headers(3, fields))
    assert taken_apart(connection)[2, "sent", "HPACK"] < 300
    assert said(connection, 2, "sent") == fields


def test_messages_do_not_end_where_frames_end():
    stream = message(b"abcdefgh") + message(b"") + message(b"ij", compressed=1)
    pieces = [data(1, stream[at : at + 3]) for at in range(0, len(stream), 3)]
    client = Spoken()
    pieces.insert(0, client.headers(1))
    pieces.insert(3, client.headers(1))
    found = taken_apart(recorded(PREFACE + b"".join(pieces)))
    assert (found[1, "sent", "gRPC prefix"], found[1, "sent", "message"]) == (15, 10)


def test_without_grpc_it_is_a_body():
    fields = [(":method", "POST"), ("content-type", "application/json")]
    sent = PREFACE + Spoken().headers(1, fields) + data(1, b'{"a": 1}')
    received = Spoken().headers(1, [(":status", "502"), ("content-type", "text/html")]) + data(1, b"<p>")
    found = taken_apart(recorded(sent, received))
    assert (found[1, "sent", "body"], found[1, "received", "body"]) == (8, 3)


def test_a_call_that_was_reset_may_end_anywhere():
    half = PREFACE + Spoken().headers(1) + data(1, message(b"abcdef")[:8])
    assert "in the middle of a gRPC message on stream 1" in failure(half)
    for connection in (
        recorded(half + frames.RstStreamFrame(1, 8).serialize()),
        recorded(half, frames.RstStreamFrame(1, 8).serialize()),
    ):
        assert taken_apart(connection)[1, "sent", "message"] == 3


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (PREFACE[:20], "the connection preface"),
        (calls(b"abc")[: 24 + 8], "a frame's header"),
        (calls(b"abc")[: 24 + 9 + 12], "a HeadersFrame of "),
        (calls(b"abc")[:-1], "a DataFrame of 8 bytes"),
        (calls(b"abc") + data(1, b"\0\0"), "a gRPC message on stream 1"),
        (PREFACE + frames.HeadersFrame(1, b"").serialize(), "the headers of stream 1"),
    ],
)
def test_what_ends_too_early(sent, what):
    assert f"What was sent ends in the middle of {what}" in failure(sent)


@pytest.mark.parametrize(
    ("sent", "received", "what"),
    [
        (calls(b"a") + data(1, b"\x02\0\0\0\0"), b"", "A gRPC message begins with b'\\x02"),
        (calls(b"a") + data(9, b"abc"), b"", "DataFrame on stream 9, on which nothing was asked"),
        (calls(b"a"), Spoken().headers(3), "HeadersFrame on stream 3, on which nothing was asked"),
        (calls(b"a"), b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server answered in HTTP/1.1"),
        (calls(b"a"), frames.PushPromiseFrame(1, 2).serialize(), "a frame that gRPC does not use"),
        (calls(b"a") + b"\xff\xff\xff\xfa\0\0\0\0\0", b"", "UnknownFrameError"),
        (calls(b"a") + b"\0\0\1\x08\0\0\0\0\0x", b"", "that can be read: Invalid"),
        (calls(b"a") + b"\0\0\2\0\x08\0\0\0\1\x05x", b"", "that can be read: InvalidPadding"),
        (
            calls(b"a") + frames.HeadersFrame(3, b"\xff\xff", flags=["END_HEADERS"]).serialize(),
            b"",
            "are not HPACK",
        ),
        (calls(b"a") + frames.ContinuationFrame(1, b"").serialize(), b"", "go on that have not begun"),
        (PREFACE + frames.HeadersFrame(1, b"").serialize() + data(1, b""), b"", "are interrupted"),
        (
            PREFACE + frames.HeadersFrame(1, b"").serialize() + frames.ContinuationFrame(3, b"").serialize(),
            b"",
            "are interrupted",
        ),
        (PREFACE + frames.HeadersFrame(1, b"").serialize() + Spoken().headers(3), b"", "are interrupted"),
    ],
)
def test_what_cannot_be_taken_apart(sent, received, what):
    assert what in failure(sent, received)


@fuzzed
@given(some.lists(some.lists(some.binary(max_size=300), max_size=3), max_size=4), some.integers(0), some.booleans())
def test_grpc_streams_in_any_pieces(calls_, seed, padded):
    chance, client = random.Random(seed), Spoken()
    pending = {2 * number + 1: b"".join(map(message, each)) for number, each in enumerate(calls_)}
    sent = PREFACE + b"".join(client.headers(stream) for stream in pending)
    while pending:
        stream = chance.choice(list(pending))
        size = chance.randint(0, 50)
        sent += data(stream, pending[stream][:size], padding=chance.randint(1, 255) if padded else 0)
        pending[stream] = pending[stream][size:]
        if not pending[stream]:
            del pending[stream]
    found = taken_apart(recorded(sent))
    for number, each in enumerate(calls_, start=1):
        assert found[number, "sent", "message"] == sum(map(len, each))
        assert found[number, "sent", "gRPC prefix"] == 5 * len(each)


def test_cut_off_anywhere():
    reasons = cut_off(calls(b"abc", b"", b"defghi"))
    assert all("ends in the middle of" in reason for reason in reasons if reason)
    assert len([reason for reason in reasons if not reason]) == 8  # before and between preface and frames


@fuzzed
@given(
    some.sampled_from([PREFACE, calls(b"abc")]),
    some.binary() | some.binary(min_size=9).map(lambda frame: b"\0\0" + bytes([len(frame) - 9]) + frame[2:]),
)
def test_garbage_has_its_parts_or_a_reason(begin, garbage):
    not_understood(recorded(begin + garbage))
    not_understood(recorded(calls(b"abc"), garbage))
