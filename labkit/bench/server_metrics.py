"""A server's own share of the time, read from its page of metrics (TensorFlow Serving's names, Prometheus' format).

The page gives sums and counts since the server's start; the difference between two readings is what happened between.
"""

from dataclasses import dataclass
from typing import Any

import requests

from labkit.errors import MeasurementFailed, needs_extra

PATH = "/monitoring/prometheus/metrics"
_HISTOGRAMS = {
    ":tensorflow:serving:request_latency": "request",
    ":tensorflow:serving:runtime_latency": "model run",
    ":labkit:serving:decode_latency": "server decode",
    ":labkit:serving:encode_latency": "server encode",
}
_NO_MODEL_ASKED = ""  # the API of a request for a model's state or metadata


@dataclass(frozen=True)
class ServerTimes:
    """What the server counted for one model.

    Attributes:
        requests: how many requests the model answered, over whichever protocol.
        seconds: of one protocol, name -> sum of seconds: ``request``, ``model run`` (of all protocols, for it is not
            counted by them), and from labkit's own server ``server decode`` and ``server encode``.
    """

    requests: int
    seconds: dict[str, float]

    def since(self, earlier: "ServerTimes") -> "ServerTimes":
        """What happened between `earlier` and now."""
        spent = {name: seconds - earlier.seconds.get(name, 0.0) for name, seconds in self.seconds.items()}
        return ServerTimes(self.requests - earlier.requests, spent)


def read(url: str, model_name: str, protocol: str) -> ServerTimes:
    """Read the page.

    Args:
        url: the whole address, such as ``http://127.0.0.1:8501/monitoring/prometheus/metrics``.
        model_name: whose requests to look at.
        protocol: ``REST`` or ``GRPC``.

    Raises:
        MeasurementFailed: there is no such page, or what is there are no metrics.
        EnvironmentProblem: prometheus-client is not installed.
    """
    requests_ = 0
    seconds: dict[str, float] = {}
    for sample in _samples(url):
        name, _, what = sample.name.rpartition("_")
        labels = sample.labels
        if name not in _HISTOGRAMS or labels.get("model_name") != model_name or labels.get("API") == _NO_MODEL_ASKED:
            continue
        if what == "count" and _HISTOGRAMS[name] == "request":
            requests_ += int(sample.value)
        elif what == "sum" and labels.get("entrypoint", protocol) == protocol:
            seconds[_HISTOGRAMS[name]] = seconds.get(_HISTOGRAMS[name], 0.0) + sample.value / 1e6
    return ServerTimes(requests_, seconds)


def _samples(url: str) -> list[Any]:
    """The lines of the page."""
    with needs_extra("labkit.bench.server_metrics", "bench"):
        from prometheus_client.parser import text_string_to_metric_families
    page = _page(url)
    try:
        return [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    except ValueError as error:
        raise MeasurementFailed(f"What {url} answers are no metrics in Prometheus' format: {page[:80]!r}") from error


def _page(url: str) -> str:
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(url, timeout=10)
    except requests.RequestException as error:
        raise MeasurementFailed(f"No metrics at {url}: {error}") from error
    if response.status_code != 200:
        raise MeasurementFailed(
            f"No metrics at {url} (HTTP {response.status_code}); start the server with --monitoring_config_file and "
            "prometheus_config { enable: true } in that file"
        )
    return response.content.decode("utf-8", "replace")
