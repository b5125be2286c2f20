"""Clients that leave in the middle of something, politely or not."""

import json
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress

from soak.target import Target

_HALF = 5_000_000
_PREDICT = "/tensorflow.serving.PredictionService/Predict"


def _rest(target: Target, sent: bytes, announced: int, abruptly: bool) -> None:
    head = f"POST /v1/models/{target.model}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", target.rest_port), timeout=30) as client:
        if abruptly:  # a reset instead of a farewell, as when a process is killed with data unread
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(head.encode() + sent)


def _in_the_head(target: Target) -> None:
    with socket.create_connection(("127.0.0.1", target.rest_port), timeout=30) as client:
        client.sendall(b"POST /v1/models/")


def _in_the_body(target: Target) -> None:
    _rest(target, b'{"instances": [' + b"[1.0], " * (_HALF // 7), 2 * _HALF, abruptly=True)


def _before_the_answer(target: Target) -> None:
    body = json.dumps({"instances": [[1.0]] * 1000}).encode()
    _rest(target, body, len(body), abruptly=False)


def _in_a_message(target: Target) -> None:
    channel = target.channel()
    call = channel.unary_unary(_PREDICT).future(bytes(2 * _HALF), timeout=30)
    channel.close()  # while it is being sent
    call.cancel()


def _with_a_call_open(target: Target) -> None:
    with target.channel() as channel:
        channel.unary_unary(_PREDICT).future(b"", timeout=30).cancel()


def _in_a_frame(target: Target) -> None:
    """HTTP/2's preface, settings, and a frame of which half is never sent (RFC 9113, section 4.1)."""
    settings, half_a_frame = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), bytes([0, 100, 0, 1, 4, 0, 0, 0, 1]) + b"x" * 50
    with socket.create_connection(("127.0.0.1", target.grpc_port), timeout=30) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + half_a_frame)


VANISHING: Mapping[str, Callable[[Target], None]] = {
    "in the head of a REST request": _in_the_head,
    "in its body": _in_the_body,
    "before its answer": _before_the_answer,
    "in a gRPC message": _in_a_message,
    "with a gRPC call open": _with_a_call_open,
    "in an HTTP/2 frame": _in_a_frame,
}
