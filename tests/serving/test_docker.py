"""Docker, with a real engine: the image that docker/Dockerfile makes, and what only the docker backend does.

The image holds labkit's embedded server. It keeps the contract of TensorFlow Serving's own (§1.12), which is not here.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import psutil
import pytest

import labkit
from labkit.errors import EnvironmentProblem, ServerStartError

from .grpc_calls import calls, request
from .served import Answer, ask_on, until

INPUT = np.array([[1.0], [5.0]], np.float32)
ANSWER = np.array([[2.5], [4.5]], np.float32)

pytestmark = pytest.mark.timeout(300)  # the first one also starts an engine and builds an image


def docker(*words: str) -> str:
    ended = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, f"docker {' '.join(words)}: {ended.stderr}"
    return ended.stdout.strip()


class Container:
    """A container that runs, as `docker run` by hand starts it."""

    def __init__(self, number: str) -> None:
        self.number = number
        grpc, rest = (docker("port", number, f"{port}/tcp").splitlines()[0] for port in (8500, 8501))
        self.grpc_port, self.rest_port = (int(address.rsplit(":", 1)[1]) for address in (grpc, rest))

    def state(self, what: str) -> str:
        return docker("inspect", f"--format={{{{.State.{what}}}}}", self.number)

    def logs(self) -> str:
        shown = subprocess.run(["docker", "logs", self.number], capture_output=True, text=True, check=True)
        return shown.stdout + shown.stderr

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=60)
        try:
            return ask_on(connection, method, path, body)
        finally:
            connection.close()


@contextmanager
def run(image: str, *flags: str, options: tuple[str, ...] = (), **folders: os.PathLike) -> Iterator[Container]:
    """`docker run` with each folder mounted as /models/NAME; it is removed at the end."""
    mounts = [f"--mount=type=bind,source={path},target=/models/{name},readonly" for name, path in folders.items()]
    ports = ("--publish=127.0.0.1::8500", "--publish=127.0.0.1::8501")
    number = docker("run", "--detach", *ports, *mounts, *options, image, *flags)
    try:
        container = Container(number)
        until(lambda: "Exporting HTTP/REST API at:" in container.logs(), "the server is ready", seconds=60)
        yield container
    finally:
        docker("rm", "--force", number)


def test_the_model_is_called_model_unless_a_variable_says_otherwise(model_server_image, saved_models):
    """§1.12: ports 8500 and 8501, /models/$MODEL_NAME, MODEL_NAME=model."""
    with run(model_server_image, options=("--health-interval=1s",), model=saved_models.half_plus[2]) as container:
        assert container.ask("POST", "/v1/models/model:predict", {"instances": [1.0]}).json == {"predictions": [2.5]}
        with calls(container.grpc_port) as grpc_calls:
            assert list(grpc_calls.predict(request("model", x=[1.0])).outputs["y"].float_val) == [2.5]
        until(lambda: container.state("Health.Status") == "healthy", "the image's health check passes", seconds=60)


def test_variables_and_flags_behind_the_image_count(model_server_image, saved_models):
    """§1.12: MODEL_BASE_PATH and MODEL_NAME make the folder; flags are added, the last of a kind counts."""
    options = ("--env=MODEL_NAME=half", "--env=MODEL_BASE_PATH=/models/three")
    flags = ("--model_name=renamed", "--rest_api_enable_cors_support")
    with run(model_server_image, *flags, options=options, **{"three/half": saved_models.half_plus[3]}) as container:
        answer = container.ask("POST", "/v1/models/renamed:predict", {"instances": [1.0]})
        assert answer.json == {"predictions": [3.5]}
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_it_runs_without_rights_and_says_what_it_is(model_server_image):
    made = json.loads(docker("image", "inspect", model_server_image))[0]["Config"]
    assert made["User"] == "65532:65532"
    assert sorted(made["ExposedPorts"]) == ["8500/tcp", "8501/tcp"]
    assert "not TensorFlow Serving" in made["Labels"]["org.opencontainers.image.description"]
    version = docker("run", "--rm", model_server_image, "--version")
    assert "labkit" in version.splitlines()[0]


def test_docker_stop_drains(model_server_image, saved_models):
    """§1.11, where TensorFlow Serving as process 1 takes no notice of SIGTERM [deviation §13]."""
    answers = []
    with run(model_server_image, model=saved_models.slow) as container:
        body = {"signature_name": "wait", "inputs": {"seconds": [3.0], "x": [7.0]}}
        asking = threading.Thread(
            target=lambda: answers.append(container.ask("POST", "/v1/models/model:predict", body).json)
        )
        asking.start()
        _wait_until_busy(container.number)
        docker("stop", "--time=30", container.number)
        asking.join()
        assert answers == [{"outputs": [7.0]}]
        assert container.state("ExitCode") == "0"
        assert "Stopped" in container.logs()


def test_a_container_that_drains_is_removed_when_its_program_is_killed(model_server_image, saved_models):
    """Nobody waits for the answers any more."""
    program = (
        "import sys, time, labkit\n"
        "server = labkit.serve(sys.argv[1], name='drains', backend='docker', image=sys.argv[2])\n"
        "print(server.rest_url.rsplit(':', 1)[1], flush=True)\n"
        "time.sleep(600)"
    )
    words = [sys.executable, "-c", program, str(saved_models.slow), model_server_image]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as started, ExitStack() as opened:
        try:
            port = int(started.stdout.readline())
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            opened.callback(connection.close)
            body = {"signature_name": "wait", "inputs": {"seconds": [25.0], "x": [7.0]}}
            connection.request("POST", "/v1/models/drains:predict", json.dumps(body))
            (number,) = docker("ps", "--quiet", "--filter=name=labkit-drains").split()
            _wait_until_busy(number)
        finally:
            started.kill()
    until(lambda: not docker("ps", "--all", "--quiet", "--filter=name=labkit-drains"), "it is gone", seconds=10)


def _wait_until_busy(number: str) -> None:
    """The model works while it waits: processor time says that a request runs."""
    first = psutil.Process(int(docker("inspect", "--format={{.State.Pid}}", number)))
    busy = [first, *first.children(recursive=True)]
    before = sum(sum(process.cpu_times()[:2]) for process in busy)
    until(lambda: sum(sum(process.cpu_times()[:2]) for process in busy) - before > 0.4, "the request runs")


def test_memory_is_the_servers_not_the_docker_commands(model_server_image, saved_models):
    with labkit.serve(saved_models.half_plus[2], backend="docker", image=model_server_image) as server:
        (number,) = docker("ps", "--quiet", "--filter=name=labkit-half_plus_2").split()
        first = psutil.Process(int(docker("inspect", "--format={{.State.Pid}}", number)))
        resident = sum(process.memory_info().rss for process in [first, *first.children(recursive=True)])
        assert server.memory() == pytest.approx(resident, rel=0.1)
        assert server.memory() > 1.5 * psutil.Process(server.pid).memory_info().rss


def test_memory_without_ps_beside_the_engine(model_server_image, saved_models, tmp_path, monkeypatch):
    command = tmp_path / "docker"
    command.write_text(f'#!/bin/sh\n[ "$1" = top ] && exit 1\nexec {shutil.which("docker")} "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with labkit.serve(saved_models.half_plus[2], backend="docker", image=model_server_image) as server:
        assert 30_000_000 < server.memory() < 4_000_000_000


def test_an_image_that_cannot_be_had_is_named(docker_engine, saved_models):
    with pytest.raises(
        EnvironmentProblem, match=r"no image 'localhost:1/none' on this machine.*pulled: .*refused.*image='NAME'"
    ):
        labkit.serve(saved_models.half_plus[2], backend="docker", image="localhost:1/none")


def test_tensorflow_servings_own_image_is_the_default(saved_models, tmp_path, monkeypatch):
    """It cannot be pulled here, so a `docker` that knows no image says which one was wanted."""
    command = tmp_path / "docker"
    command.write_text('#!/bin/sh\n[ "$1" = version ] && exit 0\necho "asked for: $*" >&2\nexit 1\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(EnvironmentProblem, match=r"asked for: pull --quiet tensorflow/serving:\d"):
        labkit.serve(saved_models.half_plus[2], backend="docker")


def test_an_engine_that_does_not_answer_is_told_from_a_missing_image(docker_engine, saved_models, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(EnvironmentProblem, match=r"engine does not answer: .*unix:///nowhere/docker\.sock.* Start it"):
        labkit.serve(saved_models.half_plus[2], backend="docker")


@pytest.mark.parametrize("backend", ["embedded", "binary"])
def test_only_docker_takes_an_image(saved_models, backend):
    with pytest.raises(ValueError, match=rf"image='other' is for backend='docker'; the {backend} backend has no image"):
        labkit.serve(saved_models.half_plus[2], backend=backend, image="other")


def test_taking_a_port_that_is_taken_says_so(model_server_image, saved_models):
    with ExitStack() as servers:
        first = servers.enter_context(labkit.serve(saved_models.half_plus[2]))
        port = int(first.rest_url.rsplit(":", 1)[1])
        with pytest.raises(ServerStartError, match=rf"127\.0\.0\.1:{port}.*address already in use"):
            labkit.serve(saved_models.half_plus[3], backend="docker", image=model_server_image, rest_api_port=port)


def test_the_local_cloud_runs_an_image_as_replicas(model_server_image, saved_models, tmp_path):
    """`cloud(containers="docker")`: Vertex AI's container contract, with containers that are some."""
    from labkit.cloud.local.containers import Containers, ServingContainer
    from labkit.cloud.local.replicas import Replicas

    container = ServingContainer(
        "labkit-replica",
        model_server_image,
        "/v1/models/default:predict",
        "/v1/models/default",
        args=("--rest_api_port=8080", "--model_name=default", "--model_base_path=$(AIP_STORAGE_URI)"),
        files=saved_models.half_plus[2],
    )
    names = "--filter=name=labkit-labkit-replica"
    with Replicas(Containers(tmp_path, {}, engine="docker"), container, minimum=2, maximum=2) as replicas:
        assert json.loads(replicas.predict(b'{"instances": [1.0]}').body) == {"predictions": [2.5]}
        assert replicas.available == 2
        assert len(docker("ps", "--quiet", names).split()) == 2
    until(lambda: not docker("ps", "--all", "--quiet", names), "they are gone", seconds=30)
