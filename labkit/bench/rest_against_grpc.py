"""REST against gRPC as `labkit bench compare` measures it: a comparison, its batch sizes, and where the time goes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from labkit.bench import payload, results
from labkit.bench.breakdown import phases
from labkit.bench.command_questions import Access, ask_once
from labkit.bench.comparison import compare
from labkit.bench.inputs import Inputs
from labkit.bench.results import Comparison, LoadResult, Phases
from labkit.bench.targets import GrpcTarget, RestTarget
from labkit.errors import EnvironmentProblem, MeasurementFailed


@dataclass(frozen=True)
class Place:
    """Where one model is served over both protocols.

    Attributes:
        rest_url: the whole ``:predict`` address.
        grpc_url: the ``grpc://`` or ``grpcs://`` address.
        model_name: the model's name.
        metrics_url: where its metrics would be.
    """

    rest_url: str
    grpc_url: str
    model_name: str
    metrics_url: str


@dataclass(frozen=True)
class Compared:
    """What was found out.

    Attributes:
        comparison: the sides, gRPC the last.
        rows: the batch size of each size; empty if that is not known.
        phases: of each side, at the largest size.
        notes: what a reader should know.
    """

    comparison: Comparison
    rows: list[int] = field(default_factory=list)
    phases: list[Phases] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def sides(place: Place, access: Access, signature_name: str | None) -> list[RestTarget | GrpcTarget]:
    """Three ways to ask: REST as `json` writes numbers, REST with the shortest digits, gRPC."""
    python = payload.json_rows("python", signature_name=signature_name)
    shortest = payload.json_rows(signature_name=signature_name)
    return [
        access.rest(place.rest_url, python, "REST, json"),
        access.rest(place.rest_url, shortest, "REST, shortest"),
        access.grpc(place.grpc_url, payload.tensor_content(place.model_name, signature_name=signature_name), "gRPC"),
    ]


def measure(
    place: Place,
    targets: Sequence[RestTarget | GrpcTarget],
    inputs_of: Callable[[int], Inputs],
    rows: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[float], None],
) -> Compared:
    """Compare, then take requests of the largest size apart.

    Raises:
        RequestError: a server refused.
        MeasurementFailed: a form cannot carry the inputs, answers cannot be read, or differ.
    """
    try:
        for target in targets:
            ask_once(target, target.encode(inputs_of(rows[0])), read=True)
        comparison = compare(targets, inputs_of, rows, rounds=rounds, seconds=seconds, progress=progress)
        parts, notes = _phases(place, targets, inputs_of(rows[-1]))
    except ValueError as error:
        raise MeasurementFailed(str(error)) from error
    return Compared(comparison, list(rows), parts, notes)


def _phases(place: Place, targets: Sequence[RestTarget | GrpcTarget], inputs: Inputs) -> tuple[list[Phases], list[str]]:
    """With the server's share where its metrics tell it; without, where there are none or somebody else is counted."""
    measured = partial(phases, requests=5, rounds=3, warm_up=2)
    try:
        known = partial(measured, metrics_url=place.metrics_url, model_name=place.model_name)
        return [known(target, inputs) for target in targets], []
    except (MeasurementFailed, EnvironmentProblem) as error:
        note = f"The server's own share is not known and in the round trip. {error}"
        return [measured(target, inputs) for target in targets], [note]


def save(found: Compared, path: Path) -> None:
    """Write all of it. `results.load` reads the comparison out of the file, `load` the rest, too."""
    more = asdict(found)
    comparison = more.pop("comparison")
    saved = {"kind": Comparison.__name__, **comparison, **more}
    path.write_text(json.dumps(saved) + "\n", encoding="utf-8")


def load(path: Path) -> LoadResult | Phases | Compared:
    """Read what `save`, or `results.save`, wrote; a comparison without batch sizes or phases is one, too.

    Raises:
        MeasurementFailed: the file holds something else.
        OSError: the file cannot be read.
    """
    result = results.load(path)
    if not isinstance(result, Comparison):
        return result
    saved = json.loads(path.read_text(encoding="utf-8"))
    try:
        rows = [int(each) for each in saved.get("rows", [])]
        if len(rows) not in (0, len(result.values)):
            raise ValueError(f"{len(rows)} batch sizes for {len(result.values)} sizes")
        parts = [Phases.from_json(each) for each in saved.get("phases", [])]
        return Compared(result, rows, parts, [str(each) for each in saved.get("notes", [])])
    except (ValueError, TypeError) as error:
        raise MeasurementFailed(f"{path} is no saved result of labkit bench compare: {error!r}") from error
