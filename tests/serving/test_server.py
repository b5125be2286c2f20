"""labkit.serve: one call from a model folder to a running server, and never a server too many."""

import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import psutil
import pytest
import trustme

import labkit
from labkit import processes
from labkit.errors import EnvironmentProblem, ModelFolderError, ServerStartError
from labkit.serving import backends
from labkit.waiting import wait_until

from ..children import runs

INPUT = np.array([[1.0], [5.0]], np.float32)
ANSWER = np.array([[2.5], [4.5]], np.float32)


@pytest.fixture
def half_plus_two(saved_models):
    return saved_models.half_plus[2]


def test_port_zero_is_a_free_one_as_everywhere(half_plus_two):
    with labkit.serve(half_plus_two, port=0, rest_api_port=0) as server:
        np.testing.assert_array_equal(server.predict(INPUT, via="rest"), ANSWER)


def test_serving_the_same_model_again_replaces_the_server(half_plus_two):
    first = labkit.serve(half_plus_two)
    with labkit.serve(half_plus_two) as second, labkit.serve(half_plus_two, name="another") as other:
        assert not first.running
        assert second.running
        assert other.running
    first.stop()


def test_the_flags_of_tensorflow_model_server_are_passed_on(half_plus_two):
    with labkit.serve(half_plus_two, enable_serialization_as_tensor_content=True) as server:
        np.testing.assert_array_equal(server.grpc.predict({"x": INPUT}), ANSWER)
    with pytest.raises(ServerStartError, match="unknown argument: --no_such_flag=1") as error:
        labkit.serve(half_plus_two, no_such_flag=1)
    assert "--model_base_path" in error.value.log, "the usage is in the log"


def test_the_servers_own_client_speaks_tls(half_plus_two, tmp_path):
    """§11.1: REST stays plain."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    key, certificate = issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()
    file = tmp_path / "ssl.config"
    file.write_text(f"server_key: {key.decode()!a}\nserver_cert: {certificate.decode()!a}\n")
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with labkit.serve(half_plus_two, ssl_config_file=file, credentials=credentials) as server:
        for via in ("grpc", "rest"):
            np.testing.assert_array_equal(server.predict(INPUT, via=via), ANSWER)


@pytest.mark.parametrize("via", ["grpc", "rest"])
def test_a_request_in_flight_is_answered_before_it_stops(saved_models, via):
    inputs = {"seconds": np.array([2.0], np.float32), "x": np.array([7.0], np.float32)}
    with labkit.serve(saved_models.slow) as server, ThreadPoolExecutor(1) as aside:
        busy = psutil.Process(server.pid)
        before = sum(busy.cpu_times()[:2])
        answer = aside.submit(server.predict, inputs, via=via, signature_name="wait")
        wait_until(lambda: sum(busy.cpu_times()[:2]) - before > 0.4, timeout=60)  # the model works while it waits
        server.stop()
        np.testing.assert_array_equal(answer.result(), [7.0])


def test_it_has_as_long_to_stop_as_it_may_drain(half_plus_two, monkeypatch):
    stop, given = processes.ManagedProcess.stop, []
    monkeypatch.setattr(processes.ManagedProcess, "stop", lambda self, grace: (given.append(grace), stop(self, grace)))
    for flags in ({}, {"drain_seconds": 60}):
        labkit.serve(half_plus_two, **flags).stop()
    assert [grace > drain for grace, drain in zip(given, (30, 60), strict=True)] == [True, True]
    assert given[0] < 60


def test_the_model_is_not_named_by_a_flag(half_plus_two):
    with labkit.serve(half_plus_two, name="half") as server:
        for flag in ("model_name", "model_base_path"):
            with pytest.raises(ValueError, match=rf"^{flag} cannot be passed as a flag; write serve\(folder, name="):
                labkit.serve(half_plus_two, name="half", **{flag: "x"})
        assert server.running


def test_no_server_is_left_when_its_client_cannot_be_made(half_plus_two):
    with pytest.raises(AttributeError):
        labkit.serve(half_plus_two, name="left alone", credentials="not credentials")
    assert not _commands_with("--model_name=left alone")


def _commands_with(word):
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [words for words in commands if word in words]


@pytest.mark.parametrize("address", ["127.0.0.1", "[::]", "[fe80::1:2]"])
def test_the_port_is_read_behind_any_address(address):
    assert re.search(backends.READY, f"Exporting HTTP/REST API at:{address}:8501 ...")[1] == "8501"
    assert re.search(backends.GRPC_PORT, f"Running gRPC ModelServer at {address}:8500 ...")[1] == "8500"


def test_a_missing_folder_says_what_is_there_instead(tmp_path):
    (tmp_path / "penguin").mkdir()
    with pytest.raises(ModelFolderError, match=r"Could not find base path .*penguins\. .* holds: penguin/\. Expected"):
        labkit.serve(tmp_path / "penguins")


def test_a_folder_of_a_single_version_says_to_pass_its_parent(half_plus_two):
    with pytest.raises(ModelFolderError, match=rf"itself a SavedModel.*Pass its parent, {half_plus_two}"):
        labkit.serve(half_plus_two / "1")


def test_a_saved_model_without_a_version_folder_says_to_move_it(half_plus_two, tmp_path):
    shutil.copytree(half_plus_two / "1", tmp_path / "flat")
    with pytest.raises(ModelFolderError, match=r"itself a SavedModel.*Move it into a folder 1"):
        labkit.serve(tmp_path / "flat")


def test_a_model_one_folder_too_deep_is_found(half_plus_two, tmp_path):
    shutil.copytree(half_plus_two, tmp_path / "models" / "deep")
    with pytest.raises(
        ModelFolderError, match=r"holds: deep/\. There is .*deep/1/saved_model\.pb: one folder too deep"
    ):
        labkit.serve(tmp_path / "models")


def test_a_version_without_a_saved_model_lists_what_it_holds(tmp_path):
    (tmp_path / "m" / "1" / "variables").mkdir(parents=True)
    with pytest.raises(ModelFolderError, match=r"1 holds no saved_model\.pb or .*\. It holds: variables/\."):
        labkit.serve(tmp_path / "m")


def test_a_server_that_is_not_ready_in_time_is_ended(half_plus_two, tmp_path, monkeypatch):
    command = tmp_path / "tensorflow_model_server"
    command.write_text("#!/bin/sh\nsleep 600\necho not reached\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ServerStartError, match=r"'half_plus_2' did not start: .* was not ready after 0\.5 s"):
        labkit.serve(half_plus_two, backend="binary", timeout=0.5)
    assert not _commands_with(str(command))


def test_an_unknown_backend_or_protocol_is_refused(half_plus_two):
    with pytest.raises(ValueError, match="one of embedded, binary, docker; got 'bentoml'"):
        labkit.serve(half_plus_two, backend="bentoml")
    with labkit.serve(half_plus_two) as server, pytest.raises(ValueError, match="'grpc' or 'rest', got 'soap'"):
        server.predict(INPUT, via="soap")


@pytest.mark.parametrize(("backend", "program"), [("binary", "tensorflow_model_server"), ("docker", "docker")])
def test_a_backend_that_is_not_installed_says_how_to_get_it(half_plus_two, monkeypatch, backend, program):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentProblem, match=f"{program} is not on the PATH: install"):
        labkit.serve(half_plus_two, backend=backend)


def test_no_server_survives_a_killed_jupyter_kernel(half_plus_two):
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()
    printed = []

    def hear(message):
        if message["content"].get("name") == "stdout":
            printed.append(message["content"]["text"])

    try:
        client.execute_interactive(
            f"import labkit\nserver = labkit.serve({str(half_plus_two)!r})\nprint(server.pid)",
            output_hook=hear,
            timeout=60,
        )
        server = int("".join(printed))
        assert runs(server)
        kernel = manager.provisioner.process
        kernel.kill()
        kernel.wait()
        assert_gone(server)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def assert_gone(pid):
    """Within the two seconds that are promised."""
    deadline = time.monotonic() + 2.0
    while runs(pid):
        assert time.monotonic() < deadline, "the server outlived its kernel by 2 s"
        time.sleep(0.02)
