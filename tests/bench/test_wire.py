"""What bytes are, of real connections to the embedded server: every byte has its part."""

import gzip
import json
import sys

import grpc
import numpy as np
import pytest
import requests

import labkit.bench
from labkit.bench import wire
from labkit.bench.relay import CountingRelay
from labkit.bench.targets import GrpcTarget
from labkit.errors import EnvironmentProblem, MeasurementFailed, RequestError

from .connections import GET, calls, post, recorded, said, taken_apart

PARTS = wire.parts(recorded(GET + post(b"abc"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))


@pytest.fixture
def relay(sums):
    """Tests stop it before they look at its bytes, or one of gRPC's PINGs may come between."""
    with CountingRelay(sums.server.grpc_address) as relay:
        yield relay


def asked(sums, relay, batches, **options):
    """The requests' and answers' messages, and the connection."""
    target = GrpcTarget(relay.address, "sums", **options)
    requests_ = [target.encode(batch) for batch in batches]
    connection = target.connect()
    answers = [connection.send(request) for request in requests_]
    connection.close()
    relay.stop()
    (recorded_one,) = relay.connections
    return requests_, answers, recorded_one


def test_two_requests_over_rest(sums):
    body = b'{"instances": [[1.5, 2.25]]}'
    with CountingRelay(sums.server.rest_url) as relay, requests.Session() as session:
        url = f"{relay.url}/v1/models/sums:predict"
        answers = [session.post(url, data=body) for _ in range(2)]
        (connection,) = relay.connections
        found = taken_apart(connection)
    for number, answer in enumerate(answers, start=1):
        assert answer.json() == {"predictions": [3.75]}
        assert found[number, "sent", "request line"] == len("POST /v1/models/sums:predict HTTP/1.1\r\n")
        assert found[number, "sent", "body"] == len(body)
        assert found[number, "received", "status line"] == len("HTTP/1.1 200 OK\r\n")
        assert found[number, "received", "body"] == len(answer.content)
        assert ("Content-Length", str(len(body))) in said(connection, number, "sent")
        assert dict(said(connection, number, "received")) == dict(answer.headers)
        fields = said(connection, number, "sent")
        assert found[number, "sent", "headers"] == sum(len(f"{key}: {value}\r\n") for key, value in fields) + 2
    assert len(found) == 2 * 6


def test_a_large_body(sums):
    body = json.dumps({"instances": np.ones((1, 200_000)).tolist()}).encode()
    with CountingRelay(sums.server.rest_url) as relay:
        assert requests.post(f"{relay.url}/v1/models/sums:predict", data=body).json() == {"predictions": [200_000.0]}
    assert taken_apart(relay.connections[0])[1, "sent", "body"] == len(body) > 1e6


def test_a_body_in_chunks(sums):
    pieces = [b'{"instances"', b": [[1, 2", b", 3]]}"]
    with CountingRelay(sums.server.rest_url) as relay:
        answer = requests.post(f"{relay.url}/v1/models/sums:predict", data=iter(pieces))
    assert answer.json() == {"predictions": [6.0]}
    found = taken_apart(relay.connections[0])
    assert found[1, "sent", "body"] == sum(map(len, pieces))
    assert found[1, "sent", "chunk framing"] == sum(len(f"{len(piece):x}\r\n\r\n") for piece in [*pieces, b""])


def test_gzip_is_counted_as_it_travels(sums):
    body = gzip.compress(json.dumps({"instances": [[0.0] * 1000]}).encode())
    with CountingRelay(sums.server.rest_url) as relay:
        url, headers = f"{relay.url}/v1/models/sums:predict", {"Content-Encoding": "gzip"}
        assert requests.post(url, data=body, headers=headers).json() == {"predictions": [0.0]}
    assert taken_apart(relay.connections[0])[1, "sent", "body"] == len(body)


def test_an_error_is_an_answer(sums):
    with CountingRelay(sums.server.rest_url) as relay:
        answer = requests.get(f"{relay.url}/v1/models/nobody")
    assert answer.status_code == 404
    found = taken_apart(relay.connections[0])
    assert found[1, "received", "body"] == len(answer.content)
    assert (1, "sent", "body") not in found


def test_several_requests_on_one_connection(sums, relay):
    requests_, answers, connection = asked(sums, relay, [sums.batch(n) for n in (3, 100, 7)])
    found = taken_apart(connection)
    for number, (request, answer) in enumerate(zip(requests_, answers, strict=True), start=1):
        assert found[number, "sent", "gRPC prefix"] == found[number, "received", "gRPC prefix"] == 5
        assert found[number, "sent", "message"] == len(request)
        assert found[number, "received", "message"] == len(answer)
        assert found[number, "sent", "frame headers"] == 2 * 9  # HEADERS, DATA
        assert found[number, "received", "frame headers"] == 3 * 9  # HEADERS, DATA, trailers
        assert (":path", "/tensorflow.serving.PredictionService/Predict") in said(connection, number, "sent")
        assert (":status", "200") in said(connection, number, "received")
        assert ("grpc-status", "0") in said(connection, number, "received")
    assert found[0, "sent", "connection preface"] == 24
    assert found[0, "sent", "SETTINGS"] and found[0, "received", "SETTINGS"]
    # what was said once is an index into a table from then on
    assert found[3, "sent", "HPACK"] < found[1, "sent", "HPACK"] / 4
    assert not any(name == "message" for request, _, name in found if request == 0)


def test_a_message_in_several_frames(sums, relay):
    (request,), _, connection = asked(sums, relay, [sums.batch(500_000)])
    found = taken_apart(connection)
    assert found[1, "sent", "message"] == len(request) > 2e6
    assert found[1, "sent", "gRPC prefix"] == 5
    assert found[1, "sent", "frame headers"] > 2 * 9 and found[1, "sent", "frame headers"] % 9 == 0


def test_a_compressed_message(sums, relay):
    form = sums.grpc().form.compressed()
    batch = {"x": np.zeros((1, 10_000), np.float32)}
    (request,), _, connection = asked(sums, relay, [batch], form=form)
    found = taken_apart(connection)
    assert found[1, "sent", "gRPC prefix"] == 5
    assert 0 < found[1, "sent", "message"] < len(request) / 10
    assert ("grpc-encoding", "gzip") in said(connection, 1, "sent")


def test_requests_at_the_same_time(sums, relay):
    target = sums.grpc()
    batches = [sums.batch(10_000 + number) for number in range(12)]
    with grpc.insecure_channel(relay.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        messages = [target.encode(batch) for batch in batches]
        asked_at_once = [predict.future(message, timeout=30) for message in messages]
        answers = [call.result() for call in asked_at_once]
    relay.stop()
    found = taken_apart(relay.connections[0])
    sizes = [found[number, "sent", "message"] for number in range(1, 13)]
    assert sorted(sizes) == sorted(map(len, messages))
    assert sum(found[number, "received", "message"] for number in range(1, 13)) == sum(map(len, answers))


def test_an_error_has_no_message(sums, relay):
    target = GrpcTarget(relay.address, "nobody")
    connection = target.connect()
    with pytest.raises(RequestError, match="NOT_FOUND"):
        connection.send(target.encode(sums.batch(2)))
    connection.close()
    relay.stop()
    found = taken_apart(relay.connections[0])
    assert (1, "received", "message") not in found and found[1, "received", "HPACK"]
    assert ("grpc-status", "5") in said(relay.connections[0], 1, "received")


def test_asking_a_rest_port(sums):
    with CountingRelay(sums.server.rest_url) as relay:
        target = GrpcTarget(relay.address, "sums", timeout=30)
        connection = target.connect()
        with pytest.raises(RequestError):
            connection.send(target.encode(sums.batch(2)))
        connection.close()
    with pytest.raises(MeasurementFailed, match=r"answered in HTTP/1.1; is it a REST port\?"):
        wire.parts(relay.connections[0])


def test_without_the_libraries_for_http2(monkeypatch):
    monkeypatch.setitem(sys.modules, "hpack", None)
    monkeypatch.delitem(sys.modules, "labkit.bench.wire_http2", raising=False)
    monkeypatch.delattr(labkit.bench, "wire_http2", raising=False)
    assert wire.parts(recorded(GET))
    with pytest.raises(EnvironmentProblem, match=r'HTTP/2 .* needs the package hpack.*pip install "labkit\[bench\]"'):
        wire.parts(recorded(calls()))


def test_totals():
    assert wire.total(PARTS) == sum(part.bytes for part in PARTS)
    assert wire.total(PARTS, name="body") == 5
    assert wire.total(PARTS, name="body", direction="received") == 2
    assert wire.total(PARTS, name="request line") == 27 + 18
    assert wire.total(PARTS, name="request line", request=2) == 18
    assert wire.total(PARTS, request=1, direction="sent") == len(GET)
    assert wire.total(PARTS, request=9) == 0 == wire.total([])


def test_a_total_of_what_there_is_not():
    with pytest.raises(ValueError, match=r"name is 'Body'; there are request line, .*, message"):
        wire.total(PARTS, name="Body")
    with pytest.raises(ValueError, match="direction is 'up'; there are sent, received"):
        wire.total(PARTS, direction="up")
