"""A question to an endpoint of the local cloud, beside the same question to the same server without a cloud.

Both sides are Python: Google's client for the endpoint, over gRPC through the proxy, TLS, the endpoint's service and its
replica's REST door; `requests` with a session for the server's own REST door.
"""

import time
from collections.abc import Callable
from pathlib import Path

from bench import report
from bench.turns import take_turns
from bench.words import middle, paragraph, ratio

CASES = {"cloud, predict 1 row": 1, "cloud, predict 1000 rows": 1000}
ENDPOINT, DIRECT = "Google's client, endpoint", "requests, the server"
_FEATURES = 4
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
        for case, rows in CASES.items():
            instances = [[0.1 * each for each in range(_FEATURES)]] * rows

            def ask(instances: list[list[float]] = instances) -> None:
                reply = session.post(f"{server.rest_url}/v1/models/small:predict", json={"instances": instances})
                reply.raise_for_status()
                assert len(reply.json()["predictions"]) == len(instances)

            def predict(instances: list[list[float]] = instances) -> None:
                assert len(endpoint.predict(instances).predictions) == len(instances)

            sides = {ENDPOINT: lambda one=predict: _milliseconds(one), DIRECT: lambda one=ask: _milliseconds(one)}
            run.add(case, "ms", take_turns(sides, rounds))


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
    said = []
    for case, rows in CASES.items():
        cloud, direct = (middle(run.cases[case][side]) for side in (ENDPOINT, DIRECT))
        verdict = report.judge(run, report.Bar(case, ENDPOINT, (DIRECT,), None, more_is_better=False))
        said.append(
            f"A question with {rows:,} row{'s' if rows > 1 else ''} takes {cloud} ms through an endpoint and {direct} ms at "
            f"its server: {ratio(verdict.ratio)} ({ratio(verdict.low)} to {ratio(verdict.high)})."
        )
    said.append(
        "Through the endpoint it is Google's client, gRPC, proxy, TLS, and the replica's REST door; at the server it is "
        "`requests` and that door. Instances of an endpoint are `google.protobuf.Value`, a message for each number."
    )
    return ["## A question to an endpoint of the local cloud", "", *paragraph(" ".join(said))]
