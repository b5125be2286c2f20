"""The command line: every flag of `tensorflow_model_server`, what it takes and does (§1.1, §1.2, §1.4)."""

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from labkit.serving.embedded.flags import Flags
from labkit.serving.embedded.loader import session_config

from ..grpc_calls import calls, failure, request
from ..served import Served, until

GOOD = {"instances": [1.0]}

# Upstream's flags and defaults (§1.4).
DEFAULTS = {
    "port": "8500",
    "grpc_socket_path": '""',
    "rest_api_port": "0",
    "rest_api_num_threads": "0",  # there four times the processors, which 0 means here
    "rest_api_timeout_in_ms": "30000",
    "rest_api_enable_cors_support": "false",
    "model_name": "default",
    "model_base_path": '""',
    "model_config_file": '""',
    "model_config_file_poll_wait_seconds": "0",
    "file_system_poll_wait_seconds": "1",
    "max_num_load_retries": "1",  # there 5 [deviation §13]
    "load_retry_interval_micros": "100000",  # there a minute [deviation §13]
    "num_load_threads": "0",
    "num_unload_threads": "0",
    "enable_batching": "false",
    "batching_parameters_file": '""',
    "enable_per_model_batching_parameters": "false",
    "allow_version_labels_for_unavailable_models": "false",
    "enable_model_warmup": "true",
    "num_request_iterations_for_warmup": "0",
    "monitoring_config_file": '""',
    "ssl_config_file": '""',
    "use_alts_credentials": "false",
    "grpc_channel_arguments": '""',
    "grpc_max_threads": "0",  # as rest_api_num_threads
    "saved_model_tags": "serve",
    "prefer_tflite_model": "false",
    "num_tflite_pools": "0",
    "num_tflite_interpreters_per_pool": "0",
    "enable_signature_method_name_check": "false",
    "enable_grpc_healthcheck_service": "false",
    "enable_profiler": "true",
    "enable_serialization_as_tensor_content": "false",
    "tensorflow_session_parallelism": "0",
    "tensorflow_intra_op_parallelism": "0",
    "tensorflow_inter_op_parallelism": "0",
    "tensorflow_session_config_file": '""',
    "per_process_gpu_memory_fraction": "0.0",
    "flush_filesystem_caches": "true",
    "remove_unused_fields_from_bundle_metagraph": "true",
    "xla_cpu_compilation_enabled": "false",
    "xla_gpu_compilation_enabled": "false",
    "version": "false",
}
OURS = {
    "bind_address": "127.0.0.1",
    "drain_seconds": "30",
    "reload_timeout_seconds": "120",
    "aspired_version_policy": "availability_preserving",
    "strict_tensorflow_serving": "false",
    "tensorflow_runtime": "auto",
    "help": "false",
}
# One value that each of them takes; for switches what they are not by default, and without a value.
TAKEN = {
    "port": "0",
    "grpc_socket_path": "/tmp/serving.sock",
    "rest_api_num_threads": "16",
    "model_base_path": "/models/a=b,c",
    "file_system_poll_wait_seconds": "-1",
    "max_num_load_retries": "5",
    "load_retry_interval_micros": "3600000000",
    "grpc_channel_arguments": "grpc.max_connection_age_ms=2000,grpc.any=text",
    "saved_model_tags": "serve,gpu",
    "per_process_gpu_memory_fraction": "0.5",
    "tensorflow_session_config_file": "/tmp/session.config",
}

REFUSED = {
    # title: (flags, what stdout must hold)
    "§1.1 --name value": (["--model_base_path", "/tmp/m"], ["unknown argument: /tmp/m", "--name=value"]),
    "§1.1 a word": (["penguins"], ["unknown argument: penguins", "--name=value"]),
    "§1.1 one dash": (["-port=8500"], ["unknown argument: -port=8500"]),
    "§1.2 unknown flag [deviation]": (["--model_path=/tmp/m"], ["unknown argument: --model_path"]),
    "§1.2 a flag's beginning": (["--model_base=/tmp/m"], ["unknown argument: --model_base"]),
    "§1.2 a typing mistake": (
        ["--enable_baching=true"],
        ["unknown argument: --enable_baching=true (did you mean --enable_batching?)"],
    ),
    "§1.2 like no flag": (["--frob"], ["unknown argument: --frob\n"]),
    "§1.4 platform_config_file": (
        ["--platform_config_file=/tmp/p"],
        ["--platform_config_file=/tmp/p is not supported: the session is configured by"],
    ),
    "§1.4 thread_pool_factory_config_file": (
        ["--thread_pool_factory_config_file=/tmp/p"],
        ["--thread_pool_factory_config_file=/tmp/p is not supported: threads are set by"],
    ),
    "§1.4 mixed_precision": (["--mixed_precision=bfloat16"], ["is not supported: a model runs in the types"]),
    "§1.4 skip_initialize_tpu": (["--skip_initialize_tpu"], ["is not supported: there is no TPU"]),
    "§1.4 a number below 0": (["--rest_api_num_threads=-1"], ["--rest_api_num_threads"]),
    "§1.4 a number over 32 bits": (["--max_num_load_retries=2147483648"], ["--max_num_load_retries"]),
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
    """§1.2, §1.4: every flag with its default, on stdout, written as it must be; exit 255."""
    command = run("--help")
    assert command.exit_status() == 255
    assert dict(re.findall(r"^  --(\w+)=(.*)$", command.stdout, re.MULTILINE)) == DEFAULTS | OURS


@pytest.mark.parametrize("form", ["with the default", "with a value", "switches alone"])
def test_all_of_upstreams_flags_together(run, form: str) -> None:
    """§1.1, §1.4: none is unknown and none refuses what upstream takes; --version ends it before anything is used."""
    words = []
    for name, default in DEFAULTS.items():
        switch = default in ("true", "false")
        if form == "with the default" or not (switch or name in TAKEN):
            words.append(f"--{name}=" + default.strip('"'))
        elif switch and form == "with a value":
            words.append(f"--{name}=" + {"true": "false", "false": "true"}[default])
        else:
            words.append(f"--{name}={TAKEN[name]}" if name in TAKEN else f"--{name}")
    command = run(*words, "--version")
    assert command.exit_status() == 0, command.output
    assert command.stdout.startswith("TensorFlow ModelServer: ")


@pytest.mark.parametrize(("value", "headers"), [("=true", ["*"]), ("=false", [])])
def test_switches(serve, model: Path, value: str, headers: list[str]) -> None:
    """§1.1: the value counts; alone, as in the next tests, a switch is on."""
    server = serve("half", model, "--rest_api_enable_cors_support" + value)
    assert server.predict(GOOD).headers.get_all("Access-Control-Allow-Origin", []) == headers


def test_the_last_of_a_flag_counts(serve, model: Path) -> None:
    """What a container's entry point sets, flags behind the image's name set again."""
    server = serve("first", model, "--model_name=last")
    server.name = "last"
    assert server.predict(GOOD).json == {"predictions": [2.5]}


def test_version(run) -> None:
    """§1.2: two lines, exit 0."""
    command = run("--version")
    assert command.exit_status() == 0
    first, second = command.stdout.splitlines()
    assert first.startswith("TensorFlow ModelServer: ")
    assert second.startswith("TensorFlow Library: 2.")


@pytest.mark.parametrize(("threads", "answered"), [(1, False), (2, True)])
def test_threads_for_requests(serve, saved_models, threads: int, answered: bool) -> None:
    """§1.4 rest_api_num_threads, grpc_max_threads: a request that holds the only one keeps the others waiting."""
    flags = [f"--rest_api_num_threads={threads}", f"--grpc_max_threads={threads}", "--rest_api_timeout_in_ms=0"]
    flags += ["--tensorflow_inter_op_parallelism=8"]  # nobody waits for TensorFlow's own threads
    server: Served = serve("slow", saved_models.slow, *flags)
    body = b'{"signature_name": "wait", "inputs": {"seconds": 600, "x": 1}}'
    busy = psutil.Process(server.process.pid)
    before = sum(busy.cpu_times()[:2])
    with closing(server.connection()) as holding, calls(server.grpc_port) as grpc_calls:
        holding.request("POST", "/v1/models/slow:predict", body)
        until(lambda: sum(busy.cpu_times()[:2]) - before > 0.3, "the model runs")
        held = grpc_calls.prediction.Predict.future(request("slow", "wait", seconds=600.0, x=1.0), timeout=600)
        if answered:
            assert server.predict(GOOD).status == 200
            assert list(grpc_calls.predict(request("slow", x=[1.0])).outputs["y"].float_val) == [2.5]
        else:
            with pytest.raises(TimeoutError):
                server.ask("POST", "/v1/models/slow:predict", GOOD, timeout=1.0)
            assert failure(grpc_calls.predict, request("slow", x=[1.0]), timeout=1.0)[0] == "DEADLINE_EXCEEDED"
        assert not held.done()


def test_tensor_content(serve, saved_models) -> None:
    """§1.4 enable_serialization_as_tensor_content: numbers over gRPC; strings and REST as ever (ours)."""
    server = serve("many", saved_models.many, "--enable_serialization_as_tensor_content")
    with calls(server.grpc_port) as grpc_calls:
        y = grpc_calls.predict(request("many", x=[1.0, 2.0])).outputs["y"]
        assert (y.tensor_content.hex(), list(y.float_val)) == ("0000204000004040", [])
    assert server.predict(GOOD).json == {"predictions": [2.5]}
    assert server.predict({"signature_name": "echo_string", "instances": ["a"]}).json == {"predictions": ["a"]}


@pytest.mark.parametrize("kind", ["session", "intra_op", "inter_op"])
def test_session_threads(serve, model: Path, kind: str) -> None:
    """§1.4: each may stand alone, and makes so many threads."""
    server = serve("half", model, f"--tensorflow_{kind}_parallelism=300")
    assert server.predict(GOOD).json == {"predictions": [2.5]}
    assert psutil.Process(server.process.pid).num_threads() > 300 * (2 if kind == "session" else 1)


def test_never_looking(start_error, run, model: Path) -> None:
    """§1.4 file_system_poll_wait_seconds: below 0 it would wait for ever, and does if strict [deviation §13]."""
    flags = ("--port=auto", f"--model_base_path={model}", "--file_system_poll_wait_seconds=-1")
    assert start_error(*flags).startswith("INVALID_ARGUMENT: --file_system_poll_wait_seconds below 0 never looks")
    command = run(*flags, "--strict_tensorflow_serving")
    until(lambda: "(Re-)adding model: default" in command.stderr, "it has begun", 60)
    assert command.process.poll() is None


def test_a_share_of_the_gpu(tmp_path: Path) -> None:
    """§1.4 per_process_gpu_memory_fraction: the session is told; its configuration file has the last word."""
    flags = Flags(per_process_gpu_memory_fraction=0.25)
    assert session_config(flags).gpu_options.per_process_gpu_memory_fraction == 0.25
    file = tmp_path / "session.config"
    file.write_text("gpu_options { per_process_gpu_memory_fraction: 0.5 }", encoding="utf-8")
    flags = replace(flags, tensorflow_session_config_file=str(file))
    assert session_config(flags).gpu_options.per_process_gpu_memory_fraction == 0.5


def test_a_session_config_file_that_does_not_parse(run, model: Path, tmp_path: Path) -> None:
    """§1.4: refused with the place."""
    file = tmp_path / "session.config"
    file.write_text("inter_op_parallelism_treads: 1")
    command = run(f"--model_base_path={model}", f"--tensorflow_session_config_file={file}")
    assert command.exit_status() == 255
    assert f"INVALID_ARGUMENT: Invalid protobuf file: '{file}'" in command.stdout
    assert "1:1" in command.stdout


def test_parallelism_flags(start_error, model: Path) -> None:
    """§1.4: all three at once are a start error."""
    flags = [f"--tensorflow_{kind}_parallelism=1" for kind in ("session", "intra_op", "inter_op")]
    assert start_error("--port=auto", f"--model_base_path={model}", *flags).startswith("INVALID_ARGUMENT: ")
