"""All sides as running servers, of which only the one being measured may use the machine."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from bench import environment, load
from labkit import processes
from labkit.bench import server_metrics
from labkit.errors import MeasurementFailed
from labkit.serving.embedded.main import GRPC_EXPERIMENTS

RIVALS = Path(__file__).parent / "rivals"
PATH = "/v1/models/m:predict"
_PORTS = r"(?s)gRPC ModelServer at (?P<grpc>[\d.:]+).*HTTP/REST API at:(?P<rest>[\d.:]+)"


class Server:
    """One side; suspended, with all its children, unless it is `awake`."""

    def __init__(self, name: str, process: processes.ManagedProcess, *, url: str = "", address: str = "") -> None:
        self.name, self.process, self.url, self.address = name, process, url, address

    @property
    def metrics_url(self) -> str:
        """Where its metrics are, if it has any."""
        return self.url.removesuffix(PATH) + server_metrics.PATH

    def family(self) -> list[psutil.Process]:
        """Its process and all descendants."""
        leader = psutil.Process(self.process.pid)
        return [leader, *leader.children(recursive=True)]

    def processor_seconds(self) -> float:
        """Processor time that it has taken since its start."""
        return sum(times.user + times.system for times in (member.cpu_times() for member in self.family()))

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run: an idle LitServe with its ZeroMQ queue alone keeps two cores busy."""
        for member in self.family():
            member.resume()
        yield
        for member in self.family():
            member.suspend()

    def stop(self) -> None:
        """End it; a suspended process would not notice that it should."""
        for member in self.family() if self.process.running else []:
            member.resume()
        self.process.stop(grace=2)


def labkit(model: Path, *more: str, name: str = "labkit") -> Server:
    """The embedded server with its defaults, or with `more` flags."""
    flags = ["--port=auto", "--rest_api_port=auto", "--model_name=m", f"--model_base_path={model}", *more]
    process = processes.start([sys.executable, "-m", "labkit", "serve", *flags], name="labkit", ready=_PORTS)
    ports = process.wait_for_log(_PORTS, timeout=1)
    return Server(name, process, url=f"http://{ports['rest']}{PATH}", address=ports["grpc"])


@contextlib.contextmanager
def alone(model: Path) -> Iterator[Server]:
    """The embedded server with its metrics on, awake, and no other one."""
    monitoring = model / "monitoring.pbtxt"
    monitoring.write_text("prometheus_config { enable: true }")
    server = labkit(model, f"--monitoring_config_file={monitoring}")
    try:
        yield server
    finally:
        server.stop()


def rival(name: str, variant: str, model: Path) -> Server:
    """FastAPI or LitServe from `bench/rivals`, in the rivals' environment; it is still loading when this returns."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # LitServe takes no port 0
        port = free.getsockname()[1]
    script = RIVALS / f"{name.lower()}_app.py"
    command = [str(environment.PYTHON), str(script), str(model / "1"), str(port), variant]
    return Server(f"{name} {variant}", processes.start(command, name=name), url=f"http://127.0.0.1:{port}{PATH}")


def echo() -> Server:
    """The bare gRPC echo, its library set as the embedded server sets it."""
    ready, settings = r"echo at ([\d.:]+)", {"GRPC_EXPERIMENTS": GRPC_EXPERIMENTS}
    process = processes.start([sys.executable, str(RIVALS / "echo.py"), "0"], name="echo", ready=ready, env=settings)
    return Server("echo", process, address=process.wait_for_log(ready, timeout=1)[1])


@contextlib.contextmanager
def side_by_side(model: Path, starters: list[Callable[[], Server]]) -> Iterator[list[Server]]:
    """Start one after the other, check its answer against TensorFlow's own, suspend it; stop all at the end."""
    servers: list[Server] = []
    try:
        for start in starters:
            servers.append(start())
            if servers[-1].url:
                _check_answer(servers[-1], model)
            for member in servers[-1].family():
                member.suspend()
        yield servers
    finally:
        for server in servers:
            server.stop()


def _check_answer(server: Server, model: Path, timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while True:  # LitServe says that it runs before its worker has a model
        try:
            answer = json.loads(load.answer_of(server.url, model / "body.json"))
            break
        except (OSError, MeasurementFailed) as error:
            if not server.process.running or time.monotonic() > deadline:
                raise MeasurementFailed(f"{server.name}: {error}\n{server.process.log()}") from error
            time.sleep(0.1)
    compare(answer["predictions"], model)


def compare(answer: object, model: Path) -> None:
    """Raises AssertionError where `answer` is not what TensorFlow itself answered, float32 rounding apart."""
    np.testing.assert_allclose(answer, json.loads((model / "answer.json").read_text()), rtol=1e-4, atol=1e-6)
