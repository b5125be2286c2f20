"""Ours: how long the server decodes and encodes, beside TensorFlow Serving's times of the request and of the run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from labkit.serving.embedded import steps
from labkit.serving.embedded.steps import StepTimes, timed

from ..batched import ask, outputs
from ..grpc_calls import GrpcCalls, calls, failure, outcome, request
from ..served import Served
from .example_cases import X, spec
from .test_metrics import GOOD, LATENCY, RUNS, Monitored, configuration

DECODE, ENCODE = ":labkit:serving:decode_latency", ":labkit:serving:encode_latency"
ON = "prometheus_config { enable: true }"
EXAMPLES = {"examples": [{"x": 1.0}]}


@dataclass(frozen=True)
class Parts:
    """What a server's page says of one kind of request, in microseconds."""

    decode: float
    run: float
    encode: float
    whole: float
    counts: tuple[float, float, float, float]

    def since(self, before: "Parts") -> "Parts":
        return Parts(
            self.decode - before.decode,
            self.run - before.run,
            self.encode - before.encode,
            self.whole - before.whole,
            tuple(now - then for now, then in zip(self.counts, before.counts, strict=True)),
        )


class Watched(Monitored):
    """A server whose page is read before and after requests."""

    def parts(self, api: str, entrypoint: str) -> Parts:
        asked = {"model_name": self.served.name, "API": api, "entrypoint": entrypoint}
        ran = {"model_name": self.served.name, "API": api.capitalize(), "runtime": "TF1"}
        series = [(DECODE, asked), (RUNS, ran), (ENCODE, asked), (LATENCY, asked)]
        sums = [self.value(f"{name}_sum", **labels) for name, labels in series]
        return Parts(*sums, tuple(self.value(f"{name}_count", **labels) for name, labels in series))

    def during(self, api: str, entrypoint: str, send: Callable[[], object]) -> Parts:
        """What `send` added."""
        before = self.parts(api, entrypoint)
        send()
        return self.parts(api, entrypoint).since(before)


@pytest.fixture(scope="module")
def watched(saved_models, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("watched")
    with Served(folder, "many", saved_models.many, configuration(folder, ON)) as served:
        yield Watched(served)


@pytest.fixture
def grpc_calls(watched: Watched):
    with calls(watched.served.grpc_port) as made:
        yield made


def _rest(served: Served, verb: str) -> None:
    body = GOOD if verb == "predict" else {"signature_name": verb, **EXAMPLES}
    answer = served.ask("POST", f"/v1/models/many:{verb}", body)
    assert answer.status == 200, answer.text


def _grpc(made: GrpcCalls, method: str) -> None:
    if method == "Predict":
        made.predict(request("many", x=[[1.0]]))
        return
    kind = {"Classify": ClassificationRequest, "Regress": RegressionRequest}[method]
    getattr(made.prediction, method)(text_format.Parse(spec(method.lower()) + X, kind()), timeout=60)


@pytest.mark.parametrize("api", ["predict", "classify", "regress"])
def test_rest(watched: Watched, api: str) -> None:
    """One request has one of each part, and together they are no more than the whole."""
    for _ in range(5):  # the first ones in a thread, the others on the event loop
        _assert_parts(watched.during(api, "REST", lambda: _rest(watched.served, api)))


@pytest.mark.parametrize("api", ["Predict", "Classify", "Regress"])
def test_grpc(watched: Watched, grpc_calls: GrpcCalls, api: str) -> None:
    for _ in range(5):
        _assert_parts(watched.during(api, "GRPC", lambda: _grpc(grpc_calls, api)))


def _assert_parts(parts: Parts) -> None:
    assert parts.counts == (1, 1, 1, 1)
    assert min(parts.decode, parts.run, parts.encode) > 0
    assert parts.decode + parts.run + parts.encode <= parts.whole


def test_errors_do_not_count(watched: Watched, grpc_calls: GrpcCalls) -> None:
    """Neither those in the request nor those of the model's run, nor what no model answers."""
    served, wrong_shape = watched.served, request("many", "matmul", x=[[1.0, 2.0]])

    def ask_over_rest() -> None:
        for body in (b"{", {"signature_name": "matmul", "instances": [[1.0, 2.0]]}):
            assert served.predict(body).status == 400
        assert served.predict(GOOD, version=7).status == 404

    def ask_over_grpc() -> None:
        failure(grpc_calls.raw_predict, b"\xff", timeout=60)
        for wrong in (request("many", "foo", x=[1.0]), request("nope", x=[1.0]), wrong_shape):
            failure(grpc_calls.predict, wrong)

    assert watched.during("predict", "REST", ask_over_rest).counts == (0, 0, 0, 0)
    assert watched.during("Predict", "GRPC", ask_over_grpc).counts == (0, 0, 0, 0)
    status = watched.during("", "REST", lambda: served.ask("GET", "/v1/models/many"))
    assert status.counts == (0, 0, 0, 1)


def test_large_json_takes_longer_to_decode(watched: Watched) -> None:
    """And to encode: the model answers as many. The quickest of ten small requests counts: nothing held it up."""
    small, large = (json.dumps({"instances": [[0.5]] * rows}) for rows in (1, 200_000))
    ones = [watched.during("predict", "REST", partial(watched.served.predict, small)) for _ in range(10)]
    many = watched.during("predict", "REST", partial(watched.served.predict, large))
    assert many.decode > 10 * min(one.decode for one in ones)
    assert many.encode > 10 * min(one.encode for one in ones)


def test_parsing_a_message_is_decoding(watched: Watched, grpc_calls: GrpcCalls) -> None:
    """Fields that the server does not know are parsed, and then nobody looks at them."""
    small = request("many", x=[[1.0]]).SerializeToString()
    large = small + b"\xf8\xff\x01\x01" * 4_000_000  # field 4095, a number
    predict = partial(grpc_calls.raw_predict, timeout=60)
    ones = [watched.during("Predict", "GRPC", partial(predict, small)) for _ in range(10)]
    padded = watched.during("Predict", "GRPC", partial(predict, large))
    assert padded.decode > 10 * min(one.decode for one in ones)
    assert padded.decode + padded.run + padded.encode <= padded.whole


def test_batching(batched, tmp_path: Path, aside) -> None:
    """Each request of a batch counts by itself, those that fail do not."""
    watched = Watched(batched(configuration(tmp_path, ON), max_batch_size=8, batch_timeout_micros=1000))

    def over_rest() -> None:
        answers = [aside(ask, watched.served, "rows", x=[1.0]) for _ in range(20)]
        assert [outputs(answer.result())["x"] for answer in answers] == [[1.0]] * 20
        assert ask(watched.served, "checked", x=["NaN"]).status == 400

    rest = watched.during("predict", "REST", over_rest)
    with calls(watched.served.grpc_port) as made:

        def over_grpc() -> None:
            asked = [aside(outcome, made.predict, request("m", "rows", x=[1.0])) for _ in range(20)]
            assert [each.result()[0] for each in asked] == ["OK"] * 20
            failure(made.predict, request("m", "checked", x=[float("nan")]))

        grpc = watched.during("Predict", "GRPC", over_grpc)
    for parts in (rest, grpc):
        assert parts.counts == (20, 20, 20, 20)
        assert min(parts.decode, parts.encode) > 0
        assert parts.decode + parts.run + parts.encode <= parts.whole


def test_the_wait_for_a_batch_belongs_to_the_run(batched, tmp_path: Path) -> None:
    """A fifth of a second: so long a batch waits to be filled."""
    watched = Watched(batched(configuration(tmp_path, ON), max_batch_size=8, batch_timeout_micros=200_000))
    rest = watched.during("predict", "REST", lambda: outputs(ask(watched.served, "rows", x=[1.0])))
    with calls(watched.served.grpc_port) as made:
        grpc = watched.during("Predict", "GRPC", lambda: made.predict(request("m", "rows", x=[1.0])))
    for parts in (rest, grpc):
        _assert_parts(parts)
        assert parts.decode + parts.encode < parts.run


def test_waits_are_in_neither_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the test moves."""
    now = 100.0
    monkeypatch.setattr(steps, "perf_counter", lambda: now)

    def answering():
        nonlocal now
        now += 2
        results = yield "feeds", "fetches"
        now += 4
        return results.upper()

    times = StepTimes(now)
    now += 1  # parses the message
    watched = timed(answering(), times)
    now += 10  # waits for a thread
    assert next(watched) == ("feeds", "fetches")
    now += 1000  # runs, waits for a thread
    with pytest.raises(StopIteration) as end:
        watched.send("results")
    assert (end.value.value, times.decode, times.encode) == ("RESULTS", 3, 4)
