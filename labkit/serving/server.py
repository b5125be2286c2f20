"""A running model server in one call, whichever program it is."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from labkit import processes
from labkit.errors import ModelFolderError, ProcessError, ServerStartError
from labkit.serving import backends
from labkit.serving.embedded.config import ModelConfig, check_folder
from labkit.serving.embedded.flags import Flags
from labkit.serving.embedded.status import StatusError
from labkit.serving.embedded.storage import model_files
from labkit.serving.grpc_client import GrpcClient
from labkit.serving.rest_client import RestClient
from labkit.serving.version_status import VersionStatus

if TYPE_CHECKING:
    import grpc

_running: dict[tuple[str, str], "ModelServer"] = {}
_BEYOND_DRAIN_SECONDS = 5.0  # a server that has drained needs them to end


class ModelServer:
    """A model server that runs until `stop`, the end of its `with` block, or the end of this Python process.

    Attributes:
        name: the model's name.
        backend: which program it is.
        rest_url: where REST clients find it, as in ``http://127.0.0.1:41234``.
        grpc_address: where gRPC clients find it, as in ``127.0.0.1:41235``.
        rest: a client for its REST API.
        grpc: a client for its gRPC API.
    """

    def __init__(
        self,
        name: str,
        backend: str,
        process: processes.ManagedProcess,
        launch: backends.Launch,
        credentials: "grpc.ChannelCredentials | None" = None,
        drain_seconds: float = Flags.drain_seconds,
    ) -> None:
        """Use `serve`."""
        self.name = name
        self.backend = backend
        self._process = process
        self._stop_seconds = drain_seconds + _BEYOND_DRAIN_SECONDS
        self._memory = launch.memory or process.memory
        self.rest_url = f"http://127.0.0.1:{launch.rest_port or _logged_port(process, backends.READY)}"
        self.grpc_address = f"127.0.0.1:{launch.grpc_port or _logged_port(process, backends.GRPC_PORT)}"
        self.rest = RestClient(self.rest_url, name)
        self.grpc = GrpcClient(self.grpc_address, name, credentials=credentials)

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self._process.running

    @property
    def pid(self) -> int:
        """Its process id; with Docker that of the docker command."""
        return self._process.pid

    def predict(
        self,
        inputs: Any,
        *,
        via: str = "grpc",
        signature_name: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> Any:
        """Ask the model over gRPC or REST; see `GrpcClient.predict` and `RestClient.predict`.

        Raises:
            RequestError: the server refused, or has ended.
            ValueError: `via` is neither ``grpc`` nor ``rest``, or both `version` and `label` are given.
        """
        clients: dict[str, GrpcClient | RestClient] = {"grpc": self.grpc, "rest": self.rest}
        if via not in clients:
            raise ValueError(f"via is 'grpc' or 'rest', got {via!r}")
        return clients[via].predict(inputs, signature_name=signature_name, version=version, label=label)

    def status(self) -> list[VersionStatus]:
        """The state of every version the server has seen, newest first."""
        return self.rest.status()

    def logs(self) -> str:
        """What the server has written so far."""
        return self._process.log()

    def memory(self) -> int:
        """Resident memory of the server in bytes, of a container's processes where it is one; 0 once it has ended."""
        return self._memory() if self.running else 0

    def stop(self) -> None:
        """End the server; requests in flight are answered first. Calling it again does nothing."""
        self._process.stop(self._stop_seconds)
        self.rest.close()
        self.grpc.close()  # which gives up the calls that have no answer yet
        if _running.get((self.name, self.backend)) is self:
            del _running[self.name, self.backend]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<ModelServer {self.name!r} ({self.backend}), {state}>"


def serve(
    model_dir: str | os.PathLike[str],
    *,
    name: str | None = None,
    backend: str = "embedded",
    port: int | str = "auto",
    rest_api_port: int | str = "auto",
    timeout: float = 60.0,
    image: str | None = None,
    credentials: "grpc.ChannelCredentials | None" = None,
    **flags: object,
) -> ModelServer:
    """Start a model server for the versions in `model_dir` and return it when it answers.

    Serving a model of the same name with the same backend again, as re-running a cell does, stops the earlier server
    first.

    Args:
        model_dir: the folder that holds the version folders, ``penguins`` with ``penguins/1/saved_model.pb`` in it.
        name: what clients call the model, by default the folder's name.
        backend: ``embedded`` (labkit's own), ``binary`` (an installed `tensorflow_model_server`) or ``docker`` (a
            container).
        port: gRPC port; ``auto`` (or 0) takes a free one.
        rest_api_port: REST port; ``auto`` (or 0) takes a free one.
        timeout: seconds to wait until it answers.
        image: with the docker backend, an image other than TensorFlow Serving's (`backends.IMAGE`) that is started in
            the same way, such as the one that docs/model-server.md builds. One that is not here is pulled.
        credentials: for `.grpc`, where ``ssl_config_file`` makes the server speak TLS; see `GrpcClient`.
        flags: further flags of `tensorflow_model_server`, as in ``file_system_poll_wait_seconds=1``. A
            ``bind_address`` must include 127.0.0.1, where this program asks.

    Raises:
        ModelFolderError: there is nothing to serve in `model_dir`; the message names what is there and what should be.
        ServerStartError: the server ended or was not ready in time; `.log` holds what it said.
        EnvironmentProblem: this machine does not have that backend.
        ValueError: there is no such backend, `image` is given to one without images, or `flags` names the model or its
            folder.
    """
    if backend not in backends.BACKENDS:
        raise ValueError(f"backend is one of {', '.join(backends.BACKENDS)}; got {backend!r}")
    if image is not None and backend != "docker":
        raise ValueError(f"image={image!r} is for backend='docker'; the {backend} backend has no image")
    for flag in ("model_name", "model_base_path"):
        if flag in flags:
            raise ValueError(f"{flag} cannot be passed as a flag; write serve(folder, name=...)")
    base_path = Path(model_dir).resolve()
    name = name or base_path.name
    try:
        prefer_tflite = str(flags.get("prefer_tflite_model", False)).lower() in ("true", "1")
        check_folder(ModelConfig(name, base_path), model_files(prefer_tflite=prefer_tflite))
    except StatusError as error:
        raise ModelFolderError(error.message) from None
    if earlier := _running.get((name, backend)):
        earlier.stop()
    options = {"image": image} if image else {}
    launch = backends.BACKENDS[backend](name, base_path, port or "auto", rest_api_port or "auto", flags, **options)
    try:
        process = processes.start(
            launch.command,
            name=f"{backend} {name}",
            ready=backends.READY,
            timeout=timeout,
            afterwards=launch.afterwards,
        )
    except ProcessError as error:
        raise ServerStartError(_start_message(name, backend, error), error.log) from None
    try:
        drain_seconds = float(str(flags.get("drain_seconds", Flags.drain_seconds)))
        server = ModelServer(name, backend, process, launch, credentials, drain_seconds)
    except BaseException:  # nobody else could stop it
        process.stop(grace=1.0)
        raise
    _running[name, backend] = server
    return server


def _logged_port(process: processes.ManagedProcess, pattern: str) -> int:
    match = re.search(pattern, process.log())
    assert match is not None
    return int(match[1])


def _start_message(name: str, backend: str, error: ProcessError) -> str:
    refusals = [line for line in error.log.splitlines() if line.startswith("Failed to start server. Error: ")]
    said = refusals[-1].removeprefix("Failed to start server. Error: ") if refusals else str(error)
    return f"The {backend} server for model {name!r} did not start: {said}"
