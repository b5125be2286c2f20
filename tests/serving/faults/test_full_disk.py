"""A disk without room for another byte: the log is lost, the service is not."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from soak.models import Numbered
from soak.swaps import Operator

from ..grpc_calls import GrpcCalls, request
from ..served import Served, until
from .target import target

FULL = "/dev/full"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has /dev/full and prlimit")


def test_a_disk_that_fills_up(serve: Callable[..., Served], base: Path, numbered: Numbered) -> None:
    """No file of the server may grow any more (its log included): it answers, swaps, says what is wrong, and drains."""
    numbered.add(base, 1)
    server = serve("model", base)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, 0))
    log = server.stderr
    with closing(Operator(target(server), base, numbered)) as operator:
        for old in (1, 2):
            operator.swap(old, old + 1)
        (base / "4").mkdir()
        operator.look_now()
    assert server.predict({"instances": [[1.0]]}).json["predictions"][0]["v"] == [3.0]
    assert server.predict({"instances": []}).status == 400
    server.terminate()
    assert server.exit_status() == 0
    assert server.stderr == log


@contextmanager
def _mute(folder: Path, base: Path, closed: bool) -> Iterator[tuple[subprocess.Popen, Path]]:
    """A server whose output goes to a full disk, or to a pipe that nobody reads."""
    path = folder / "socket"
    flags = ["--port=0", f"--grpc_socket_path={path}", "--model_name=model", f"--model_base_path={base}"]
    command = [sys.executable, "-m", "labkit", "serve", "--rest_api_port=auto", *flags]
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as pipe, open(FULL, "wb", buffering=0) as full:
        output = pipe if closed else full
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder)
    try:
        yield process, path
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A unix socket's path must be short."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lk") as folder:
        yield Path(folder)


@pytest.mark.parametrize("closed", [False, True], ids=["full", "nobody reads"])
def test_output_that_goes_nowhere(short_folder: Path, base: Path, numbered: Numbered, closed: bool) -> None:
    """From its first line on; with SIGTERM it ends as always."""
    numbered.add(base, 1)
    with _mute(short_folder, base, closed) as (process, path):
        with grpc.insecure_channel(f"unix:{path}") as channel:
            until(lambda: path.exists() or process.poll() is not None, "it listens", 60)
            answer = GrpcCalls(channel).predict(request("model", x=[[1.0]]))
            assert list(answer.outputs["v"].float_val) == [1.0]
        listening = [c.laddr.port for c in psutil.Process(process.pid).net_connections("tcp") if c.status == "LISTEN"]
        assert len(listening) == 1
        socket.create_connection(("127.0.0.1", listening[0])).close()
        process.terminate()
        assert process.wait(30) == 0


def test_a_start_that_fails_says_so_with_its_status(short_folder: Path, base: Path) -> None:
    """§1.3: 255, though the line with the reason finds no room."""
    with _mute(short_folder, base, closed=False) as (process, _):
        assert process.wait(60) == 255
