"""A question to an endpoint of the local cloud, beside the same question to the same server without a cloud.

All sides are Python: Google's client for the endpoint, over gRPC through the proxy, TLS, the endpoint's service and its
replica's REST door; `requests` with a session for the server's own REST door. `raw_predict` carries the same JSON as
`requests`. What `predict` costs without any cloud, its messages, is a side of its own.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import report
from bench.turns import take_turns
from bench.words import middle, paragraph, ratio

CASES = {"cloud, predict 1 row": 1, "cloud, predict 1000 rows": 1000}
ENDPOINT, DIRECT = "Google's client, endpoint", "requests, the server"
RAW, MESSAGES = "Google's client, raw_predict", "Google's messages alone, nobody asked"
_FEATURES, _CLASSES = 4, 3
_JSON = {"Content-Type": "application/json"}
_SECONDS = 1.0  # a side in a round


def measure_predict(run: report.Run, work: Path, rounds: int) -> None:
    """Milliseconds of a question to an endpoint of the local cloud; and to its server."""
    import requests
    from google.cloud import aiplatform

    from labkit.cloud.session import start_local
    from labkit.serving import serve

    with start_local() as gcp, serve(work / "small") as server, requests.Session() as session:
        aiplatform.init(project=gcp.project, location=gcp.location)
        endpoint = _deployed(aiplatform, gcp.bucket, work / "small")
        url = f"{server.rest_url}/v1/models/small:predict"
        for case, rows in CASES.items():
            asks = _asks(endpoint, session, url, [[0.1 * each for each in range(_FEATURES)]] * rows)
            run.add(case, "ms", take_turns({side: partial(_milliseconds, ask) for side, ask in asks.items()}, rounds))


def _asks(endpoint: Any, session: Any, url: str, instances: list[list[float]]) -> dict[str, Callable[[], None]]:
    """What each side does for one question."""
    encode = _messages(instances)

    def predict() -> None:
        assert len(endpoint.predict(instances).predictions) == len(instances)

    def raw_predict() -> None:
        body = json.dumps({"instances": instances}).encode()
        assert len(endpoint.raw_predict(body, headers=_JSON).json()["predictions"]) == len(instances)

    def ask() -> None:
        reply = session.post(url, json={"instances": instances})
        reply.raise_for_status()
        assert len(reply.json()["predictions"]) == len(instances)

    return {ENDPOINT: predict, RAW: raw_predict, DIRECT: ask, MESSAGES: encode}


def _messages(instances: list[list[float]]) -> Callable[[], None]:
    """Write a request as the client's `predict` does, and read an answer as it does."""
    from google.cloud.aiplatform_v1 import types
    from google.protobuf import json_format

    answer = types.PredictResponse()
    answer.predictions.extend([[0.1] * _CLASSES] * len(instances))
    content = types.PredictResponse.serialize(answer)

    def messages() -> None:
        json.dumps({"instances": instances})  # the client does so, too, whatever for
        request = types.PredictRequest()
        request.instances.extend(instances)
        types.PredictRequest.serialize(request)
        for each in types.PredictResponse.deserialize(content).predictions.pb:
            json_format.MessageToDict(each)

    return messages


def _deployed(aiplatform: object, bucket: str, folder: Path) -> object:
    from google.cloud import storage

    from labkit.cloud.upload import upload_folder

    upload_folder(storage.Client().bucket(bucket), folder, "small")
    model = aiplatform.Model.upload(
        display_name="small",
        artifact_uri=f"gs://{bucket}/small",
        serving_container_image_uri="docker.io/tensorflow/serving:2.19.0",
        serving_container_args=[
            "--rest_api_port=8080",
            "--model_name=default",
            "--model_base_path=$(AIP_STORAGE_URI)",
        ],
        serving_container_ports=[8080],
        serving_container_health_route="/v1/models/default",
        serving_container_predict_route="/v1/models/default:predict",
    )
    return model.deploy(machine_type="n1-standard-4")


def _milliseconds(ask: Callable[[], None]) -> float:
    asked, start = 0, time.perf_counter()
    while time.perf_counter() < start + _SECONDS:
        ask()
        asked += 1
    return (time.perf_counter() - start) * 1000 / asked


def section(run: report.Run) -> list[str]:
    """The page's section, if the run has numbers for it."""
    if not set(CASES) <= set(run.cases):
        return []
    said = [line for case, rows in CASES.items() for line in _compared(run, case, rows)]
    said.append(
        "Through the endpoint it is Google's client, gRPC, proxy, TLS, and the replica's REST door; at the server it "
        "is `requests` and that door. For `predict` each number is a message, a `google.protobuf.Value`; `raw_predict` "
        "carries JSON."
    )
    return ["## A question to an endpoint of the local cloud", "", *paragraph(" ".join(said))]


def _compared(run: report.Run, case: str, rows: int) -> list[str]:
    cloud, raw, direct, messages = (middle(run.cases[case][side]) for side in (ENDPOINT, RAW, DIRECT, MESSAGES))
    times = []
    for side in (ENDPOINT, RAW):
        verdict = report.judge(run, report.Bar(case, side, (DIRECT,), None, more_is_better=False))
        times.append(f"{ratio(verdict.ratio)} ({ratio(verdict.low)} to {ratio(verdict.high)})")
    return [
        f"A question with {rows:,} row{'s' if rows > 1 else ''} takes {direct} ms at its server and {cloud} ms through "
        f"an endpoint, {times[0]} times as long; with `raw_predict` {raw} ms, {times[1]} times.",
        f"Of `predict`, {messages} ms are what Google's client does with its messages, whoever answers.",
    ]
