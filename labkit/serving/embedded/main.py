"""The server's process: flags in, ports open once every model answers, a draining end."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from labkit import __version__
from labkit.errors import EnvironmentProblem
from labkit.serving.embedded import config as model_config
from labkit.serving.embedded import config_protos, protos
from labkit.serving.embedded import flags as command_line
from labkit.serving.embedded.config import ModelConfig
from labkit.serving.embedded.flags import AUTO, Flags
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.storage import model_files

if TYPE_CHECKING:
    from labkit.serving.embedded.listeners import Listeners
    from labkit.serving.embedded.manager import ManagerOptions, ModelManager

logger = logging.getLogger("labkit.serving")
START_FAILURE = 255
# Sockets are then read by the thread that also takes finished calls: a fifth less processor time for a small call.
GRPC_EXPERIMENTS = "-event_engine_listener"
# oneDNN's convolutions end the process, and with it everybody's server, when an input has too few dimensions
# (TensorFlow's issue 111453, mended after 2.21). A small CNN takes half as long again without them; 1 in the
# environment brings them back. The labs' own TensorFlow has 0, too.
ONEDNN = "0"
_MACOS_OPEN_FILES = 10_240  # OPEN_MAX: macOS says that there is no limit, and then allows no more


def main(argv: list[str]) -> int:
    """Serve until told to stop; the exit status: 0 after SIGTERM or SIGINT, 255 when the start failed."""
    try:
        flags = command_line.parse(argv)
    except command_line.FlagError as error:
        _say(f"{error}\n{command_line.usage()}")
        return _refuse(invalid_argument(str(error)))
    if flags.help:
        _say(command_line.usage())
        return START_FAILURE
    if flags.version:
        _say(f"TensorFlow ModelServer: labkit {__version__} (embedded)\nTensorFlow Library: {_tensorflow_version()}")
        return 0
    _log_to_stderr()
    try:
        _check(flags)
        configs = _configured(flags)
        _prepare_runtime(flags)
        _event_loop().run(_serve(flags, configs))
    except (StatusError, EnvironmentProblem) as error:
        if isinstance(error, config_protos.ParseError):
            logger.error(error.reason)  # stderr is where upstream's users look for it
        return _refuse(error)
    return 0


def _refuse(error: Exception) -> int:
    _say(f"Failed to start server. Error: {error}")
    return START_FAILURE


def _say(text: str) -> None:
    """Print `text`. Where that fails (a full disk, a pipe nobody reads) the exit status has to tell all."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries once more when it ends


def _tensorflow_version() -> str:
    from importlib.metadata import version

    return version("tensorflow")


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03d: %(levelname).1s %(name)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )


def _check(flags: Flags) -> None:
    parallelism = ("session", "intra_op", "inter_op")
    if all(getattr(flags, _parallelism_flag(kind)) for kind in parallelism):
        raise invalid_argument("Set tensorflow_session_parallelism, or the intra_op and inter_op flags, not all three.")
    if not (flags.port or flags.grpc_socket_path):
        raise invalid_argument(
            "--port=0 leaves no gRPC listener: pass --grpc_socket_path=PATH too, or --port=auto for a free port"
        )
    same = flags.port == flags.rest_api_port and flags.port not in (0, AUTO)
    if same and not flags.strict_tensorflow_serving:
        raise invalid_argument(f"--port and --rest_api_port are both {flags.port}; each needs its own")
    if flags.file_system_poll_wait_seconds < 0 and not flags.strict_tensorflow_serving:
        raise invalid_argument("--file_system_poll_wait_seconds below 0 never looks for a model; 0 looks once")


def _configured(flags: Flags) -> list[ModelConfig]:
    """The models to serve from the start; unless it is strict, each must have something to serve."""
    if flags.model_config_file:
        configs = _read(flags) or []
    else:
        configs = [model_config.single_model(flags.model_name, flags.model_base_path)]
    if not flags.strict_tensorflow_serving:
        for config in configs:
            model_config.check_folder(config, model_files(prefer_tflite=flags.prefer_tflite_model))
    return configs


def _read(flags: Flags) -> list[ModelConfig] | None:
    """The models of the config file; None when it has no list at all."""
    from labkit.serving.embedded.session import choose_runtime

    if choose_runtime(flags.tensorflow_runtime) == "c_api":
        protos.without_python_tensorflow()
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    message = config_protos.read(ModelServerConfig, flags.model_config_file)
    kind = message.WhichOneof("config")
    if kind == "custom_model_config":
        raise invalid_argument(
            f"{flags.model_config_file}: custom_model_config is not supported; use model_config_list"
        )
    return None if kind is None else model_config.from_proto(message.model_config_list.config)


def _parallelism_flag(kind: str) -> str:
    return f"tensorflow_{kind}_parallelism"


def _prepare_runtime(flags: Flags) -> None:
    """Open TensorFlow's library in a thread: Python's own imports go on meanwhile."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", ONEDNN)
    from labkit.serving.embedded import c_api, memory
    from labkit.serving.embedded.session import choose_runtime

    memory.use_the_systems()
    memory.keep_between_requests()
    if choose_runtime(flags.tensorflow_runtime) == "c_api":
        protos.without_python_tensorflow()
        c_api.library_path()
        threading.Thread(target=c_api.library, daemon=True).start()


def _event_loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _serve(flags: Flags, configs: list[ModelConfig]) -> None:
    from labkit.serving.embedded.listeners import Listeners
    from labkit.serving.embedded.loader import Loader
    from labkit.serving.embedded.manager import ModelManager
    from labkit.serving.embedded.metrics import configured as configured_metrics

    _raise_open_files()
    stop = asyncio.Event()
    _on_signals(stop)
    _log_configuration(flags, configs)
    metrics = configured_metrics(flags)
    manager = ModelManager(Loader(flags, metrics), _manager_options(flags))
    listeners = Listeners(manager, flags, metrics)
    starting = asyncio.create_task(_start(manager, listeners, configs))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()  # raises what the start failed with
        polling = asyncio.create_task(_poll_config_file(manager, flags))
        await stopping
        polling.cancel()
    starting.cancel()
    logger.info("Stopping: no new requests, up to %s s for those in flight", flags.drain_seconds)
    await manager.stop()
    await listeners.drain(flags.drain_seconds)
    logger.info("Stopped")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a full disk
            stream.flush()
    os._exit(0)  # TensorFlow's threads and loaded models need no tidying; the process's end frees them


def _log_configuration(flags: Flags, configs: list[ModelConfig]) -> None:
    if flags.model_config_file:
        logger.info("%s models from %s", len(configs), flags.model_config_file)
        if not configs:
            logger.info("Taking no action for empty config.")
        return
    logger.info(
        "Building single TensorFlow model file config:  model_name: %s model_base_path: %s",
        configs[0].name,
        configs[0].base_path,
    )


def _manager_options(flags: Flags) -> "ManagerOptions":
    from labkit.serving.embedded.manager import ManagerOptions
    from labkit.serving.embedded.versions import AspiredVersionPolicy

    return ManagerOptions(
        poll_seconds=flags.file_system_poll_wait_seconds,
        retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
        policy=AspiredVersionPolicy(flags.aspired_version_policy),
        labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        load_threads=flags.num_load_threads,
        model_files=model_files(prefer_tflite=flags.prefer_tflite_model),
        strict=flags.strict_tensorflow_serving,
    )


async def _start(manager: "ModelManager", listeners: "Listeners", configs: list[ModelConfig]) -> None:
    await manager.start(configs)
    await listeners.open()


async def _poll_config_file(manager: "ModelManager", flags: Flags) -> None:
    """Put the config file in force again and again, as upstream: also when it has not changed."""
    seconds, complaint = flags.model_config_file_poll_wait_seconds, ""
    patience = None if flags.strict_tensorflow_serving else flags.reload_timeout_seconds or None
    outcomes = {Code.UNKNOWN: "is in force, but", Code.DEADLINE_EXCEEDED: "is read:"}
    while flags.model_config_file and seconds > 0:
        await asyncio.sleep(seconds)
        try:
            configs = await asyncio.to_thread(_read, flags)
            if configs is None and not manager.models:  # it was empty at the start, too
                logger.info("Taking no action for empty config.")
                continue
            if configs is None:
                raise model_config.no_transition()
            await manager.reload(configs, patience)
            complaint = ""
        except StatusError as error:
            if str(error) != complaint:
                outcome = outcomes.get(error.code, "is not put in force:")
                logger.error("%s %s %s", flags.model_config_file, outcome, error)
            complaint = str(error)


def _raise_open_files() -> None:
    """Every connection takes a file descriptor, and many systems allow a thousand at first."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (most, _MACOS_OPEN_FILES):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            return


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in {signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGBREAK", signal.SIGINT)}:  # the last: Windows
        try:
            loop.add_signal_handler(number, _stop_or_leave, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(_stop_or_leave, stop))


def _stop_or_leave(stop: asyncio.Event) -> None:
    """The first signal drains, a second one does not wait for that."""
    if stop.is_set():
        os._exit(1)
    stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
