"""The model server beside others: FastAPI, LitServe, a bare gRPC echo, itself without batching."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import numpy as np

from bench import load, report, servers
from bench.turns import take_turns
from labkit import GrpcClient

ECHO = "/echo.Echo/Echo"
BATCHING = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 5000 }
num_batch_threads { value: 1 }
max_enqueued_batches { value: 100 }
"""


def measure_start(run: report.Run, work: Path, rounds: int) -> None:
    """Seconds from the start of the server's process to its first answered Predict; and of `import tensorflow`."""
    message = (work / "small" / "message.bin").read_bytes()[5:]

    def first_predict() -> float:
        start = time.perf_counter()
        server = servers.labkit(work / "small")
        with grpc.insecure_channel(server.address) as channel:
            channel.unary_unary(load.PREDICT)(message, timeout=30)
            seconds = time.perf_counter() - start
        server.stop()
        return seconds

    def import_tensorflow() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import tensorflow"], check=True, capture_output=True)
        return time.perf_counter() - start

    run.units["process start"] = "s"
    run.cases["process start"] = take_turns({"labkit": first_predict, "import tensorflow": import_tensorflow}, rounds)


def rate_of(server: servers.Server, load_on: Callable[[str], float]) -> float:
    """What `load_on(url)` measures while the server, alone, may run."""
    with server.awake():
        return load_on(server.url)


def measure_rest(run: report.Run, work: Path, rounds: int) -> None:
    """Requests per second of one small row, with one and eight connections."""
    model = work / "small"
    starters = [partial(servers.labkit, model)]
    starters += [partial(servers.rival, "FastAPI", variant, model) for variant in ("typed", "threadpool", "blocking")]
    starters += [partial(servers.rival, "LitServe", variant, model) for variant in ("default", "tuned")]
    with servers.side_by_side(model, starters) as sides:
        for flight in (1, 8):
            load_on = partial(load.rest, body=model / "body.json", connections=flight, seconds=1)
            run.units[f"REST, {flight} in flight"] = "requests/s"
            run.cases[f"REST, {flight} in flight"] = take_turns(
                {side.name: partial(rate_of, side, load_on) for side in sides}, rounds
            )
        for side in sides:
            family = side.family()
            threads = sum(member.num_threads() for member in family)
            run.about[side.name] = f"{len(family)} processes, {threads} threads"


def measure_large(run: report.Run, work: Path, rounds: int) -> None:
    """Requests per second of 1000 rows of 784 numbers, one after the other on one connection."""
    model = work / "large"
    load_on = partial(load.one_by_one, body=model / "body.json", count=3)
    starters = [partial(servers.labkit, model)]
    starters += [partial(servers.rival, "FastAPI", variant, model) for variant in ("typed", "threadpool")]
    with servers.side_by_side(model, starters) as sides:
        run.units["REST, 1000 x 784"] = "requests/s"
        run.cases["REST, 1000 x 784"] = take_turns(
            {side.name: partial(rate_of, side, load_on) for side in sides}, rounds
        )


def measure_grpc(run: report.Run, work: Path, rounds: int) -> None:
    """Milliseconds of a gRPC Predict, of an echo of its bytes, and of the same question over REST."""
    model = work / "small"
    message, body = model / "message.bin", model / "body.json"
    rows = np.array(json.loads(body.read_text())["instances"], np.float32)
    with servers.side_by_side(model, [partial(servers.labkit, model), servers.echo]) as (ours, echo):
        with ours.awake():
            servers.compare(GrpcClient(ours.address, "m").predict(rows), model)
        with echo.awake(), grpc.insecure_channel(echo.address) as channel:
            assert channel.unary_unary(ECHO)(message.read_bytes(), timeout=30) == message.read_bytes()
        for flight in (1, 8):
            predict = partial(load.rpc, method=load.PREDICT, message=message, streams=flight)
            echoed = partial(load.rpc, method=ECHO, message=message, streams=flight)
            over_rest = partial(load.rest_like_rpc, body=body, connections=flight)
            rates = {
                "labkit Predict": partial(rate_of, ours, lambda _, on=predict: on(ours.address)),
                "labkit REST": partial(rate_of, ours, over_rest),
                "echo": partial(rate_of, echo, lambda _, on=echoed: on(echo.address)),
            }
            rounds_of = take_turns(rates, rounds)
            case = f"gRPC, {flight} in flight"
            run.units[case] = "ms"
            run.cases[case] = {name: [1000 * flight / rate for rate in each] for name, each in rounds_of.items()}
        clients = {
            "grpcio": partial(rate_of, ours, lambda _: load.rpc_from_python(ours.address, load.PREDICT, message)),
            "requests": partial(rate_of, ours, partial(load.rest_from_python, body=body)),
        }
        run.units["Python clients"] = "ms"
        rounds_of = take_turns(clients, rounds)
        run.cases["Python clients"] = {name: [1000 / rate for rate in each] for name, each in rounds_of.items()}


def measure_saturated(run: report.Run, work: Path, rounds: int) -> None:
    """Requests per second of gRPC Predict and of an echo with 32 calls in flight, and the processor time of each."""
    model, case = work / "small", "gRPC, saturated"
    message = model / "message.bin"
    spent: report.Rounds = {"labkit Predict": [], "echo": []}

    def rate(name: str, server: servers.Server, method: str) -> float:
        before = server.processor_seconds()
        rate = rate_of(server, lambda _: load.rpc(server.address, method, message, streams=8, connections=4))
        spent[name].append(1e6 * (server.processor_seconds() - before) / (rate * load.RPC_SECONDS))
        return rate

    with servers.side_by_side(model, [partial(servers.labkit, model), servers.echo]) as (ours, echo):
        rates = {
            "labkit Predict": partial(rate, "labkit Predict", ours, load.PREDICT),
            "echo": partial(rate, "echo", echo, ECHO),
        }
        run.cases[case] = take_turns(rates, 2 * rounds)
    run.units[case] = "requests/s"
    run.cases[f"{case}, processor time"] = {name: each[1:] for name, each in spent.items()}
    run.units[f"{case}, processor time"] = "µs of the server a request"


def measure_batching(run: report.Run, work: Path, rounds: int) -> None:
    """Requests per second of small convolutional networks for 32 clients, batching on and off."""
    for name in ("CNN", "CNN with a hidden layer"):
        _measure_batching(run, work / name, name, rounds)


def _measure_batching(run: report.Run, model: Path, name: str, rounds: int) -> None:
    parameters = model / "batching.pbtxt"
    parameters.write_text(BATCHING)
    batching = ("--enable_batching", f"--batching_parameters_file={parameters}")
    starters = [
        partial(servers.labkit, model, name="batching off"),
        partial(servers.labkit, model, *batching, name="batching on"),
    ]
    with servers.side_by_side(model, starters) as sides:
        over_rest = partial(load.rest_like_rpc, body=model / "body.json", connections=32)
        over_grpc = partial(load.rpc, method=load.PREDICT, message=model / "message.bin", streams=1, connections=32)
        loads = {
            f"REST, {name}, 32 clients": lambda side: rate_of(side, over_rest),
            f"gRPC, {name}, 32 clients": lambda side: rate_of(side, lambda _: over_grpc(side.address)),
        }
        for case, load_on in loads.items():
            run.units[case] = "requests/s"
            run.cases[case] = take_turns({side.name: partial(load_on, side) for side in sides}, 2 * rounds)
