"""Where the time goes: the parts of a request, as the client's clock and the server's metrics have them."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import pytest

from labkit.bench import payload, server_metrics
from labkit.bench.breakdown import phases
from labkit.errors import MeasurementFailed

from .answering import Server, answering

NAMES = ["client encode", "transport", "server decode", "model run", "server encode", "client decode"]
SERVING = """
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="+Inf"} %d
:tensorflow:serving:request_latency_sum{model_name="m",API="predict",entrypoint="REST"} %d
:tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="REST"} %d
# TYPE :tensorflow:serving:runtime_latency histogram
:tensorflow:serving:runtime_latency_bucket{model_name="m",API="Predict",runtime="TF1",le="+Inf"} %d
:tensorflow:serving:runtime_latency_sum{model_name="m",API="Predict",runtime="TF1"} %d
:tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="TF1"} %d
"""


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_all_parts_of_a_request(sums, protocol: str) -> None:
    found = phases(
        getattr(sums, protocol)(),
        sums.batch(10_000),
        metrics_url=sums.metrics_url,
        model_name="sums",
        requests=4,
        rounds=3,
        warm_up=1,
    )
    assert list(found.seconds) == NAMES
    assert (found.target, found.requests) == ({"rest": "REST", "grpc": "gRPC"}[protocol], 4)
    assert all(len(each) == 3 and min(each) > 0 for each in found.seconds.values())


def test_text_takes_the_server_longer_to_read_than_bytes(sums) -> None:
    batch = sums.batch(200_000)
    options = {"metrics_url": sums.metrics_url, "model_name": "sums", "requests": 3, "rounds": 3}
    text, binary = phases(sums.rest(), batch, **options), phases(sums.grpc(), batch, **options)
    for part in ("server decode", "client encode"):  # the quickest rounds: nothing else held them up
        assert text.spread(part).low > 3 * binary.spread(part).low


def test_without_metrics_the_servers_part_is_in_the_round_trip(sums) -> None:
    found = phases(sums.rest(form=payload.json_columns()), sums.batch(10), requests=2, rounds=1)
    assert list(found.seconds) == ["client encode", "round trip", "client decode"]


@pytest.mark.parametrize("name", ["requests", "rounds"])
def test_arguments_out_of_range(sums, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0; it must be more than 0"):
        phases(sums.rest(), sums.batch(1), **{name: 0})


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_somebody_else_asks_meanwhile(sums, protocol: str) -> None:
    class Twice(type(sums.rest())):
        def encode(self, inputs: object) -> bytes:
            getattr(sums.server, protocol).predict({"x": np.ones((1, 1), np.float32)})
            return super().encode(inputs)

    with pytest.raises(MeasurementFailed, match="counted 4 requests while 2 were sent"):
        phases(Twice(sums.url), sums.batch(1), metrics_url=sums.metrics_url, model_name="sums", requests=2, rounds=1)


def test_somebody_looks_at_the_models_state_meanwhile(sums) -> None:
    class Looks(type(sums.rest())):
        def encode(self, inputs: object) -> bytes:
            assert sums.server.rest.status()
            return super().encode(inputs)

    found = phases(
        Looks(sums.url), sums.batch(1), metrics_url=sums.metrics_url, model_name="sums", requests=2, rounds=1
    )
    assert list(found.seconds) == NAMES


def test_a_wrong_model_name(sums) -> None:
    with pytest.raises(MeasurementFailed, match="counted 0 requests"):
        phases(sums.rest(), sums.batch(1), metrics_url=sums.metrics_url, model_name="other", requests=2, rounds=1)


@pytest.mark.parametrize(("path", "said"), [("/nothing", "HTTP 404.*monitoring_config_file"), (":1/", "No metrics at")])
def test_no_metrics(sums, path: str, said: str) -> None:
    with pytest.raises(MeasurementFailed, match=said):
        server_metrics.read(sums.server.rest_url + path if path[0] == "/" else "http://127.0.0.1:1/", "sums", "REST")


def page(text: str) -> AbstractContextManager[Server]:
    return answering(lambda _: (200, text.encode()))


def test_a_page_that_has_no_metrics() -> None:
    text = "<html><body>It works!</body></html>"
    with page(text) as server, pytest.raises(MeasurementFailed, match=rf"{server.url} answers are no metrics.*{text}"):
        server_metrics.read(server.url, "m", "REST")


def test_a_models_name_may_have_any_letters() -> None:
    with page(SERVING.replace('"m"', '"größe"') % (1, 5000, 1, 1, 2000, 1)) as server:
        found = server_metrics.read(server.url, "größe", "REST")
    assert found == server_metrics.ServerTimes(1, {"request": 0.005, "model run": 0.002})


def test_metrics_that_do_not_know_the_models_run(sums, monkeypatch: pytest.MonkeyPatch, serving_url: str) -> None:
    monkeypatch.setattr(TensorFlowServing, "page", SERVING.partition("# TYPE :tensorflow:serving:runtime")[0])
    target = type(sums.rest())(f"{serving_url}/v1/models/m:predict")
    with pytest.raises(MeasurementFailed, match=r"no :tensorflow:serving:runtime_latency.* without a metrics_url"):
        phases(target, sums.batch(1), metrics_url=serving_url + server_metrics.PATH, model_name="m", rounds=1)


class TensorFlowServing(http.server.BaseHTTPRequestHandler):
    """Answers as TensorFlow Serving does: its two histograms, no others. A request takes 5 ms, 2 of them the model."""

    protocol_version = "HTTP/1.1"
    asked, page = 0, SERVING

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        TensorFlowServing.asked += 1
        self.reply('{"predictions": [1.0]}')

    def do_GET(self) -> None:
        asked = self.asked
        numbers = asked, 5000 * asked, asked, asked, 2000 * asked, asked
        self.reply(self.page % numbers[: self.page.count("%d")])

    def reply(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def serving_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), TensorFlowServing) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_tensorflow_serving_does_not_part_decode_and_encode(sums, serving_url: str) -> None:
    target = type(sums.rest())(f"{serving_url}/v1/models/m:predict")
    found = phases(
        target, sums.batch(1), metrics_url=serving_url + server_metrics.PATH, model_name="m", requests=4, rounds=2
    )
    names = ["client encode", "transport", "server decode and encode", "model run", "client decode"]
    assert list(found.seconds) == names
    assert found.spread("server decode and encode").median == pytest.approx(0.003)
    assert found.spread("model run").median == pytest.approx(0.002)
