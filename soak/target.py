"""A running server as clients see it, whoever started it."""

import http.client
from dataclasses import dataclass

import grpc

# Big messages pass; and every channel is a connection of its own, as those of different clients are.
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True)
class Target:
    """A server on this machine.

    Attributes:
        model: the model that is asked.
        rest_port: where REST answers.
        grpc_port: where gRPC answers.
        pid: its process.
    """

    model: str
    rest_port: int
    grpc_port: int
    pid: int

    def connection(self) -> http.client.HTTPConnection:
        """A new connection for REST."""
        return http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=60)

    def channel(self) -> grpc.Channel:
        """A new connection for gRPC."""
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", _OPTIONS)
