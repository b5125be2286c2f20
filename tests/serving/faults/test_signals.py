"""The end of a server that is hard at work: SIGTERM and SIGINT drain, SIGKILL leaves the ports free. §1.11."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from soak.models import Numbered
from soak.questions import ANSWERED
from soak.traffic import Traffic, both_protocols

from ..served import Served
from .target import target

# What a client may see of a server that has gone: its connection ended, or nobody listens. Never half an answer. A call
# that arrives with the signal, before any of our code sees it, is CANCELLED by gRPC's core.
GONE = ("connection: ", "UNAVAILABLE: ", "CANCELLED: CANCELLED")


def _ended_under_load(server: Served, number: signal.Signals) -> Counter[str]:
    """What became of the questions of six clients of a server that is sent the signal while it answers them."""
    with Traffic(both_protocols(target(server), each=3)) as traffic:
        traffic.wait_for(10)
        server.terminate(number)
        status = server.exit_status(30)
        traffic.wait_for(2)  # everybody has met the closed door
    assert status == (-number if number is signal.SIGKILL else 0)
    assert traffic.outcomes[ANSWERED] >= 60
    return traffic.failures


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_under_load(serve, base: Path, numbered: Numbered, number: signal.Signals) -> None:
    """Clients get clean errors, and the next server has the same ports at once."""
    numbered.add(base, 1)
    first = serve("model", base)
    failures = _ended_under_load(first, number)
    assert failures
    assert all(failure.startswith(GONE) for failure in failures), failures
    assert "Traceback" not in first.stderr
    ports = (f"--port={first.grpc_port}", f"--rest_api_port={first.rest_port}")
    second = serve("model", base, *ports)
    assert (second.grpc_port, second.rest_port) == (first.grpc_port, first.rest_port)
    assert second.predict({"instances": [[1.0]]}).status == 200
