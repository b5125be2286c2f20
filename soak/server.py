"""A server for the scenes: the embedded one, as `labkit serve` starts it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit import processes
from soak.target import Target

_READY = r"Running gRPC ModelServer at \S+:(?P<grpc>\d+) [\s\S]*Exporting HTTP/REST API at:\S+:(?P<rest>\d+)"


@contextmanager
def running(model: str, *flags: str) -> Iterator[tuple[Target, float]]:
    """A server that is asked for `model`, and the seconds from the start of its process until it was ready."""
    command = [sys.executable, "-m", "labkit", "serve", "--port=auto", "--rest_api_port=auto", *flags]
    started = time.perf_counter()
    with processes.start(command, name="soak", ready=_READY, timeout=300) as process:
        seconds = time.perf_counter() - started
        ports = process.wait_for_log(_READY, timeout=1)
        yield Target(model, int(ports["rest"]), int(ports["grpc"]), process.pid), seconds


def of_folder(base: Path) -> tuple[str, str]:
    """The flags that serve the versions in `base` as model m."""
    return "--model_name=m", f"--model_base_path={base}"
