"""The end of a server: it drains (§1.11, where this server does better than upstream)."""

import http.client
import signal
import socket
import threading

import grpc
import psutil
import pytest

from ..grpc_calls import calls, request
from ..served import Served, until


class _InFlight:
    """A REST and a gRPC request, or one of them, that the server is working on, in threads."""

    def __init__(self, server: Served, seconds: float, *protocols: str) -> None:
        self.answers: dict[str, object] = {}
        self.server, self.seconds = server, seconds
        asking = {"rest": self._rest, "grpc": self._grpc}
        self._threads = [threading.Thread(target=asking[protocol]) for protocol in protocols or asking]
        for thread in self._threads:
            thread.start()
        busy = psutil.Process(server.process.pid)
        before = sum(busy.cpu_times()[:2])
        # The model works while it waits: its processor time says that both requests are being answered.
        until(lambda: sum(busy.cpu_times()[:2]) - before > 0.4, "the requests are running")

    def _rest(self) -> None:
        body = {"signature_name": "wait", "inputs": {"seconds": [self.seconds], "x": [7.0]}}
        try:
            answer = self.server.predict(body)
            self.answers["rest"] = (answer.status, answer.json["outputs"])
        except (OSError, http.client.HTTPException) as error:
            self.answers["rest"] = error

    def _grpc(self) -> None:
        try:
            with calls(self.server.grpc_port) as grpc_calls:
                sent = request("slow", "wait", seconds=[self.seconds], x=[7.0])
                self.answers["grpc"] = list(grpc_calls.predict(sent).outputs["y"].float_val)
        except grpc.RpcError as error:
            self.answers["grpc"] = error

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(serve, saved_models, number: signal.Signals) -> None:
    """§1.11 kills at once; this server answers what it has begun, takes nothing new and exits 0 [deviation §13]."""
    server = serve("slow", saved_models.slow)
    in_flight = _InFlight(server, 3.0)
    server.terminate(number)
    until(lambda: not _accepts(server.rest_port), "the REST port is closed")
    until(lambda: not _accepts(server.grpc_port), "the gRPC port is closed")
    assert server.process.poll() is None, "it waits for the requests in flight"
    assert not in_flight.answers
    in_flight.join()
    assert in_flight.answers == {"rest": (200, [7.0]), "grpc": [7.0]}
    assert server.exit_status(30) == 0


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_each_protocol_drains_by_itself(serve, saved_models, protocol: str) -> None:
    """[deviation §13] One must not end because the other has nothing in flight, or had clients that came and went."""
    server = serve("slow", saved_models.slow)
    assert server.ask("GET", "/v1/models/slow").status == 200
    in_flight = _InFlight(server, 2.0, protocol)
    server.terminate()
    in_flight.join()
    assert in_flight.answers == {protocol: (200, [7.0]) if protocol == "rest" else [7.0]}
    assert server.exit_status(30) == 0


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_idle_server_stops_at_once(serve, saved_models) -> None:
    """With connections open: idle ones do not hold it up."""
    server = serve("half", saved_models.half_plus[2], "--drain_seconds=600")
    idle = server.connection()
    idle.connect()
    with calls(server.grpc_port) as grpc_calls:
        grpc_calls.predict(request("half", x=[1.0]))
        server.terminate()
        assert server.exit_status(20) == 0
    idle.close()


def test_the_drain_has_an_end(serve, saved_models) -> None:
    """Ours: --drain_seconds bounds it."""
    server = serve("slow", saved_models.slow, "--drain_seconds=1")
    in_flight = _InFlight(server, 600.0)
    server.terminate()
    assert server.exit_status(20) == 0
    in_flight.join()
    assert not isinstance(in_flight.answers["rest"], tuple)
    assert isinstance(in_flight.answers["grpc"], grpc.RpcError)
