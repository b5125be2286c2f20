"""Container images as processes of this machine.

TensorFlow Serving's image is labkit's embedded server, started with the container's own arguments. Vertex AI's
prebuilt TensorFlow images are the same server behind the routes that Vertex AI gives them. Any other image needs a
command that stands for it on this machine (`images`), or Docker (``engine="docker"``).
"""

import hashlib
import re
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit import processes
from labkit.cloud.local import docker_engine
from labkit.cloud.local.container_arguments import (
    at_local_copy,
    expand,
    expand_variables,
    model_server_flags,
    program,
)
from labkit.cloud.local.container_images import NEWEST_PREBUILT, is_prebuilt, is_tensorflow_serving, prebuilt_version
from labkit.cloud.local.processor import started_on
from labkit.cloud.local.started_container import Launch, StartedContainer
from labkit.cloud.local.status import not_found, unmet
from labkit.errors import EnvironmentProblem, ProcessError
from labkit.ports import free_ports

_EMBEDDED = (sys.executable, "-m", "labkit.serving.embedded.main")


@dataclass(frozen=True)
class ServingContainer:
    """A model's container as it is to be run.

    Attributes:
        name: what logs call it, the deployed model's id.
        image_uri: which image.
        command: takes the place of the image's entry point, if it is not empty.
        args: what stands behind it; both may name variables as ``$(NAME)``.
        variables: the model's own, and Vertex AI's ``AIP_…`` ones but for the port.
        predict_route: where predictions are asked for.
        health_route: what answers 200 once it is ready.
        port: where it is to listen; on this machine that is the port of TensorFlow Serving's flags, and one that is
            free otherwise: a container takes it from ``AIP_HTTP_PORT``.
        files: the local copy of what lies at ``AIP_STORAGE_URI``.
        health_timeout: seconds in which it must become ready.
    """

    name: str
    image_uri: str
    predict_route: str
    health_route: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = 8080
    files: Path | None = None
    health_timeout: float = 60.0


class Containers:
    """What starts containers."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        engine: str = "processes",
        images: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Ready to start containers.

        Args:
            folder: where files for them may be put.
            environment: variables with which they see the local cloud.
            engine: ``processes``, or ``docker`` for what is neither in `images` nor one of Vertex AI's prebuilt ones.
            images: image -> command that stands for its entry point on this machine; an image without a tag stands for
                all its tags. A first word ``python`` is the Python that runs this.
        """
        self._folder = folder
        self._environment = dict(environment)
        self._engine = engine
        self._images = {image: tuple(command) for image, command in (images or {}).items()}
        self._laying_out = threading.Lock()

    def check(self, image_uri: str) -> None:
        """See that the image can be run here.

        Raises:
            ApiError: NOT_FOUND or FAILED_PRECONDITION, it cannot; the message says what can.
        """
        if self.stand_in(image_uri):
            return
        if (version := prebuilt_version(image_uri)) is not None and version > NEWEST_PREBUILT:
            newest = re.sub(r"2-\d+.*", f"2-{NEWEST_PREBUILT}", image_uri)
            raise not_found(
                f"Image {image_uri} not found: the newest of Vertex AI's prebuilt TensorFlow images is {newest}. For "
                "models of later versions put TensorFlow Serving's own image into Artifact Registry and name that."
            )
        if version is not None or (self._engine != "docker" and is_tensorflow_serving(image_uri)):
            return
        if self._engine != "docker" or is_prebuilt(image_uri):
            raise unmet(_cannot_run(image_uri))
        try:
            docker_engine.ensure_image(image_uri)
        except EnvironmentProblem as error:
            raise unmet(f"Image {image_uri} cannot be run: {error}") from None

    def start(self, container: ServingContainer, cores: Sequence[int]) -> StartedContainer:
        """Start a container on some of this machine's cores. It is not ready when this returns.

        Raises:
            ApiError: NOT_FOUND or FAILED_PRECONDITION, it cannot be started here; the message says why.
        """
        self.check(container.image_uri)
        launch = self._launch(container, cores)
        afterwards = docker_engine.removal(launch.engine_name) if launch.engine_name else ()
        try:
            with started_on(cores):
                process = processes.start(
                    launch.command, name=f"container {container.name}", env=launch.variables, afterwards=afterwards
                )
        except ProcessError as error:
            raise unmet(f"Model server exited unexpectedly: {error}") from None
        return StartedContainer(process, launch, container.port)

    def _launch(self, container: ServingContainer, cores: Sequence[int]) -> Launch:
        stand_in = self.stand_in(container.image_uri)
        if stand_in:
            return self._stand_in_launch(container, stand_in)
        if prebuilt_version(container.image_uri) is not None:
            return self._prebuilt_launch(container)
        if self._engine == "docker":
            return _docker_launch(container, cores)
        return _tensorflow_serving_launch(container)

    def stand_in(self, image_uri: str) -> tuple[str, ...]:
        """The command that stands for the image's entry point on this machine; empty if none was named."""
        untagged = re.sub(r"(:[^/]*|@.*)$", "", image_uri)
        return self._images.get(image_uri) or self._images.get(untagged) or ()

    def _stand_in_launch(self, container: ServingContainer, stand_in: Sequence[str]) -> Launch:
        (port,) = free_ports(1)  # AIP_HTTP_PORT has to be known before the container starts
        variables = _variables(container, port, container.variables.get("AIP_STORAGE_URI", ""))
        words = [expand(word, variables) for word in (*program(container.command, stand_in), *container.args)]
        return Launch(words, {**self._environment, **variables}, port)

    def _prebuilt_launch(self, container: ServingContainer) -> Launch:
        if container.files is None or not (container.files / "saved_model.pb").is_file():
            raise unmet(
                f"Model server exited unexpectedly. {container.image_uri} serves the SavedModel at the model's "
                "artifact URI, and there is no saved_model.pb; upload the model with the folder that holds that file."
            )
        flags = {"model_name": "default", "model_base_path": self._as_version(container.files)}
        flags |= {"port": "auto", "rest_api_port": "auto", "file_system_poll_wait_seconds": 0}
        routes = {
            container.predict_route: "/v1/models/default:predict",
            container.health_route: "/v1/models/default",
        }
        command = [*_EMBEDDED, *(f"--{name}={value}" for name, value in flags.items())]
        return Launch(command, container.variables, routes=routes)

    def _as_version(self, files: Path) -> Path:
        """A folder in which `files` is version 1."""
        base = self._folder / "prebuilt" / hashlib.sha256(str(files).encode()).hexdigest()[:16]
        with self._laying_out:
            if not (base / "1").exists():
                base.mkdir(parents=True, exist_ok=True)
                _link(files, base / "1")
        return base


def _link(files: Path, link: Path) -> None:
    try:
        link.symlink_to(files, target_is_directory=True)
    except OSError:  # Windows, where links are for administrators
        shutil.copytree(files, link)


def _tensorflow_serving_launch(container: ServingContainer) -> Launch:
    storage = container.variables.get("AIP_STORAGE_URI", "")
    variables = _variables(container, container.port, storage)
    flags = model_server_flags(container.command, container.args, variables, container.port)
    command = [*_EMBEDDED, *at_local_copy(flags, storage, container.files), "--port=auto", "--rest_api_port=auto"]
    return Launch(command, variables)


def _docker_launch(container: ServingContainer, cores: Sequence[int]) -> Launch:
    storage = docker_engine.FILES if container.files else ""
    variables = _variables(container, container.port, storage)
    words = [expand(word, variables) for word in (*container.command, *container.args)]
    name = docker_engine.new_name(container.name)
    command = docker_engine.run_command(
        container.image_uri,
        name,
        port=container.port,
        files=container.files,
        variables=variables,
        entry_point=words[0] if container.command else "",
        words=words[1:] if container.command else words,
        cores=cores,
    )
    return Launch(command, engine_name=name)


def _variables(container: ServingContainer, port: int, storage: str) -> dict[str, str]:
    """The container contract's variables; https://cloud.google.com/vertex-ai/docs/predictions lists them."""
    contract = {
        "AIP_MODE": "PREDICTION",
        "AIP_ACCELERATOR_TYPE": "",
        "AIP_HEALTH_ROUTE": container.health_route,
        "AIP_PREDICT_ROUTE": container.predict_route,
    }
    ours = {"AIP_HTTP_PORT": str(port), "AIP_STORAGE_URI": storage}
    return expand_variables({**contract, **container.variables, **ours})


def _cannot_run(image_uri: str) -> str:
    return (
        f"The local cloud cannot run the image {image_uri}. It runs TensorFlow Serving (an image called "
        "tensorflow/serving, or tf-serving in Artifact Registry), Vertex AI's prebuilt images tf2-cpu.2-0 to "
        f"tf2-cpu.2-{NEWEST_PREBUILT}, images with a command that stands for them on this machine "
        '(cloud(images={"IMAGE": ["python", "server.py"]})), and any image where Docker is installed '
        '(cloud(containers="docker")).'
    )
