"""A container that was started: where it listens, what it says, how it ends."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit import processes
from labkit.cloud.local import docker_engine
from labkit.cloud.local.status import ApiError, unmet
from labkit.serving import backends

LOG_LINES = 30
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Launch:
    """How a container is started here.

    Attributes:
        command: the program and its arguments.
        variables: its variables, on top of this process's own.
        port: where it listens; None if it says so when it is ready.
        routes: paths that it has under another name.
        engine_name: its name in Docker, empty if it is not run there.
    """

    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    routes: Mapping[str, str] = field(default_factory=dict)
    engine_name: str = ""


class StartedContainer:
    """A container's process, which may not be ready yet."""

    def __init__(self, process: processes.ManagedProcess, launch: Launch, container_port: int) -> None:
        """Use `Containers.start`."""
        self._process = process
        self._launch = launch
        self._container_port = container_port

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.running

    def port(self) -> int | None:
        """Where it listens; None as long as that is not known."""
        if self._launch.engine_name:
            return docker_engine.published_port(self._launch.engine_name, self._container_port)
        if self._launch.port:
            return self._launch.port
        match = re.search(backends.READY, self.log())
        return int(match[1]) if match else None

    def route(self, path: str) -> str:
        """The path under which it has `path`."""
        return self._launch.routes.get(path, path)

    def process_id(self) -> int | None:
        """The process that does the work; None where it cannot be seen, as in Docker's virtual machine."""
        name = self._launch.engine_name
        return docker_engine.process_id(name) if name else self._process.pid

    def failure(self, reason: str) -> ApiError:
        """Vertex AI's error for a container that ended, or that is not ready for `reason`; with its last words."""
        if not self.running:
            said = f"Model server exited unexpectedly, with exit status {self._process.exit_code}."
        else:
            said = (
                "Model server never became ready. Please validate that your model file or container configuration "
                f"are valid: it {reason}."
            )
        lines = self.log().strip().splitlines()[-LOG_LINES:]
        return unmet("\n".join([f"{said} Model server logs:", *(lines or ["(it wrote nothing)"])]))

    def log(self) -> str:
        """All it has written so far."""
        return self._process.log()

    def stop(self) -> None:
        """End it: politely, and after some seconds by force."""
        self._process.stop(_GRACE_SECONDS)
