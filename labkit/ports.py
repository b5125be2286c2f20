"""Ports for programs that have to be told one before they start."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that were free a moment ago.

    Nobody holds them: a program that is to listen there fails to start where another one was quicker.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
