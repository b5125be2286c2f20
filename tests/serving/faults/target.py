"""A server under test as the scenes of `soak` see it."""

from soak.target import Target

from ..served import Served


def target(server: Served) -> Target:
    return Target(server.name, server.rest_port, server.grpc_port, server.process.pid)
