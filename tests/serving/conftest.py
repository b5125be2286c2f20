"""Fixtures for everything that asks a model server: SavedModels made once, servers of the test's own."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from . import engine
from .batch_model import make_batch_model
from .batched import parameters
from .savedmodels import SavedModels, make
from .served import Served

# TensorFlow Serving takes numbers only for its ports.
STAND_IN = f"""#!/bin/sh
for word; do
    case "$word" in *port=auto) echo "unknown argument: $word"; exit 255 ;; esac
done
exec {sys.executable} -m labkit serve "$@"
"""


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> SavedModels:
    return make(tmp_path_factory.mktemp("saved_models"))


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """`serve(name, base_path, *flags)`: a running server, gone when the test ends."""
    with ExitStack() as servers:

        def started(name: str, base_path: Path | str, *flags: str) -> Served:
            server = Served(tmp_path_factory.mktemp("server"), name, base_path, *flags)
            servers.callback(lambda: print(server.output))  # pytest shows it when the test failed
            return servers.enter_context(server)

        yield started


@pytest.fixture(scope="session")
def batch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_batch_model(tmp_path_factory.mktemp("batch_model"))


@pytest.fixture
def batched(serve: Callable[..., Served], batch_model: Path, tmp_path: Path) -> Callable[..., Served]:
    """`batched(*flags, model=..., more=..., **wrapped)`: a server that batches by `batched.parameters`."""

    def started(*flags: str, model: Path = batch_model, more: str = "", **wrapped: int | str) -> Served:
        file = tmp_path / "batching.pbtxt"
        file.write_text(parameters(more, **wrapped))
        return serve("m", model, "--enable_batching", f"--batching_parameters_file={file}", *flags)

    return started


@pytest.fixture
def aside() -> Iterator[Callable[..., "Future[Any]"]]:
    """`aside(function, *arguments)`: called in a thread of its own."""
    with ThreadPoolExecutor(64) as threads:
        yield threads.submit


@pytest.fixture(scope="session")
def many_in_c_api(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The model `many` in TensorFlow's C++ session."""
    folder = tmp_path_factory.mktemp("server")
    with Served(folder, "many", saved_models.many, "--tensorflow_runtime=c_api") as server:
        yield server


@pytest.fixture(scope="session")
def many_in_python(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The model `many` in the fallback, a tf.compat.v1 session."""
    folder = tmp_path_factory.mktemp("server")
    with Served(folder, "many", saved_models.many, "--tensorflow_runtime=python") as server:
        yield server


@pytest.fixture
def many(many_in_c_api: Served) -> Served:
    return many_in_c_api


@pytest.fixture(params=["c_api", "python"])
def many_both(request: pytest.FixtureRequest) -> Served:
    """The model `many`, once in each session that the server can use."""
    return request.getfixturevalue(f"many_in_{request.param}")


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[None]:
    """A Docker engine that answers: one that runs, or one started for these tests.

    Where there can be none, tests that want it are skipped; with LABKIT_CI set they fail, nothing is skipped there.
    """
    with ExitStack() as running:
        try:
            address = running.enter_context(engine.engine())
        except engine.NoEngineError as error:
            (pytest.fail if os.environ.get("LABKIT_CI") else pytest.skip)(f"no Docker engine: {error}")
        if address:
            running.enter_context(pytest.MonkeyPatch.context()).setenv("DOCKER_HOST", address)
        yield


@pytest.fixture(scope="session")
def model_server_image(docker_engine: None, repository: Path) -> Iterator[str]:
    """An image that holds labkit's embedded server, not TensorFlow Serving."""
    with engine.image(repository) as name:
        yield name


@pytest.fixture(scope="module", params=["embedded", "binary", "docker"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `labkit.serve` is called with, once for each backend.

    The programs behind `binary` and `docker` are stand-ins: the embedded server as a command called
    tensorflow_model_server, and in an image built from docker/Dockerfile. TensorFlow Serving itself is not here.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "binary":
            folder = tmp_path_factory.mktemp("programs")
            command = folder / "tensorflow_model_server"
            command.write_text(STAND_IN, encoding="utf-8")
            command.chmod(0o755)
            patch.setenv("PATH", str(folder), prepend=os.pathsep)
        image = {"image": request.getfixturevalue("model_server_image")} if request.param == "docker" else {}
        yield {"backend": request.param, **image}
