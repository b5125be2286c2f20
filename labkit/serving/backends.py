"""The programs that can serve a model: which command starts each of them.

All take the same flags and log the same two lines when their ports are open, so the rest of labkit need not know
which one runs.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.ports import free_ports
from labkit.serving import containers

READY = r"Exporting HTTP/REST API at:\S+:(\d+)"  # an IPv6 address has colons, too
GRPC_PORT = r"Running gRPC ModelServer at \S+:(\d+)"
IMAGE = "tensorflow/serving:2.19.0"


@dataclass(frozen=True)
class Launch:
    """How to start one server.

    Attributes:
        command: the program and its arguments.
        grpc_port: the port that clients use; None: it is in the log.
        rest_port: the same for REST.
        afterwards: a command that cleans up when the process was killed.
        memory: measures the server's resident memory in bytes where the process started is not the server.
    """

    command: list[str]
    grpc_port: int | None = None
    rest_port: int | None = None
    afterwards: tuple[str, ...] = ()
    memory: Callable[[], int] | None = None


def embedded(
    name: str, base_path: Path, port: int | str, rest_api_port: int | str, flags: Mapping[str, object]
) -> Launch:
    """labkit's own server."""
    command = [sys.executable, "-m", "labkit.serving.embedded.main"]
    return Launch([*command, *_flags(name, base_path, port, rest_api_port, flags)])


def binary(
    name: str, base_path: Path, port: int | str, rest_api_port: int | str, flags: Mapping[str, object]
) -> Launch:
    """TensorFlow Serving's own program, where it is installed.

    Raises:
        EnvironmentProblem: it is not on the PATH.
    """
    program = _program("tensorflow_model_server", "install tensorflow-model-server from TensorFlow's apt archive")
    grpc_port, rest_port = _chosen(port, rest_api_port)
    return Launch([program, *_flags(name, base_path, grpc_port, rest_port, flags)], grpc_port, rest_port)


def docker(
    name: str,
    base_path: Path,
    port: int | str,
    rest_api_port: int | str,
    flags: Mapping[str, object],
    image: str = IMAGE,
) -> Launch:
    """A container, by default of TensorFlow Serving's own image, its ports published on this machine only.

    Raises:
        EnvironmentProblem: there is no docker command, its engine does not answer, or the image cannot be had.
    """
    program = _program("docker", "install Docker and start it")
    containers.ensure_image(program, image)
    grpc_port, rest_port = _chosen(port, rest_api_port)
    container = containers.container_name(name, grpc_port)
    return Launch(
        containers.run_command(program, image, name, base_path, (grpc_port, rest_port), flags),
        grpc_port,
        rest_port,
        afterwards=(program, "rm", "--force", container),
        memory=lambda: containers.memory(program, container),
    )


BACKENDS = {"embedded": embedded, "binary": binary, "docker": docker}


def _flags(
    name: str, base_path: Path, port: int | str, rest_api_port: int | str, flags: Mapping[str, object]
) -> list[str]:
    named = {"port": port, "rest_api_port": rest_api_port, "model_name": name, "model_base_path": base_path, **flags}
    return containers.flag_words(named)


def _program(name: str, advice: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise EnvironmentProblem(f"{name} is not on the PATH: {advice}, or use backend='embedded'.")
    return path


def _chosen(port: int | str, rest_api_port: int | str) -> tuple[int, int]:
    """Both ports as numbers; these programs cannot choose free ones themselves."""
    free, free_for_rest = free_ports(2)
    return free if port == "auto" else int(port), free_for_rest if rest_api_port == "auto" else int(rest_api_port)
