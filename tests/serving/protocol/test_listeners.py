"""Where the server listens: unix sockets, and gRPC's own arguments (§1.4, §1.9)."""

import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from labkit.errors import RequestError
from labkit.serving.grpc_client import GrpcClient

from ..grpc_calls import calls, failure, outcome, request
from ..served import Command, Served

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")


@pytest.fixture
def model(saved_models) -> Path:
    return saved_models.half_plus[2]


@pytest.fixture
def start_error(tmp_path: Path, model: Path) -> Callable[..., str]:
    """`start_error(*flags)`: the message with which a start with these flags fails."""

    def failed(*flags: str) -> str:
        ports = [
            f"--{name}=auto" for name in ("port", "rest_api_port") if not any(name + "=" in flag for flag in flags)
        ]
        with Command(tmp_path, *ports, f"--model_base_path={model}", *flags) as command:
            assert command.exit_status() == 255, command.output
            assert "Traceback" not in command.stderr, command.output
            return command.stdout

    return failed


def _ask(place: Path, x: float = 1.0) -> float:
    with GrpcClient(f"unix:{place}", "half") as client:
        return float(client.predict({"x": np.array([x], "float32")})[0])


def _is_refused(place: Path) -> bool:
    with pytest.raises(RequestError) as refused:
        _ask(place)
    return refused.value.code == "UNAVAILABLE"


def test_a_unix_socket_beside_the_port(serve, model: Path, place: Path) -> None:
    """§1.4 grpc_socket_path: the same services in both places; §1.9: each has its line."""
    server = serve("half", model, f"--grpc_socket_path={place}")
    assert f"Running gRPC ModelServer at UNIX socket {place} ..." in server.stderr
    assert _ask(place) == 2.5
    with GrpcClient(f"unix:{place}", "half") as client:
        assert [(found.version, found.state) for found in client.status()] == [(1, "AVAILABLE")]
        assert "serving_default" in client.metadata()
    with calls(server.grpc_port) as grpc_calls:
        assert list(grpc_calls.predict(request("half", x=[1.0])).outputs["y"].float_val) == [2.5]


def test_only_a_unix_socket(serve, model: Path, place: Path) -> None:
    """§1.4 port: 0 opens no TCP port for gRPC."""
    server = serve("half", model, "--port=0", "--rest_api_port=0", f"--grpc_socket_path={place}")
    assert _ask(place) == 2.5
    listening = [it for it in psutil.Process(server.process.pid).net_connections("tcp") if it.status == "LISTEN"]
    assert not listening


def test_no_port_and_no_socket(start_error) -> None:
    """§1.4 port: 0 needs a socket."""
    assert "INVALID_ARGUMENT: --port=0 " in (error := start_error("--port=0"))
    assert "--grpc_socket_path" in error


def test_the_socket_goes_with_the_server(serve, model: Path, place: Path) -> None:
    """Ours: nothing is left for the next server to stumble over."""
    server = serve("half", model, f"--grpc_socket_path={place}")
    assert place.is_socket()
    server.terminate()
    assert server.exit_status(20) == 0
    assert not place.exists()


def test_the_socket_goes_with_a_start_that_fails(start_error, place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = start_error(f"--grpc_socket_path={place}", f"--rest_api_port={taken.getsockname()[1]}")
    assert "rest_api_port" in error
    assert not place.exists()


def test_the_socket_of_a_dead_server_is_replaced(serve, model: Path, place: Path) -> None:
    server = serve("half", model, f"--grpc_socket_path={place}")
    server.terminate(signal.SIGKILL)
    server.exit_status(20)
    assert place.is_socket(), "a killed server cannot tidy up"
    serve("half", model, f"--grpc_socket_path={place}")
    assert _ask(place) == 2.5


def test_the_socket_of_a_running_server_is_not_taken(serve, start_error, model: Path, place: Path) -> None:
    """gRPC would take it without a word [deviation §13: a clash is fatal]."""
    serve("half", model, f"--grpc_socket_path={place}")
    error = start_error(f"--grpc_socket_path={place}")
    assert "UNAVAILABLE: " in error
    assert f"--grpc_socket_path={place}" in error
    assert _ask(place) == 2.5, "the first server has kept it"


def test_a_file_is_not_replaced(start_error, place: Path) -> None:
    place.write_text("not a socket")
    assert f"INVALID_ARGUMENT: --grpc_socket_path={place} " in start_error(f"--grpc_socket_path={place}")
    assert place.read_text() == "not a socket"


def test_another_server_s_socket_is_not_removed(serve, model: Path, place: Path) -> None:
    """Whoever put its own in the place of ours keeps it."""
    server = serve("half", model, f"--grpc_socket_path={place}")
    place.rename(place.with_suffix(".old"))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        server.terminate()
        assert server.exit_status(20) == 0
        assert place.is_socket()


IMPOSSIBLE = {
    "no such folder": ("missing/serving.sock", "no folder"),
    "too long a name": ("s" * 120, "103 bytes"),
}


@pytest.mark.parametrize("title", IMPOSSIBLE)
def test_an_impossible_socket(start_error, place: Path, title: str) -> None:
    name, part = IMPOSSIBLE[title]
    error = start_error(f"--grpc_socket_path={place.parent / name}")
    assert f"INVALID_ARGUMENT: --grpc_socket_path={place.parent / name}" in error
    assert part in error


@pytest.mark.parametrize("folder", ["/", "."])
def test_a_folder_is_no_socket(start_error, folder: str) -> None:
    assert f"INVALID_ARGUMENT: --grpc_socket_path={folder} is a folder" in start_error(f"--grpc_socket_path={folder}")


@pytest.mark.parametrize(("umask", "others"), [(0o022, 0), (0o002, stat.S_IWGRP), (0o077, 0)])
def test_who_may_connect(serve, model: Path, place: Path, umask: int, others: int) -> None:
    """Connecting takes the right to write: the owner's alone, unless the umask gives it to others."""
    before = os.umask(umask)
    try:
        serve("half", model, f"--grpc_socket_path={place}")
    finally:
        os.umask(before)
    assert place.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH) == others


def test_requests_in_flight_at_the_socket_are_answered(serve, saved_models, place: Path) -> None:
    """§1.11: the drain holds for the socket, too."""
    server: Served = serve("slow", saved_models.slow, f"--grpc_socket_path={place}")
    with grpc.insecure_channel(f"unix:{place}") as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict", PredictRequest.SerializeToString)
        busy = psutil.Process(server.process.pid)
        before = sum(busy.cpu_times()[:2])
        answer = predict.future(request("slow", "wait", seconds=[4.0], x=[7.0]), timeout=60)
        while sum(busy.cpu_times()[:2]) - before < 0.2:
            assert not answer.done()
            time.sleep(0.01)  # a loop that is busy would take the processor from the server
        server.terminate()
        assert answer.result(30)
    assert server.exit_status(20) == 0
    assert _is_refused(place)


def test_channel_arguments(serve, model: Path) -> None:
    """§1.4 grpc_channel_arguments: a number is one, and takes the place of the server's own (§5.1)."""
    server = serve("half", model, "--grpc_channel_arguments=grpc.max_receive_message_length=1000,grpc.any=text")
    with calls(server.grpc_port) as grpc_calls:
        assert outcome(grpc_calls.predict, request("half", x=[1.0]))[0] == "OK"
        code, message = failure(grpc_calls.predict, request("half", x=[1.0] * 1000))
    assert code == "RESOURCE_EXHAUSTED"
    assert "1000" in message


@pytest.mark.parametrize("text", ["grpc.max_concurrent_streams", "=1", "grpc.any=1,,grpc.other=2", "grpc.any=1,"])
def test_malformed_channel_arguments(start_error, text: str) -> None:
    """Upstream takes what it can make of them [deviation §13]."""
    assert "--grpc_channel_arguments" in start_error(f"--grpc_channel_arguments={text}").splitlines()[0]
