"""The command: flags, start, what it says (§1)."""

import http.client
import os
import re
import signal
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from labkit.serving import backends

from ..grpc_calls import calls, request
from ..served import ask_on, until
from .test_warmup import add_version, predict

GOOD = {"instances": [1.0]}


def test_no_base_path(start_error) -> None:
    """§1.3, §1.5."""
    assert start_error("--port=auto").startswith(
        "INVALID_ARGUMENT: Both server_options.model_base_path and server_options.model_config_file are empty!"
    )


def test_relative_base_path(start_error) -> None:
    """§1.6; the hint is ours: the same path made absolute."""
    error = start_error("--port=auto", "--model_name=m", "--model_base_path=models/m")
    assert error.startswith(
        "INVALID_ARGUMENT: Expected model m to have an absolute path or URI; got base_path()=models/m"
    )
    assert os.path.join("models", "m") in error.split("got base_path()=models/m")[1]


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
def test_a_wrong_folder_is_said_at_once(start_error, tmp_path: Path, title: str) -> None:
    """§1.8 waits for ever in silence; this server says what it found and what it expected [deviation §13]."""
    entries, base, names = FOLDERS[title]
    for entry in entries:
        place = tmp_path / entry
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir() if entry.endswith("/") else place.touch()
    error = start_error("--port=auto", "--rest_api_port=auto", "--model_name=m", f"--model_base_path={tmp_path / base}")
    assert error.split(":")[0] in ("NOT_FOUND", "INVALID_ARGUMENT")
    assert str(tmp_path / base) in error
    for name in names:
        assert name in error


def test_a_first_version_that_does_not_load(start_error, tmp_path: Path) -> None:
    """§1.7: exit with UNKNOWN, naming servable and reason."""
    _add_broken(tmp_path / "m", "3")
    error = start_error("--port=auto", "--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    assert error.startswith("UNKNOWN: 1 servable(s) did not become available: {{name: m version: 3} due to error: ")


def _add_broken(base: Path, number: str) -> None:
    (base / number).mkdir(parents=True)
    (base / number / "saved_model.pb").write_bytes(b"no SavedModel")


def test_one_version_of_several_is_enough(serve, start_error, saved_models, tmp_path: Path) -> None:
    """§1.7: upstream and strict end when the first to finish fails; here any other version will do [deviation §13]."""
    base = tmp_path / "m"
    saved_models.add_version(base, "1")
    _add_broken(base, "2")
    config = tmp_path / "models.config"
    policy = "model_version_policy { all {} }"
    entry = f'config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" {policy} }}'
    config.write_text(f"model_config_list {{ {entry} }}")
    flags = [f"--model_config_file={config}", "--num_load_threads=1", "--max_num_load_retries=0"]
    assert serve("m", base, *flags).states() == {2: "END", 1: "AVAILABLE"}
    error = start_error("--port=auto", *flags, "--strict_tensorflow_serving")
    assert error.startswith("UNKNOWN: 1 servable(s) did not become available: {{name: m version: 2} due to error: ")


def test_loads_that_have_begun_end_first(serve, saved_models, tmp_path: Path) -> None:
    """§1.7: with several versions, the ports open when the last of them is loaded."""
    base, numbers = tmp_path / "m", range(1, 13)
    for number in numbers:
        saved_models.add_version(base, str(number))
    config = tmp_path / "models.config"
    policy = "model_version_policy { all {} }"
    entry = f'config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" {policy} }}'
    config.write_text(f"model_config_list {{ {entry} }}")
    server = serve("m", base, f"--model_config_file={config}", "--num_load_threads=1")
    assert server.states() == dict.fromkeys(reversed(numbers), "AVAILABLE")


@pytest.mark.parametrize(("threads", "order"), [(1, ["2", "1"]), (2, ["1", "2"])])
def test_so_many_versions_load_at_a_time(serve, saved_models, tmp_path: Path, threads: int, order: list[str]) -> None:
    """§1.4 num_load_threads: version 2, whose warm-up takes long, comes first and holds version 1 up, or does not."""
    base, config = tmp_path / "m", tmp_path / "models.config"
    add_version(saved_models.slow, base, 1, [])
    add_version(saved_models.slow, base, 2, [predict(1.0, signature="wait", seconds=[3.0])])
    policy = "model_version_policy { all {} }"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" {policy} }} }}'
    )
    server = serve("m", base, f"--model_config_file={config}", f"--num_load_threads={threads}")
    assert re.findall(r"Successfully loaded servable version {name: m version: (\d)}", server.stderr) == order


def test_strict_says_what_it_waits_for(run, tmp_path: Path) -> None:
    """§1.8: upstream's words, once."""
    command = run("--port=auto", "--model_name=m", f"--model_base_path={tmp_path}", "--strict_tensorflow_serving")
    expected = (
        f"No versions of servable m found under base path {tmp_path}. Did you forget to name your leaf directory as a "
        "number (eg. '/1/')?"
    )
    until(lambda: expected in command.stderr, "the log names the folder", 60)
    assert command.process.poll() is None


def test_file_uri(serve, start_error, model: Path) -> None:
    """§1.6: a path or a URI; those that name another machine are refused (§13)."""
    assert serve("half", f"file://{model}").predict(GOOD).json == {"predictions": [2.5]}
    for uri in ("gs://bucket/model", "s3://bucket/model", "file://host/model"):
        error = start_error("--port=auto", "--model_name=m", f"--model_base_path={uri}")
        assert error.startswith(f"UNIMPLEMENTED: Model m has base_path {uri}")


def test_what_it_logs(serve, model: Path) -> None:
    """§1.9: the lines that tutorials look for, on stderr, in this order; stdout stays empty."""
    server = serve("half", model)
    place = 0
    for line in (
        "Building single TensorFlow model file config:  model_name: half model_base_path: " + str(model),
        "Adding/updating models.",
        " (Re-)adding model: half",
        "Successfully loaded servable version {name: half version: 1}",
        f"Running gRPC ModelServer at 127.0.0.1:{server.grpc_port} ...",
        f"Exporting HTTP/REST API at:127.0.0.1:{server.rest_port} ...",
    ):
        place = server.stderr.find(line, place)
        assert place >= 0, f"{line!r} is missing or too early in\n{server.stderr}"
    assert server.stdout == ""


def test_ports_open_only_when_the_model_answers(run, saved_models, tmp_path: Path) -> None:
    """§1.7: whoever can connect gets an answer, over both protocols; before, nobody can."""
    add_version(saved_models.slow, tmp_path / "m", 1, [predict(1.0, signature="wait", seconds=[2.0])])
    command = run("--port=auto", "--rest_api_port=auto", "--model_name=m", f"--model_base_path={tmp_path / 'm'}")

    def open_ports() -> list[int]:
        connections = psutil.Process(command.process.pid).net_connections("inet")
        ports = [connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN]
        if "Successfully loaded servable version" not in command.stderr:
            assert not ports, "open before the model was loaded"
        return ports

    until(lambda: len(open_ports()) == 2, "both ports are open", 60)
    until(lambda: "Exporting HTTP/REST API" in command.stderr, "and in the log")
    grpc_port, rest_port = (int(re.search(line, command.stderr)[1]) for line in (backends.GRPC_PORT, backends.READY))
    with closing(http.client.HTTPConnection("127.0.0.1", rest_port, timeout=60)) as connection:
        assert ask_on(connection, "POST", "/v1/models/m:predict", GOOD).json == {"predictions": [2.5]}
    with calls(grpc_port) as grpc_calls:
        assert list(grpc_calls.predict(request("m", x=[1.0])).outputs["y"].float_val) == [2.5]


def test_a_signal_during_the_start_ends_it(run, model: Path) -> None:
    command = run("--port=auto", "--rest_api_port=auto", f"--model_base_path={model}")
    until(lambda: "Building single TensorFlow model" in command.stderr, "starting", 60)
    command.process.terminate()
    assert command.exit_status(30) in (0, -signal.SIGTERM)
