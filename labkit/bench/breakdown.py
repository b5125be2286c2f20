"""Where the time of a request goes: the client's share from its own clock, the server's from its metrics."""

import time
from contextlib import closing
from typing import TYPE_CHECKING

from labkit.bench import server_metrics
from labkit.bench.load import need_positive
from labkit.bench.results import Phases
from labkit.errors import MeasurementFailed

if TYPE_CHECKING:
    from labkit.bench.inputs import Inputs
    from labkit.bench.targets import Connection, Target

_SERVER = ("server decode", "model run", "server encode")


def phases(
    target: "Target",
    inputs: "Inputs",
    *,
    metrics_url: str | None = None,
    model_name: str = "",
    requests: int = 20,
    rounds: int = 5,
    warm_up: int = 5,
) -> Phases:
    """Ask one request after the other, and split the time of each.

    What is neither the client's nor the server's is ``transport``: the HTTP or gRPC libraries of both sides, the
    kernel, the network, and a request's wait for one of the server's threads.

    Args:
        target: who is asked.
        inputs: the batch.
        metrics_url: the address of the server's metrics; None if it has none.
        model_name: the model's name on the server, under which the metrics count.
        requests: how many make a round; their mean is taken.
        rounds: how many are measured.
        warm_up: requests before that are not counted.

    Raises:
        MeasurementFailed: the server counted other requests than these, or has no such metrics there.
        RequestError: the server refused.
        ValueError: `requests` or `rounds` is out of range.
    """
    need_positive(requests=requests, rounds=rounds)
    measured: list[dict[str, float]] = []
    with closing(target.connect()) as connection:
        for _ in range(warm_up):
            _ask(target, inputs, connection)
        for _ in range(rounds):
            before = _server(target, metrics_url, model_name)
            times = [_ask(target, inputs, connection) for _ in range(requests)]
            encode, trip, decode = (sum(each) / requests for each in zip(*times, strict=True))
            server: dict[str, float] = {}
            if before and (after := _server(target, metrics_url, model_name)):
                server = _shares(after.since(before), requests)
                trip -= sum(server.values())
            name = "transport" if server else "round trip"
            measured.append({"client encode": encode, name: trip, **server, "client decode": decode})
    return Phases(target.name, requests, {name: [each[name] for each in measured] for name in measured[0]})


def _ask(target: "Target", inputs: "Inputs", connection: "Connection") -> tuple[float, float, float]:
    """Seconds to encode, to send and receive, to decode."""
    start = time.perf_counter()
    request = target.encode(inputs)
    encoded = time.perf_counter()
    answer = connection.send(request)
    answered = time.perf_counter()
    target.decode(answer)
    return encoded - start, answered - encoded, time.perf_counter() - answered


def _server(target: "Target", metrics_url: str | None, model_name: str) -> server_metrics.ServerTimes | None:
    return server_metrics.read(metrics_url, model_name, target.form.protocol.upper()) if metrics_url else None


def _shares(times: server_metrics.ServerTimes, requests: int) -> dict[str, float]:
    """Mean seconds of the server's phases."""
    if times.requests != requests:
        raise MeasurementFailed(
            f"The server counted {times.requests} requests while {requests} were sent; is somebody else asking it, or "
            "is the model's name another one?"
        )
    if "model run" not in times.seconds:
        raise MeasurementFailed(
            "The server's metrics have no :tensorflow:serving:runtime_latency, as old versions of TensorFlow Serving; "
            "measure without a metrics_url"
        )
    if "server decode" in times.seconds:
        return {name: times.seconds[name] / requests for name in _SERVER}
    run = times.seconds["model run"] / requests
    return {"server decode and encode": times.seconds["request"] / requests - run, "model run": run}
