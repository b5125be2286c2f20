"""labkit.serve's promises, for every backend (`conftest.backend` says what the programs are)."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

import labkit
from labkit.errors import RequestError, ServerStartError

from .served import until

INPUT = np.array([[1.0], [5.0]], np.float32)
ANSWER = np.array([[2.5], [4.5]], np.float32)

pytestmark = pytest.mark.timeout(300)  # the first one also starts an engine and builds an image


@dataclass(frozen=True)
class Backend:
    """What `serve` is called with, and what runs the server of a folder: what `traces` lists must not outlive it."""

    options: dict[str, str]
    traces: Callable[[Path], list[str]]

    def serve(self, folder: Path, **flags: object) -> labkit.ModelServer:
        return labkit.serve(folder, **self.options, **flags)


@pytest.fixture(name="backend", scope="module")
def backend_with_traces(backend):
    return Backend(backend, containers if backend["backend"] == "docker" else server_processes)


def containers(folder: Path) -> list[str]:
    """Containers that run, have ended or are only made, with `folder` among their mounts: names and mounts."""
    command = ["docker", "ps", "--all", "--no-trunc", "--format={{.Names}} {{.Mounts}}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


def server_processes(folder: Path) -> list[str]:
    """Processes that serve the model in `folder`, by command line."""
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [" ".join(words) for words in found if f"--model_base_path={folder}" in words]


@pytest.fixture
def folder(saved_models, tmp_path):
    base = tmp_path / "of_backends"
    saved_models.add_version(base, "1")
    return base


def test_it_answers_over_both_protocols_until_it_is_stopped(backend, folder):
    with backend.serve(folder) as server:
        assert server.name == folder.name
        assert server.backend == backend.options["backend"]
        assert server.running
        np.testing.assert_array_equal(server.predict(INPUT), ANSWER)
        np.testing.assert_array_equal(server.predict(INPUT, via="rest"), ANSWER)
        np.testing.assert_array_equal(server.rest.predict(INPUT, form="columnar"), ANSWER)
        np.testing.assert_array_equal(server.grpc.predict({"x": INPUT}), ANSWER)
        assert [(status.version, status.state) for status in server.status()] == [(1, "AVAILABLE")]
        assert server.memory() > 100_000_000
        assert "Successfully loaded servable version" in server.logs()
        assert backend.traces(folder)
    assert not server.running
    assert server.memory() == 0
    assert "Stopped" in server.logs()
    assert backend.traces(folder) == []
    for via in ("rest", "grpc"):
        with pytest.raises(RequestError, match="UNAVAILABLE"):
            server.predict(INPUT, via=via)


def test_ports_are_open_on_loopback_only(backend, folder):
    with backend.serve(folder) as server:
        ports = {int(address.rsplit(":", 1)[1]) for address in (server.rest_url, server.grpc_address)}
        listening = [c.laddr for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert {where.port for where in listening if where.port in ports} == ports
        assert {where.ip.removeprefix("::ffff:") for where in listening if where.port in ports} == {"127.0.0.1"}


def test_errors_arrive_in_the_servers_own_words(backend, folder):
    """§3.3, §3.8, §5.3: the same codes and texts, whoever runs the server."""
    with backend.serve(folder) as server:
        for via, code, text in [
            ("rest", "INVALID_ARGUMENT", 'Serving signature name: "foo" not found in signature def'),
            ("grpc", "FAILED_PRECONDITION", 'Serving signature key "foo" not found.'),
        ]:
            with pytest.raises(RequestError) as error:
                server.predict(INPUT, via=via, signature_name="foo")
            assert (error.value.code, error.value.message) == (code, text)
        with pytest.raises(
            RequestError, match=r"NOT_FOUND.*Servable not found for request: Specific\(of_backends, 7\)"
        ):
            server.predict(INPUT, version=7)
        with pytest.raises(RequestError, match=r'JSON Value: "x" Type: String is not of expected type: float') as error:
            server.rest.predict([["x"]])
        assert error.value.http_status == 400


def test_a_version_is_swapped_in_and_rolled_back(backend, folder, saved_models):
    """§6.5, §6.6: a folder appears, a folder goes; the container sees both through its mount."""
    with backend.serve(folder) as server:
        saved_models.add_version(folder, "2", plus=3)
        until(lambda: available(server) == [2], "version 2 alone is served")
        np.testing.assert_array_equal(server.predict(INPUT), ANSWER + 1)
        np.testing.assert_array_equal(server.predict(INPUT, via="rest"), ANSWER + 1)
        (folder / "2").rename(folder / "2.withdrawn")
        until(lambda: available(server) == [1], "version 1 alone is served again")
        np.testing.assert_array_equal(server.predict(INPUT), ANSWER)
        np.testing.assert_array_equal(server.predict(INPUT, via="rest"), ANSWER)


def available(server) -> list[int]:
    return [status.version for status in server.status() if status.state == "AVAILABLE"]


def test_flags_and_the_files_they_name_are_passed_on(backend, folder, tmp_path):
    parameters = tmp_path / "batching, in text.pbtxt"
    parameters.write_text("max_batch_size { value: 1 }\nallowed_batch_sizes: 1\n")
    with (
        backend.serve(folder, enable_batching=True, batching_parameters_file=parameters) as server,
        pytest.raises(RequestError, match="Task size 2 is larger than maximum input batch size 1"),
    ):
        server.predict(INPUT)


def test_a_name_and_a_path_may_have_spaces_and_commas(backend, folder):
    odd = folder.rename(folder.parent / "of_backends, copy")
    with backend.serve(odd) as server:
        np.testing.assert_array_equal(server.predict(INPUT), ANSWER)
        assert backend.traces(odd)
    assert backend.traces(odd) == []


def test_a_model_that_does_not_load_ends_the_start(backend, folder):
    (folder / "1" / "saved_model.pb").write_bytes(b"this is no protobuf message")
    with pytest.raises(ServerStartError, match=r"1 servable\(s\) did not become available: \{\{name: of_backends"):
        backend.serve(folder)
    assert backend.traces(folder) == []


def test_it_does_not_outlive_a_killed_program(backend, folder):
    program = [
        *(sys.executable, "-c"),
        "import sys, time, labkit\n"
        "server = labkit.serve(sys.argv[1], **dict(word.split('=') for word in sys.argv[2:]))\n"
        "print(server.predict([[1.0]], via='rest').tolist(), flush=True)\n"
        "time.sleep(600)",
        *(str(folder), *(f"{name}={value}" for name, value in backend.options.items())),
    ]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout.readline() == "[[2.5]]\n"
            assert backend.traces(folder)
        finally:
            started.kill()
    until(lambda: backend.traces(folder) == [], "the server has gone with the program that started it")
