"""REST against gRPC in time: from arrays to arrays, one request after the other, the sides in turns."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import report, servers
from bench.sizes import COLUMNS, ROWS, normal
from bench.turns import take_turns
from labkit import bench
from labkit.bench import payload
from labkit.bench.results import Phases

if TYPE_CHECKING:
    from labkit.bench.targets import Target

JSON, SHORTEST = "REST, Python's json", "REST, shortest digits"
FIELDS, CONTENT = "gRPC, typed fields", "gRPC, tensor_content"
LATENCY, BATCHES, ANSWER = "one row of floats", "rows of 784 floats", "an answer of 4.5 MB"
COMPRESSED = "1000 x 784, with and without gzip"
WHOLE = "1000 x 784, whole time"
LARGE, SMALL = "1000 x 784", "1 x 4"
_SECONDS = 0.05  # of one turn; at least one request is made
_LENGTHS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
_BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
_FORMS = {
    JSON: functools.partial(payload.json_rows, "python"),
    SHORTEST: payload.json_rows,
    FIELDS: functools.partial(payload.tensor_fields, "m"),
    CONTENT: functools.partial(payload.tensor_content, "m"),
}
GZIP = ", gzip"


def targets(server: servers.Server, names: Sequence[str] = tuple(_FORMS)) -> "list[Target]":
    """The ways to ask a server, by their names here; with ``, gzip`` behind the name, what is sent is compressed."""
    return [_target(server, name) for name in names]


def _target(server: servers.Server, name: str) -> "Target":
    form = _FORMS[name.removesuffix(GZIP)]()
    form = form.compressed() if name.endswith(GZIP) else form
    if form.protocol == "REST":
        return bench.RestTarget(server.url, name=name, form=form)
    return bench.GrpcTarget(server.address, "m", name=name, form=form)


def measure_latency(run: report.Run, work: Path, rounds: int) -> None:
    """Time of a request of one row of 1 to 1,000,000 floats, four ways, one client."""
    with servers.alone(work / "any length") as server:
        run.comparisons[LATENCY] = bench.compare(
            targets(server), lambda columns: {"x": normal(1, columns)}, _LENGTHS, rounds=rounds, seconds=_SECONDS
        )


def measure_rows(run: report.Run, work: Path, rounds: int) -> None:
    """Time of a request of 1 to 4,096 rows of 784 floats, two ways, one client."""
    with servers.alone(work / "large") as server:
        run.comparisons[BATCHES] = bench.compare(
            targets(server, (SHORTEST, CONTENT)),
            lambda rows: {"x": normal(rows, COLUMNS)},
            _BATCHES,
            rounds=rounds,
            seconds=_SECONDS,
        )


def measure_compression(run: report.Run, work: Path, rounds: int) -> None:
    """Time and bytes of 1000 x 784 floats, with and without gzip."""
    names = (SHORTEST, SHORTEST + GZIP, CONTENT, CONTENT + GZIP)
    with servers.alone(work / "large") as server:
        found = bench.compare(
            targets(server, names),
            lambda rows: {"x": normal(rows, COLUMNS)},
            [ROWS],
            rounds=rounds,
            seconds=4 * _SECONDS,
        )
    run.comparisons[COMPRESSED] = found
    run.add(
        WHOLE, "ms", {name: [1000 * seconds for seconds in point.seconds] for name, (point,) in found.sides.items()}
    )


def measure_answers(run: report.Run, work: Path, rounds: int) -> None:
    """Time of a request with 1,125 small rows, each answered by 1,000 floats."""
    with servers.alone(work / "wide") as server:
        run.comparisons[ANSWER] = bench.compare(
            targets(server, (SHORTEST, CONTENT)),
            lambda rows: {"x": normal(rows, 4)},
            [1125],
            rounds=rounds,
            seconds=4 * _SECONDS,
        )


def measure_phases(run: report.Run, work: Path, rounds: int) -> None:
    """Where the time of a request goes, for a large one and a small one, four ways."""
    for case, model, inputs, requests in (
        (LARGE, "large", {"x": normal(ROWS, COLUMNS)}, 5),
        (SMALL, "small", {"x": normal(1, 4)}, 200),
    ):
        with servers.alone(work / model) as server:
            sides = {
                target.name: functools.partial(_phases, server, target, inputs, requests) for target in targets(server)
            }
            found = take_turns(sides, rounds)
        run.phases[case] = [_together(parts) for parts in found.values()]


def _phases(server: servers.Server, target: "Target", inputs: dict[str, np.ndarray], requests: int) -> Phases:
    return bench.phases(
        target, inputs, metrics_url=server.metrics_url, model_name="m", requests=requests, rounds=1, warm_up=2
    )


def _together(parts: list[Phases]) -> Phases:
    """One result from those of single rounds."""
    seconds = {name: [part.seconds[name][0] for part in parts] for name in parts[0].seconds}
    return Phases(parts[0].target, parts[0].requests, seconds)
