"""TCP ports: which are opened, where, and what happens when one cannot be (§1.4, §1.5, §1.10)."""

import ipaddress
import socket
from pathlib import Path

import psutil
import pytest

from ..grpc_calls import calls, request
from ..served import Command, until

GOOD = {"instances": [1.0]}


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_a_taken_port_is_fatal(start_error, model: Path, flag: str) -> None:
    """§1.5; for the REST port upstream only logs [deviation §13]."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = "rest_api_port" if flag == "port" else "port"
        error = start_error(f"--{flag}={port}", f"--{other}=auto", f"--model_base_path={model}")
    assert str(port) in error
    assert flag in error


def test_one_number_for_both_ports(start_error, model: Path) -> None:
    """§1.4: upstream skips REST and goes on [deviation §13: a port clash is fatal]."""
    assert "are both 8765" in start_error("--port=8765", "--rest_api_port=8765", f"--model_base_path={model}")


def _grpc_port(command: Command) -> int:
    until(lambda: "Running gRPC ModelServer" in command.stderr, "started", 60)
    return int(command.stderr.split("Running gRPC ModelServer at 127.0.0.1:")[1].split()[0])


def test_strict_goes_on_without_rest(run, model: Path) -> None:
    """§1.5: a taken REST port is a line in the log, and gRPC is there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        flags = ["--port=auto", f"--rest_api_port={port}", f"--model_base_path={model}"]
        command = run(*flags, "--strict_tensorflow_serving")
        _assert_grpc_answers(_grpc_port(command))
    assert f"Failed to start HTTP Server at 127.0.0.1:{port}" in command.stderr
    assert "Exporting HTTP/REST API" not in command.stderr
    assert command.stdout == ""


def test_strict_with_one_number_for_both_ports(run, model: Path) -> None:
    """§1.4: REST is skipped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = [f"--port={port}", f"--rest_api_port={port}", f"--model_base_path={model}", "--strict_tensorflow_serving"]
    command = run(*flags)
    assert _grpc_port(command) == port
    _assert_grpc_answers(port)
    assert "server_options.http_port cannot be same as grpc_port." in command.stderr
    assert "Exporting HTTP/REST API" not in command.stderr


def _assert_grpc_answers(port: int) -> None:
    with calls(port) as grpc_calls:
        assert list(grpc_calls.predict(request("default", x=[1.0])).outputs["y"].float_val) == [2.5]


def test_default_name(model: Path, run) -> None:
    """§1.4: the model is called `default`, REST is off."""
    command = run("--port=auto", f"--model_base_path={model}")
    port = _grpc_port(command)
    _assert_grpc_answers(port)
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
