"""grpc.health.v1.Health (§1.4 enable_grpc_healthcheck_service)."""

import psutil
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from ..grpc_calls import calls, failure, request
from ..served import until

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
FLAG = "--enable_grpc_healthcheck_service"


def test_the_services(serve, saved_models) -> None:
    """The server as a whole and two services by upstream's short names; the health protocol's NOT_FOUND for others."""
    server = serve("half", saved_models.half_plus[2], FLAG)
    with calls(server.grpc_port) as grpc_calls:
        health = HealthStub(grpc_calls.channel)
        for service in ("", "ModelService", "PredictionService"):
            assert health.Check(HealthCheckRequest(service=service), timeout=60).status == SERVING
        assert failure(health.Check, HealthCheckRequest(service="half"), timeout=60)[0] == "NOT_FOUND"


def test_off_by_default(serve, saved_models) -> None:
    server = serve("half", saved_models.half_plus[2])
    with calls(server.grpc_port) as grpc_calls:
        code, _ = failure(HealthStub(grpc_calls.channel).Check, HealthCheckRequest(), timeout=60)
    assert code == "UNIMPLEMENTED"


@pytest.mark.parametrize("service", ["", "PredictionService"])
def test_not_serving_while_it_drains(serve, saved_models, service: str) -> None:
    """Ours: who watches is told before the last request is answered, and does not hold the server up."""
    server = serve("slow", saved_models.slow, FLAG, "--drain_seconds=600")
    with calls(server.grpc_port) as grpc_calls:
        states = HealthStub(grpc_calls.channel).Watch(HealthCheckRequest(service=service), timeout=60)
        assert next(states).status == SERVING
        busy = psutil.Process(server.process.pid)
        before = sum(busy.cpu_times()[:2])
        held = grpc_calls.prediction.Predict.future(request("slow", "wait", seconds=[4.0], x=[7.0]), timeout=60)
        # The model works while it waits: its processor time says that the request is being answered.
        until(lambda: sum(busy.cpu_times()[:2]) - before > 0.4, "the request is running")
        server.terminate()
        assert next(states).status == NOT_SERVING
        assert not held.done(), "told before the last request is answered"
        with pytest.raises(StopIteration):
            next(states)
        assert list(held.result().outputs["y"].float_val) == [7.0]
    assert server.exit_status(20) == 0


def test_watching_an_unknown_service(serve, saved_models) -> None:
    """The health protocol: SERVICE_UNKNOWN, and the call stays; a server that ends, ends it."""
    server = serve("half", saved_models.half_plus[2], FLAG, "--drain_seconds=600")
    with calls(server.grpc_port) as grpc_calls:
        states = HealthStub(grpc_calls.channel).Watch(HealthCheckRequest(service="half"), timeout=60)
        assert next(states).status == HealthCheckResponse.SERVICE_UNKNOWN
        server.terminate()
        assert server.exit_status(20) == 0
        assert list(states) == []
