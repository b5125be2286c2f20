"""§10: counters and histograms for Prometheus, at the REST port. Read by prometheus_client's own parser."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from ..grpc_calls import GrpcCalls, calls, failure, request
from ..served import Command, Served, until
from .example_cases import CLASSIFY, REGRESS, X, spec

PATH = "/monitoring/prometheus/metrics"
REQUESTS, LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
RUNS = ":tensorflow:serving:runtime_latency"
GOOD = {"instances": [1.0]}
FAMILIES = {
    ":tensorflow:cc:saved_model:load_attempt_count": "counter",
    ":tensorflow:cc:saved_model:load_latency": "counter",
    ":tensorflow:serving:batching_session:queuing_latency": "histogram",
    ":tensorflow:serving:model_warmup_latency": "histogram",
    REQUESTS: "counter",
    LATENCY: "histogram",
    RUNS: "histogram",
    ":labkit:serving:decode_latency": "histogram",
    ":labkit:serving:encode_latency": "histogram",
}


class Monitored:
    """A server with metrics."""

    def __init__(self, served: Served, path: str = PATH) -> None:
        self.served, self._path = served, path

    def page(self) -> str:
        answer = self.served.ask("GET", self._path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain")
        return answer.text

    def value(self, sample: str, **labels: str) -> float:
        """The value of one sample; 0 if it is not there."""
        found = [
            each.value
            for family in text_string_to_metric_families(self.page())
            for each in family.samples
            # The parser puts _total behind the names of counters, as its own library would have written them.
            if each.name in (sample, f"{sample}_total") and each.labels == labels
        ]
        assert len(found) < 2, f"{sample} {labels} is there {len(found)} times"
        return found[0] if found else 0.0

    def requests(self, model: str, status: str) -> float:
        return self.value(REQUESTS, model_name=model, status=status)

    def answers(self, api: str, entrypoint: str) -> float:
        return self.value(f"{LATENCY}_count", model_name="many", API=api, entrypoint=entrypoint)

    def runs(self, api: str) -> float:
        return self.value(f"{RUNS}_count", model_name="many", API=api, runtime="TF1")


def configuration(folder: Path, text: str) -> str:
    """The flag for a monitoring configuration."""
    file = folder / "monitoring.config"
    file.write_text(text)
    return f"--monitoring_config_file={file}"


@pytest.fixture(scope="module")
def monitored(saved_models, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("monitored")
    flag = configuration(folder, "prometheus_config { enable: true }")
    with Served(folder, "many", saved_models.many, flag) as served:
        yield Monitored(served)


@pytest.fixture
def grpc_calls(monitored: Monitored):
    with calls(monitored.served.grpc_port) as made:
        yield made


def test_text(monitored: Monitored) -> None:
    """A `# TYPE` line for every metric, no `# HELP`; the names are upstream's, without `_total`, and labkit's own."""
    lines = monitored.page().splitlines()
    kinds = [line for line in lines if line.startswith("#")]
    assert kinds == [f"# TYPE {name} {kind}" for name, kind in FAMILIES.items()]
    assert {line.split("{")[0].removesuffix("_bucket") for line in lines if "_total" in line} == set()
    parsed = {family.name: family.type for family in text_string_to_metric_families(monitored.page())}
    assert parsed == FAMILIES


def test_rest_requests(monitored: Monitored) -> None:
    """Every request under /v1 counts, by status; only successes count for the latency."""
    served = monitored.served
    before = [monitored.requests("many", status) for status in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")]
    answered = [monitored.answers(api, "REST") for api in ("predict", "regress", "")]
    runs = [monitored.runs(api) for api in ("Predict", "Regress")]
    for body in (GOOD, GOOD, b"{"):
        served.predict(body)
    served.predict(GOOD, version=7)
    served.ask("POST", "/v1/models/many:regress", {"signature_name": "regress", "examples": [{"x": 1.0}]})
    served.ask("GET", "/v1/models/many")
    served.ask("GET", "/v1/models/many/metadata")
    after = [monitored.requests("many", status) for status in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [5, 1, 1]
    now = [monitored.answers(api, "REST") for api in ("predict", "regress", "")]
    assert [count - then for count, then in zip(now, answered, strict=True)] == [2, 1, 2]
    assert [monitored.runs(api) - then for api, then in zip(("Predict", "Regress"), runs, strict=True)] == [2, 1]


def test_requests_without_a_model(monitored: Monitored) -> None:
    """As upstream, they count for the model without a name; pages outside /v1 do not count, nor does this one."""
    before = monitored.requests("", "INVALID_ARGUMENT"), monitored.page()
    monitored.served.ask("PUT", "/v1/models/many:predict", GOOD)
    monitored.served.ask("GET", "/v1/models")
    monitored.served.ask("GET", "/elsewhere")
    assert monitored.requests("", "INVALID_ARGUMENT") == before[0] + 2
    assert len(monitored.page().splitlines()) - len(before[1].splitlines()) in (0, 1)


def test_grpc_requests(monitored: Monitored, grpc_calls: GrpcCalls) -> None:
    """Predict, Classify and Regress; not MultiInference, nor the other methods."""
    before = [monitored.requests("many", status) for status in ("OK", "FAILED_PRECONDITION")]
    answered = [monitored.answers(api, "GRPC") for api in ("Predict", "Regress", "MultiInference")]
    grpc_calls.predict(request("many", x=[1.0]))
    failure(grpc_calls.predict, request("many", "foo", x=[1.0]))
    grpc_calls.prediction.Regress(text_format.Parse(spec("regress") + X, RegressionRequest()), timeout=60)
    several = text_format.Parse(CLASSIFY + REGRESS + X, MultiInferenceRequest())
    grpc_calls.prediction.MultiInference(several, timeout=60)
    after = [monitored.requests("many", status) for status in ("OK", "FAILED_PRECONDITION")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1]
    now = [monitored.answers(api, "GRPC") for api in ("Predict", "Regress", "MultiInference")]
    assert [count - then for count, then in zip(now, answered, strict=True)] == [1, 1, 0]


def test_a_client_that_leaves(saved_models, serve, tmp_path: Path) -> None:
    """A deadline that is over before the answer counts as an error, not as an answer."""
    monitored = Monitored(
        serve("slow", saved_models.slow, configuration(tmp_path, "prometheus_config { enable: true }"))
    )
    with calls(monitored.served.grpc_port) as made:
        failure(made.predict, request("slow", "wait", seconds=600.0, x=1.0), timeout=0.3)
    until(
        lambda: monitored.requests("slow", "CANCELLED") + monitored.requests("slow", "DEADLINE_EXCEEDED") == 1,
        "the request is counted",
    )
    assert monitored.requests("slow", "OK") == 0


def _buckets(page: str, labels: Mapping[str, str]) -> list[tuple[float, float]]:
    return [
        (float(sample.labels["le"]), sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == f"{LATENCY}_bucket" and labels.items() <= sample.labels.items()
    ]


def test_histogram(monitored: Monitored) -> None:
    """Microseconds in 33 buckets, each 1.8 times the one before, and +Inf; they add up."""
    monitored.served.predict(GOOD)
    labels = {"model_name": "many", "API": "predict", "entrypoint": "REST"}
    page = monitored.page()
    buckets = _buckets(page, labels)
    expected = [10 * 1.8**index for index in range(33)]
    assert [limit for limit, _ in buckets] == [*(pytest.approx(limit, rel=1e-5) for limit in expected), float("inf")]
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    count = monitored.value(f"{LATENCY}_count", **labels)
    assert counts[-1] == count > 0
    total = monitored.value(f"{LATENCY}_sum", **labels)
    assert 10 < total / count < 60e6, "the mean is in microseconds"
    runs = monitored.value(f"{RUNS}_sum", model_name="many", API="Predict", runtime="TF1")
    assert runs > 0
    assert '_bucket{model_name="many",API="predict",entrypoint="REST",le="+Inf"}' in page


def test_loads(monitored: Monitored, saved_models) -> None:
    """TensorFlow's own counters of loaded SavedModels."""
    path = str(saved_models.many / "1")
    loads = ":tensorflow:cc:saved_model:load_"
    assert monitored.value(f"{loads}attempt_count", model_path=path, status="success") == 1
    assert monitored.value(f"{loads}latency", model_path=path) > 1000, "in microseconds"


def test_failed_loads(saved_models, serve, tmp_path: Path) -> None:
    base = tmp_path / "model"
    saved_models.add_version(base, "1")
    monitored = Monitored(serve("m", base, configuration(tmp_path, "prometheus_config { enable: true }")))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no model")
    broken.rename(base / "2")
    loads = ":tensorflow:cc:saved_model:load_"
    until(lambda: monitored.value(f"{loads}attempt_count", model_path=str(base / "2"), status="fail"), "a failed load")
    assert monitored.value(f"{loads}latency", model_path=str(base / "2")) == 0


def test_names_are_escaped(monitored: Monitored) -> None:
    """A client's words cannot become lines or labels of their own."""
    for path, name in (
        ("a%22%0Ab%5Cn", 'a"\nb\\n'),
        ("%22%7D%201%0A%23%20x", '"} 1\n# x'),
        ("%C3%BC", "ü"),
        ("x" * 150, "x" * 150),
    ):
        monitored.served.ask("GET", f"/v1/models/{path}")
        assert monitored.requests(name, "NOT_FOUND") == 1, name


def test_bytes_that_are_no_text(monitored: Monitored) -> None:
    monitored.served.ask("GET", "/v1/models/%FF%FE")
    monitored.page()


def test_unknown_names_are_bounded(saved_models, serve, tmp_path: Path) -> None:
    """Clients cannot fill the memory with names that no model has; models' own names are never crowded out."""
    served = serve("many", saved_models.half_plus[2], configuration(tmp_path, "prometheus_config { enable: true }"))
    monitored = Monitored(served)
    for number in range(150):
        served.ask("GET", f"/v1/models/nope{number}")
    served.ask("GET", "/v1/models/" + "y" * 5000)
    names = {
        sample.labels["model_name"]
        for family in text_string_to_metric_families(monitored.page())
        for sample in family.samples
        if family.name == REQUESTS
    }
    assert len(names) == 101
    assert monitored.requests("(other)", "NOT_FOUND") == 51
    served.predict(GOOD)
    served.predict(GOOD, version=3)
    assert monitored.requests("many", "OK") == monitored.requests("many", "NOT_FOUND") == 1


def test_another_path(saved_models, serve, tmp_path: Path) -> None:
    flag = configuration(tmp_path, 'prometheus_config { enable: true path: "/v1/metrics" }')
    served = serve("many", saved_models.half_plus[2], flag)
    served.predict(GOOD)
    assert Monitored(served, "/v1/metrics").requests("many", "OK") == 1
    assert served.ask("GET", PATH).status == 404
    assert served.ask("GET", "/v1/metrics?x=1").status == 400


@pytest.mark.parametrize("text", [None, "", "prometheus_config { }", "prometheus_config { enable: false }"])
def test_off(saved_models, serve, tmp_path: Path, text: str | None) -> None:
    """Without the file, or where it does not enable them, there are none."""
    flags = [] if text is None else [configuration(tmp_path, text)]
    served = serve("many", saved_models.half_plus[2], *flags)
    assert served.ask("GET", PATH).status == 404
    assert served.predict(GOOD).status == 200


REFUSED: dict[str, tuple[str, str]] = {
    "an unknown field": ("prometheus_config {\n  enabled: true\n}", "Invalid protobuf file: '{file}'…2:3"),
    "no message": ("\n\nprometheus_config", "Invalid protobuf file: '{file}'…3:"),
    "a path without a slash": (
        'prometheus_config { enable: true path: "metrics" }',
        "{file}: the path must begin with",
    ),
}


@pytest.mark.parametrize("title", REFUSED)
def test_refused(saved_models, tmp_path: Path, title: str) -> None:
    """§1.3: a wrong file is a start failure, with the place in it."""
    text, expected = REFUSED[title]
    flag = configuration(tmp_path, text)
    _assert_refused(tmp_path, saved_models, flag, expected.format(file=flag.split("=")[1]))


def test_no_file(saved_models, tmp_path: Path) -> None:
    _assert_refused(tmp_path, saved_models, "--monitoring_config_file=/does/not/exist", "/does/not/exist: No such file")


def _assert_refused(folder: Path, saved_models: Any, flag: str, expected: str) -> None:
    ports = ("--port=auto", "--rest_api_port=auto")
    with Command(folder, *ports, f"--model_base_path={saved_models.half_plus[2]}", flag) as command:
        assert command.exit_status() == 255
        found = command.stdout
        for part in ("Failed to start server. Error: ", *expected.split("…")):
            assert part in found
            found = found[found.index(part) :]
