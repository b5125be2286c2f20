"""The command line: `tensorflow_model_server`'s flags, and a few of our own.

As there, a flag is one word, ``--name=value``; a switch may stand alone. Unlike there, an unknown word is an error.
"""

import argparse
import difflib
import textwrap
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, NoReturn

AUTO = "auto"


# Flags that TensorFlow Serving has and this server has not, and why.
_REFUSED = {
    "platform_config_file": "the session is configured by --tensorflow_session_config_file and --saved_model_tags",
    "thread_pool_factory_config_file": "threads are set by the --tensorflow_..._parallelism flags",
    "mixed_precision": "a model runs in the types it was saved with",
    "skip_initialize_tpu": "there is no TPU support",
    "use_tflite_model": "write --prefer_tflite_model",
}


class FlagError(Exception):
    """The command line cannot be understood."""


def _port(text: str) -> int | str:
    if text == AUTO:
        return AUTO
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


def _switch(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _whole(text: str) -> int:
    number = int(text)
    if not -(1 << 31) <= number < 1 << 31:
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = _whole(text)
    if number < 0:
        raise ValueError(text)
    return number


def _micros(text: str) -> int:
    number = int(text)  # 64 bits, as there: in 32, an hour would not fit
    if not 0 <= number < 1 << 63:
        raise ValueError(text)
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError(text)
    return number


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """gRPC's channel arguments, written as ``name=value,name=value``; a value is a number if it is a 32-bit one.

    Raises:
        ValueError: a part is not of that form.
    """
    found: list[tuple[str, int | str]] = []
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        if not (name.strip() and equals):
            raise ValueError(part)
        try:
            found.append((name.strip(), _whole(value)))
        except ValueError:
            found.append((name.strip(), value))
    return found


def _channel_arguments(text: str) -> str:
    channel_arguments(text)
    return text


_whole.__name__, _count.__name__ = "32-bit number", "number from 0 on"
_channel_arguments.__name__ = "name=value,name=value"
_fraction.__name__ = "number from 0 to 1"
_micros.__name__ = "64-bit number from 0 on"
_port.__name__, _switch.__name__ = "port number (or auto)", "true or false"


def _flag(default: Any, text: str, *, kind: Any = None, choices: tuple[str, ...] | None = None) -> Any:
    kind = kind or {bool: _switch, int: _count, str: str}[type(default)]
    return field(default=default, metadata={"help": text, "kind": kind, "choices": choices})


@dataclass(frozen=True)
class Flags:
    """The parsed command line; the attributes are the flags."""

    port: int | str = _flag(8500, "gRPC port; 'auto' (ours) takes a free one and logs it", kind=_port)
    rest_api_port: int | str = _flag(0, "REST port, 0 for no REST; 'auto' (ours) takes a free one", kind=_port)
    grpc_socket_path: str = _flag("", "unix socket at which gRPC listens, too; alone with --port=0")
    model_name: str = _flag("default", "what clients call the model")
    model_base_path: str = _flag("", "absolute path of the folder that holds the version folders")
    model_config_file: str = _flag("", "text file (ModelServerConfig) that names the models, in place of the two above")
    model_config_file_poll_wait_seconds: int = _flag(0, "seconds between two looks at that file; 0 reads it once")
    file_system_poll_wait_seconds: int = _flag(
        1, "seconds between two looks for new versions; 0 looks once", kind=_whole
    )
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "a new label may stand for a version that is not loaded"
    )
    num_load_threads: int = _flag(0, "versions that load at a time; 0 means four for each CPU")
    num_unload_threads: int = _flag(0, "accepted, has no effect: unloading never keeps other versions waiting")
    max_num_load_retries: int = _flag(1, "retries of a load that failed")
    load_retry_interval_micros: int = _flag(100_000, "microseconds between them", kind=_micros)
    enable_model_warmup: bool = _flag(
        True, "before a version is available it answers its assets.extra/tf_serving_warmup_requests"
    )
    num_request_iterations_for_warmup: int = _flag(0, "how often it answers each of them; 0 means once")
    saved_model_tags: str = _flag("serve", "comma-separated tags of the MetaGraphDef to load")
    prefer_tflite_model: bool = _flag(
        False, "a version's model.tflite wins over its SavedModel (package ai-edge-litert)"
    )
    num_tflite_pools: int = _flag(0, "pools of interpreters for each .tflite model; 0 means one for each CPU")
    num_tflite_interpreters_per_pool: int = _flag(0, "interpreters in such a pool; 0 means 1")
    rest_api_timeout_in_ms: int = _flag(30_000, "longest run of a model for one REST request, in milliseconds")
    rest_api_num_threads: int = _flag(0, "threads that answer REST requests; 0 means four for each CPU")
    rest_api_enable_cors_support: bool = _flag(False, "answer with CORS headers, for requests from web pages")
    grpc_max_threads: int = _flag(0, "threads that answer gRPC requests; 0 means four for each CPU")
    grpc_channel_arguments: str = _flag("", "arguments of gRPC's server: name=value,...", kind=_channel_arguments)
    ssl_config_file: str = _flag("", "text file (SSLConfig) that makes gRPC speak TLS; REST stays plain HTTP")
    use_alts_credentials: bool = _flag(False, "refused: Google Cloud's ALTS is not supported")
    enable_grpc_healthcheck_service: bool = _flag(False, "answer grpc.health.v1.Health")
    enable_profiler: bool = _flag(True, "answer tensorflow.ProfilerService, TensorBoard's 'Capture profile', over gRPC")
    monitoring_config_file: str = _flag("", "text file (MonitoringConfig) that makes REST answer with metrics, too")
    enable_signature_method_name_check: bool = _flag(
        False, "a signature answers only the calls that its method_name is for"
    )
    enable_serialization_as_tensor_content: bool = _flag(False, "gRPC answers carry tensor_content")
    tensorflow_session_parallelism: int = _flag(0, "threads for and within operations; 0 lets TensorFlow choose")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads within one operation")
    tensorflow_inter_op_parallelism: int = _flag(0, "operations that run side by side")
    tensorflow_session_config_file: str = _flag("", "text file (ConfigProto) that configures TensorFlow's session")
    per_process_gpu_memory_fraction: float = _flag(
        0.0, "the part of a GPU's memory that this server takes; 0 lets TensorFlow choose", kind=_fraction
    )
    xla_cpu_compilation_enabled: bool = _flag(False, "accepted, has no effect: models made with XLA always run")
    xla_gpu_compilation_enabled: bool = _flag(False, "accepted, has no effect: models made with XLA always run")
    flush_filesystem_caches: bool = _flag(True, "accepted, has no effect")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(True, "accepted, has no effect")
    aspired_version_policy: str = _flag(
        "availability_preserving",
        "ours: resource_preserving frees the old version before the new one loads; nobody answers in between",
        choices=("availability_preserving", "resource_preserving"),
    )
    reload_timeout_seconds: int = _flag(120, "ours: longest wait for the new models of a reload; 0 or strict: no limit")
    strict_tensorflow_serving: bool = _flag(
        False, "ours: as TensorFlow Serving also where this server is kinder (docs/model-server.md)"
    )
    enable_batching: bool = _flag(False, "run requests that come at the same time together")
    batching_parameters_file: str = _flag("", "text file (BatchingParameters) that says how; for all models")
    enable_per_model_batching_parameters: bool = _flag(
        False, "each version's batching_params.pbtxt says how; a model without it is not batched"
    )
    bind_address: str = _flag("127.0.0.1", "ours: address to listen on; 0.0.0.0 lets other machines in")
    drain_seconds: int = _flag(30, "ours: after SIGTERM, wait so long for requests in flight")
    tensorflow_runtime: str = _flag(
        AUTO, "ours: how TensorFlow is reached: c_api, python, or auto", choices=(AUTO, "c_api", "python")
    )
    version: bool = _flag(False, "print the version and exit")
    help: bool = _flag(False, "print this and exit")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FlagError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("labkit serve", add_help=False, allow_abbrev=False, usage="labkit serve --flag=value ...")
    for flag in fields(Flags):
        parser.add_argument(f"--{flag.name}", **_argument(flag))
    return parser


def _argument(flag: Field[Any]) -> dict[str, Any]:
    assert flag.default is not MISSING
    switch = {"nargs": "?", "const": True} if isinstance(flag.default, bool) else {}
    return {"type": flag.metadata["kind"], "default": flag.default, "choices": flag.metadata["choices"], **switch}


def usage() -> str:
    """The text that ``--help`` prints: every flag as it is written, with its default."""
    lines = ["usage: labkit serve --flag=value ..."]
    for flag in fields(Flags):
        default = str(flag.default).lower() if isinstance(flag.default, bool) else str(flag.default)
        lines.append(f"  --{flag.name}=" + (default or '""'))
        lines += textwrap.wrap(flag.metadata["help"], initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines) + "\n"


def parse(argv: list[str]) -> Flags:
    """Parse the words behind the command's name.

    Raises:
        FlagError: an unknown flag, a value that does not parse, or a word that is no flag.
    """
    for word in argv:
        if not word.startswith("--"):
            raise FlagError(f"unknown argument: {word} (write flags as one word: --name=value)")
    known, unknown = _parser().parse_known_args(argv)
    if unknown:
        raise FlagError(_refusal(unknown[0]))
    return Flags(**vars(known))


def _refusal(word: str) -> str:
    name = word[2:].partition("=")[0]
    if reason := _REFUSED.get(name):
        return f"{word} is not supported: {reason}"
    similar = difflib.get_close_matches(name, [flag.name for flag in fields(Flags)], n=1)
    return f"unknown argument: {word}" + "".join(f" (did you mean --{flag}?)" for flag in similar)
