"""The server's process: flags in, ports open once every model answers, a draining end."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import __version__
from labkit.errors import EnvironmentProblem
from labkit.serving.embedded import flags as command_line
from labkit.serving.embedded import protos
from labkit.serving.embedded.config import ModelConfig, check_folder, single_model
from labkit.serving.embedded.flags import AUTO, Flags
from labkit.serving.embedded.status import StatusError, invalid_argument

if TYPE_CHECKING:
    from tensorflow.core.protobuf.config_pb2 import ConfigProto

    from labkit.serving.embedded.listeners import Listeners
    from labkit.serving.embedded.versions import ModelManager

logger = logging.getLogger("labkit.serving")
START_FAILURE = 255
# Sockets are then read by the thread that also takes finished calls: a fifth less processor time for a small call.
GRPC_EXPERIMENTS = "-event_engine_listener"


def main(argv: list[str]) -> int:
    """Serve until told to stop; the exit status: 0 after SIGTERM or SIGINT, 255 when the start failed."""
    try:
        flags = command_line.parse(argv)
    except command_line.FlagError as error:
        print(f"{error}\n{command_line.usage()}")
        return _refuse(invalid_argument(str(error)))
    if flags.help:
        print(command_line.usage(), flush=True)
        return START_FAILURE
    if flags.version:
        print(f"TensorFlow ModelServer: labkit {__version__} (embedded)\nTensorFlow Library: {_tensorflow_version()}")
        return 0
    _log_to_stderr()
    try:
        config = _model_config(flags)
        check_folder(config)
        _prepare_runtime(flags)
        _event_loop().run(_serve(flags, config))
    except (StatusError, EnvironmentProblem) as error:
        return _refuse(error)
    return 0


def _refuse(error: Exception) -> int:
    print(f"Failed to start server. Error: {error}", flush=True)
    return START_FAILURE


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


def _model_config(flags: Flags) -> ModelConfig:
    parallelism = ("session", "intra_op", "inter_op")
    if all(getattr(flags, _parallelism_flag(kind)) for kind in parallelism):
        raise invalid_argument("Set tensorflow_session_parallelism, or the intra_op and inter_op flags, not all three.")
    if not flags.port:
        raise invalid_argument("--port=0 leaves no gRPC port; --port=auto takes a free one")
    if flags.port == flags.rest_api_port != AUTO:
        raise invalid_argument(f"--port and --rest_api_port are both {flags.port}; each needs its own")
    return single_model(flags.model_name, flags.model_base_path)


def _parallelism_flag(kind: str) -> str:
    return f"tensorflow_{kind}_parallelism"


def _prepare_runtime(flags: Flags) -> None:
    """Open TensorFlow's library in a thread: Python's own imports go on meanwhile."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    from labkit.serving.embedded import c_api
    from labkit.serving.embedded.session import choose_runtime

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


def _session_config(flags: Flags) -> "ConfigProto":
    from tensorflow.core.protobuf.config_pb2 import ConfigProto

    return ConfigProto(
        allow_soft_placement=True,  # a model made on a GPU also loads without one
        intra_op_parallelism_threads=flags.tensorflow_intra_op_parallelism or flags.tensorflow_session_parallelism,
        inter_op_parallelism_threads=flags.tensorflow_inter_op_parallelism or flags.tensorflow_session_parallelism,
    )


async def _serve(flags: Flags, config: ModelConfig) -> None:
    from labkit.serving.embedded.listeners import Listeners
    from labkit.serving.embedded.session import Session, load
    from labkit.serving.embedded.storage import VersionFolder
    from labkit.serving.embedded.versions import ModelManager

    _raise_open_files()
    stop = asyncio.Event()
    _on_signals(stop)
    tags, session_config = flags.saved_model_tags.split(","), _session_config(flags)

    def load_version(folder: VersionFolder) -> Session:
        return load(Path(folder.path), tags, session_config, flags.tensorflow_runtime)

    logger.info(
        "Building single TensorFlow model file config:  model_name: %s model_base_path: %s",
        config.name,
        config.base_path,
    )
    manager = ModelManager(
        load_version,
        retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
    )
    listeners = Listeners(manager, flags)
    starting = asyncio.create_task(_start(manager, listeners, config, flags))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()  # raises what the start failed with
        await stopping
    logger.info("Stopping: no new requests, up to %s s for those in flight", flags.drain_seconds)
    await manager.stop()
    await listeners.drain(flags.drain_seconds)
    logger.info("Stopped")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # TensorFlow's threads and loaded models need no tidying; the process's end frees them


async def _start(manager: "ModelManager", listeners: "Listeners", config: ModelConfig, flags: Flags) -> None:
    await manager.start([config], flags.file_system_poll_wait_seconds)
    await listeners.open()


def _raise_open_files() -> None:
    """Every connection takes a file descriptor, and many systems allow a thousand at first."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
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
