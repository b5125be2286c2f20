"""Commands of a test's own, and gRPC calls to the servers that answer with the model `many`."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..grpc_calls import GrpcCalls, calls
from ..savedmodels import SavedModels
from ..served import Command, Served


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Command]]:
    """`run(*flags)`: the command, for as long as the test lasts."""
    with ExitStack() as commands:
        yield lambda *flags: commands.enter_context(Command(tmp_path_factory.mktemp("command"), *flags))


@pytest.fixture
def start_error(run: Callable[..., Command]) -> Callable[..., str]:
    """`start_error(*flags)`: what follows `Failed to start server. Error: `, the one line that the command prints."""

    def failed(*flags: str) -> str:
        command = run(*flags)
        assert command.exit_status() == 255, command.output
        (line,) = command.stdout.splitlines()
        assert line.startswith("Failed to start server. Error: ")
        assert "Traceback" not in command.stderr
        return line.removeprefix("Failed to start server. Error: ")

    return failed


@pytest.fixture
def place() -> Iterator[Path]:
    """A socket's path; pytest's own folders may be too deep for one."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "serving.sock")


@pytest.fixture
def model(saved_models: SavedModels) -> Path:
    """x / 2 + 2."""
    return saved_models.half_plus[2]


@pytest.fixture(scope="module")
def grpc_in_c_api(many_in_c_api: Served) -> Iterator[GrpcCalls]:
    with calls(many_in_c_api.grpc_port) as made:
        yield made


@pytest.fixture(scope="module")
def grpc_in_python(many_in_python: Served) -> Iterator[GrpcCalls]:
    with calls(many_in_python.grpc_port) as made:
        yield made


@pytest.fixture(params=["c_api", "python"])
def grpc_both(request: pytest.FixtureRequest) -> GrpcCalls:
    """Calls to it, once in each session that the server can use."""
    return request.getfixturevalue(f"grpc_in_{request.param}")
