"""REST against gRPC for Python clients: many of them, several libraries, connections kept and not."""

from functools import partial
from pathlib import Path

from bench import report, servers
from bench.protocols import CONTENT, SHORTEST, targets
from bench.sizes import normal
from bench.turns import take_turns
from labkit import bench
from labkit.bench.results import LoadResult
from labkit.bench.targets import LIBRARIES

CLIENTS = (1, 8, 32)
THROUGHPUT, MEDIAN, SLOWEST, CORES = "answers", "median", "99th percentile", "cores the clients took"
KEPT, NEW = "HTTP libraries, connection kept", "HTTP libraries, a new connection each time"
_SECONDS = 0.5  # of one turn
_INPUTS = {"x": normal(1, 4)}


def case(clients: int, what: str) -> str:
    """The name of a case with so many clients."""
    return f"{clients} Python clients, {what}"


def measure_clients(run: report.Run, work: Path, rounds: int) -> None:
    """Answers a second and latencies with 1, 8 and 32 Python clients, one row of 4 floats."""
    with servers.alone(work / "small") as server:
        sides = {target.name.split(",")[0]: target for target in targets(server, (SHORTEST, CONTENT))}
        for clients in CLIENTS:
            loads = {
                name: partial(
                    bench.closed_loop, target, target.encode(_INPUTS), clients=clients, seconds=_SECONDS, rounds=1
                )
                for name, target in sides.items()
            }
            _keep(run, clients, take_turns(loads, rounds))


def _keep(run: report.Run, clients: int, found: dict[str, list[LoadResult]]) -> None:
    for what, unit, number in (
        (THROUGHPUT, "requests/s", lambda each: each.throughput.median),
        (MEDIAN, "ms", lambda each: 1000 * each.latency(50).median),
        (SLOWEST, "ms", lambda each: 1000 * each.latency(99).median),
        (CORES, "cores", lambda each: each.client_cores.median),
    ):
        run.add(case(clients, what), unit, {name: [number(each) for each in rounds] for name, rounds in found.items()})


def measure_libraries(run: report.Run, work: Path, rounds: int) -> None:
    """Time of a request of one row of 4 floats, by library, with the connection kept and with a new one each time."""
    with servers.alone(work / "small") as server:
        sides = {name: bench.RestTarget(server.url, library=name) for name in LIBRARIES}
        sides["grpcio"] = targets(server, (CONTENT,))[0]
        for name, keep in ((KEPT, True), (NEW, False)):
            loads = {
                library: partial(
                    bench.closed_loop,
                    target,
                    target.encode(_INPUTS),
                    seconds=_SECONDS / 2,
                    rounds=1,
                    keep_connection=keep,
                )
                for library, target in sides.items()
            }
            found = take_turns(loads, rounds)
            run.add(name, "ms", {side: [1000 * each.latency(50).median for each in of] for side, of in found.items()})
