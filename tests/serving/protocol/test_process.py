"""The command: flags, start, what it says (§1)."""

import http.client
import ipaddress
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ..grpc_calls import calls, request
from ..served import Command, until

GOOD = {"instances": [1.0]}


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Command]:
    """`run(*flags)`: the command, for as long as the test lasts."""
    started: list[Command] = []

    def command(*flags: str) -> Command:
        started.append(Command(tmp_path_factory.mktemp("command"), *flags))
        return started[-1]

    yield command
    for one in started:
        one.__exit__(None, None, None)


@pytest.fixture
def model(saved_models) -> Path:
    return saved_models.half_plus[2]


REFUSED = {
    # title: (flags, what stdout must hold)
    "§1.1 --name value": (["--model_base_path", "/tmp/m"], ["unknown argument: /tmp/m", "--name=value"]),
    "§1.1 a word": (["penguins"], ["unknown argument: penguins", "--name=value"]),
    "§1.1 one dash": (["-port=8500"], ["unknown argument: -port=8500"]),
    "§1.2 unknown flag [deviation]": (["--model_path=/tmp/m"], ["unknown argument: --model_path"]),
    "§1.2 a flag's beginning": (["--model_base=/tmp/m"], ["unknown argument: --model_base"]),
    "§1.4 a flag that is not supported": (
        ["--platform_config_file=/tmp/p"],
        ["--platform_config_file=/tmp/p is not supported: the session is configured by"],
    ),
    "§1.4 not a fraction": (["--per_process_gpu_memory_fraction=1.5"], ["--per_process_gpu_memory_fraction"]),
    "§1.2 not a number": (["--port=abc"], ["--port"]),
    "§1.2 not a port": (["--rest_api_port=70000"], ["--rest_api_port"]),
    "§1.2 not a switch": (["--rest_api_enable_cors_support=perhaps"], ["--rest_api_enable_cors_support"]),
    "§1.2 a value is missing": (["--port"], ["--port"]),
}


@pytest.mark.parametrize("title", REFUSED, ids=lambda title: title.replace("§", "section "))
def test_refused_flags(run, model: Path, title: str) -> None:
    """Exit 255, what is wrong and the usage on stdout; nothing is served."""
    flags, expected = REFUSED[title]
    command = run(*flags, *([] if "--model_base_path" in flags else [f"--model_base_path={model}"]))
    assert command.exit_status() == 255
    for part in expected:
        assert part in command.stdout, command.output
    assert "--model_name" in command.stdout, "the usage names the flags"
    assert "Traceback" not in command.stderr


def test_help(run) -> None:
    """§1.2: every flag of this server, on stdout."""
    command = run("--help")
    assert command.exit_status() == 255
    for flag in (
        "port",
        "rest_api_port",
        "model_name",
        "model_base_path",
        "file_system_poll_wait_seconds",
        "rest_api_timeout_in_ms",
    ):
        assert f"--{flag}" in command.stdout


def test_session_config_file(serve, run, model: Path, tmp_path: Path) -> None:
    """§1.4: a ConfigProto in text; one that does not parse is refused with the place."""
    file = tmp_path / "session.config"
    file.write_text("inter_op_parallelism_threads: 1")
    server = serve("model", model, f"--tensorflow_session_config_file={file}")
    assert server.predict(GOOD).json == {"predictions": [2.5]}
    file.write_text("inter_op_parallelism_treads: 1")
    command = run(f"--model_base_path={model}", f"--tensorflow_session_config_file={file}")
    assert command.exit_status() == 255
    assert f"INVALID_ARGUMENT: Invalid protobuf file: '{file}'" in command.stdout
    assert "1:1" in command.stdout


def test_version(run) -> None:
    """§1.2: two lines, exit 0."""
    command = run("--version")
    assert command.exit_status() == 0
    first, second = command.stdout.splitlines()
    assert first.startswith("TensorFlow ModelServer: ")
    assert second.startswith("TensorFlow Library: 2.")


def _start_error(command: Command) -> str:
    """The message of the one line `Failed to start server. Error: ...` with which a start fails."""
    assert command.exit_status() == 255, command.output
    (line,) = command.stdout.splitlines()
    assert line.startswith("Failed to start server. Error: ")
    assert "Traceback" not in command.stderr
    return line.removeprefix("Failed to start server. Error: ")


def test_no_base_path(run) -> None:
    """§1.3, §1.5."""
    assert _start_error(run("--port=auto")).startswith(
        "INVALID_ARGUMENT: Both server_options.model_base_path and server_options.model_config_file are empty!"
    )


def test_relative_base_path(run) -> None:
    """§1.6; the hint is ours: the same path made absolute."""
    error = _start_error(run("--port=auto", "--model_name=m", "--model_base_path=models/m"))
    assert error.startswith(
        "INVALID_ARGUMENT: Expected model m to have an absolute path or URI; got base_path()=models/m"
    )
    assert os.path.join("models", "m") in error.split("got base_path()=models/m")[1]


def test_parallelism_flags(run, model: Path) -> None:
    """§1.4: all three at once are a start error."""
    flags = [f"--tensorflow_{kind}_parallelism=1" for kind in ("session", "intra_op", "inter_op")]
    assert _start_error(run("--port=auto", f"--model_base_path={model}", *flags)).startswith("INVALID_ARGUMENT: ")


FOLDERS = {
    # title: (folders and files to make, base path, what the error must name)
    "missing": (["penguins/1/"], "penguin", ["penguin", "penguins"]),
    "nothing in it": (["m/"], "m", ["m", "1/saved_model.pb"]),
    "no number": (["m/v1/saved_model.pb"], "m", ["v1", "1/saved_model.pb"]),
    "the version itself": (["m/1/saved_model.pb", "m/1/variables/"], "m/1", ["m/1"]),
    "a SavedModel without version": (["m/saved_model.pb", "m/variables/"], "m", ["is itself a SavedModel"]),
    "one folder too deep": (["models/m/1/saved_model.pb"], "models", ["models/m"]),
    "an empty version": (["m/1/"], "m", ["m/1", "saved_model.pb"]),
    "a file for a version": (["m/7"], "m", ["m/7"]),
    "a file": (["m"], "m", ["file"]),
}


@pytest.mark.parametrize("title", FOLDERS)
def test_a_wrong_folder_is_said_at_once(run, tmp_path: Path, title: str) -> None:
    """§1.8 waits for ever in silence; this server says what it found and what it expected [deviation §13]."""
    entries, base, names = FOLDERS[title]
    for entry in entries:
        place = tmp_path / entry
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir() if entry.endswith("/") else place.touch()
    error = _start_error(
        run("--port=auto", "--rest_api_port=auto", "--model_name=m", f"--model_base_path={tmp_path / base}")
    )
    assert error.split(":")[0] in ("NOT_FOUND", "INVALID_ARGUMENT")
    assert str(tmp_path / base) in error
    for name in names:
        assert name in error


def test_a_first_version_that_does_not_load(run, tmp_path: Path) -> None:
    """§1.7: exit with UNKNOWN, naming servable and reason."""
    (tmp_path / "m" / "3").mkdir(parents=True)
    (tmp_path / "m" / "3" / "saved_model.pb").write_bytes(b"no SavedModel")
    error = _start_error(run("--port=auto", "--model_name=m", f"--model_base_path={tmp_path / 'm'}"))
    assert error.startswith("UNKNOWN: 1 servable(s) did not become available: {{name: m version: 3} due to error: ")


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_a_taken_port_is_fatal(run, model: Path, flag: str) -> None:
    """§1.5; for the REST port upstream only logs [deviation §13]."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = "rest_api_port" if flag == "port" else "port"
        error = _start_error(run(f"--{flag}={port}", f"--{other}=auto", f"--model_base_path={model}"))
    assert str(port) in error
    assert flag in error


def test_one_number_for_both_ports(run, model: Path) -> None:
    """§1.4: upstream skips REST and goes on [deviation §13: a port clash is fatal]."""
    assert "8765" in _start_error(run("--port=8765", "--rest_api_port=8765", f"--model_base_path={model}"))


def test_what_it_logs(serve, model: Path) -> None:
    """§1.9: the lines that tutorials look for, on stderr, in this order; stdout stays empty."""
    server = serve("half", model)
    place = 0
    for line in (
        "Building single TensorFlow model file config:  model_name: half model_base_path: " + str(model),
        "(Re-)adding model: half",
        "Successfully loaded servable version {name: half version: 1}",
        f"Running gRPC ModelServer at 127.0.0.1:{server.grpc_port} ...",
        f"Exporting HTTP/REST API at:127.0.0.1:{server.rest_port} ...",
    ):
        place = server.stderr.find(line, place)
        assert place >= 0, f"{line!r} is missing or too early in\n{server.stderr}"
    assert server.stdout == ""


def test_default_name(serve, model: Path, run) -> None:
    """§1.4: the model is called `default`, REST is off."""
    command = run("--port=auto", f"--model_base_path={model}")
    until(lambda: "Running gRPC ModelServer" in command.stderr, "started", 60)
    port = int(command.stderr.split("Running gRPC ModelServer at 127.0.0.1:")[1].split()[0])
    with calls(port) as grpc_calls:
        assert list(grpc_calls.predict(request("default", x=[1.0])).outputs["y"].float_val) == [2.5]
    assert {listening for _, listening in _addresses(command)} == {port}


def _addresses(server: Command) -> list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    """What the process listens at; gRPC writes IPv4 addresses as IPv6 ones."""
    connections = psutil.Process(server.process.pid).net_connections("inet")
    places = [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]
    found = [(ipaddress.ip_address(place.ip), place.port) for place in places]
    return [(getattr(address, "ipv4_mapped", None) or address, port) for address, port in found]


def test_it_listens_on_loopback_only(serve, model: Path) -> None:
    """§1.10 binds all interfaces [deviation §13]."""
    server = serve("half", model)
    assert {port for _, port in _addresses(server)} == {server.grpc_port, server.rest_port}
    assert all(address.is_loopback for address, _ in _addresses(server))


def test_bind_address(serve, model: Path) -> None:
    """Ours: another address on request."""
    server = serve("half", model, "--bind_address=0.0.0.0")
    assert all(address.is_unspecified for address, _ in _addresses(server))
    assert server.predict(GOOD).json == {"predictions": [2.5]}


def test_ports_open_only_when_the_model_answers(tmp_path: Path, model: Path) -> None:
    """§1.7: whoever can connect gets an answer, over both protocols; before, the connection is refused."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0)), two.bind(("127.0.0.1", 0))
        grpc_port, rest_port = one.getsockname()[1], two.getsockname()[1]
    refused = []

    def first_answer() -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=60)
        try:
            connection.request("POST", "/v1/models/half:predict", b'{"instances": [1.0]}')
            return connection.getresponse().status
        except ConnectionRefusedError:
            refused.append(rest_port)
            return None
        finally:
            connection.close()

    flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--model_name=half", f"--model_base_path={model}"]
    with Command(tmp_path, *flags):
        assert until(first_answer, "an answer", 60) == 200
        assert refused, "asked before it was ready"
        with calls(grpc_port) as grpc_calls:
            assert list(grpc_calls.predict(request("half", x=[1.0])).outputs["y"].float_val) == [2.5]


def test_a_signal_during_the_start_ends_it(run, model: Path) -> None:
    command = run("--port=auto", "--rest_api_port=auto", f"--model_base_path={model}")
    until(lambda: "Building single TensorFlow model" in command.stderr, "starting", 60)
    command.process.terminate()
    assert command.exit_status(30) in (0, -signal.SIGTERM)
