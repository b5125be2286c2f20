"""Load on one server: wrk for REST, h2load for gRPC (and for REST where the two are compared), Python without them.

All return answered requests per second and raise MeasurementFailed for any other answer than success. If a tool is
missing: `apt-get install wrk nghttp2-client`. The Python load's own work counts too and draws all ratios towards 1.
"""

import contextlib
import http.client
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import requests

from labkit.errors import MeasurementFailed

PREDICT = "/tensorflow.serving.PredictionService/Predict"
RPC_SECONDS = 0.5
_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open("{}", "rb"):read("*a")
"""


def tools() -> dict[str, str | None]:
    """Where the load generators are; None for one that is not installed."""
    return {"wrk": shutil.which("wrk"), "h2load": shutil.which("h2load")}


def rest(url: str, body: Path, connections: int, seconds: int) -> float:
    """REST from wrk: one thread, `connections` with one request in flight each."""
    if not tools()["wrk"]:
        return _python(partial(_rest_asker, url, body), connections, seconds)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA.format(body))
        script.flush()
        output = _output(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, url])
    if "Non-2xx" in output or "Socket errors" in output:
        raise MeasurementFailed(f"wrk at {url}:\n{output}")
    rate = _number(r"Requests/sec:\s+([\d.]+)", output)
    if not rate:
        raise MeasurementFailed(f"{url} answered nothing for {seconds} s; is something else using the machine?")
    return rate


def rpc(address: str, method: str, message: Path, streams: int, connections: int = 1) -> float:
    """gRPC with `streams` calls in flight on each of `connections`; `message` holds one framed message.

    h2load does not read grpc-status: compare answers first.
    """
    if not tools()["h2load"]:
        with grpc.insecure_channel(address) as channel:
            call, request = channel.unary_unary(method), message.read_bytes()[5:]
            return _python(lambda: contextlib.nullcontext(lambda: call(request)), streams * connections, RPC_SECONDS)
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    return _h2load([f"-c{connections}", f"-m{streams}", *headers], f"http://{address}{method}", message)


def rest_like_rpc(url: str, body: Path, connections: int) -> float:
    """REST from the generator that loads gRPC, so that the protocols can be compared."""
    if not tools()["h2load"]:
        return _python(partial(_rest_asker, url, body), connections, RPC_SECONDS)
    return _h2load(["--h1", f"-c{connections}", "-H", "content-type: application/json"], url, body)


def rpc_from_python(address: str, method: str, message: Path) -> float:
    """gRPC as a program sees it that uses grpcio: one channel, one call after the other."""
    with grpc.insecure_channel(address) as channel:
        call, request = channel.unary_unary(method), message.read_bytes()[5:]
        call(request)
        return _python(lambda: contextlib.nullcontext(lambda: call(request)), 1, RPC_SECONDS)


def rest_from_python(url: str, body: Path) -> float:
    """REST as a program sees it that uses requests: one session, one request after the other."""
    with requests.Session() as session:
        session.trust_env = False
        content, headers = body.read_bytes(), {"Content-Type": "application/json"}

        def ask() -> None:
            response = session.post(url, content, headers=headers)
            if response.status_code != 200:
                raise MeasurementFailed(f"{url} answered {response.status_code}: {response.text[:300]}")

        ask()
        return _python(lambda: contextlib.nullcontext(ask), 1, RPC_SECONDS)


def one_by_one(url: str, body: Path, count: int) -> float:
    """REST from Python, for bodies of megabytes: one connection, the first request is not counted."""
    with _rest_asker(url, body) as ask:
        ask()
        start = time.perf_counter()
        for _ in range(count):
            ask()
        return count / (time.perf_counter() - start)


@contextlib.contextmanager
def _rest_asker(url: str, body: Path) -> Iterator[Callable[[], bytes]]:
    """A function that sends `body` once and returns the answer, always on the same connection."""
    parts, content = urlsplit(url), body.read_bytes()

    def ask() -> bytes:
        connection.request("POST", parts.path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise MeasurementFailed(f"{url} answered {response.status}: {answer[:300]!r}")
        return answer

    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=60)) as connection:
        yield ask


def answer_of(url: str, body: Path) -> bytes:
    """The answer to one REST request."""
    with _rest_asker(url, body) as ask:
        return ask()


def _h2load(arguments: list[str], url: str, body: Path) -> float:
    output = _output(["h2load", "-t1", *arguments, "-D", f"{RPC_SECONDS * 1000:.0f}ms", "-d", str(body), url])
    bad = sum(_number(rf"(\d+) {what}", output) for what in ("3xx", "4xx", "5xx", "failed", "errored"))
    if bad or not _number(r"(\d+) 2xx", output):
        raise MeasurementFailed(f"h2load at {url}:\n{output}")
    return _number(r"finished in \S+ ([\d.]+) req/s", output)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise MeasurementFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _number(pattern: str, output: str) -> float:
    if not (match := re.search(pattern, output)):
        raise MeasurementFailed(f"No {pattern!r} in:\n{output}")
    return float(match[1])


def _python(
    connect: Callable[[], contextlib.AbstractContextManager[Callable[[], object]]], threads: int, seconds: float
) -> float:
    start = time.perf_counter()

    def work(_: int) -> int:
        count = 0
        with connect() as ask:
            while time.perf_counter() < start + seconds:
                ask()
                count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / (time.perf_counter() - start)
