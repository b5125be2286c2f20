"""`labkit bench`: load on any model server, the bytes of a request, REST against gRPC, from the command line."""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from labkit import quiet_tensorflow, serving
from labkit.bench import command_arguments, load, payload, rest_against_grpc, results, server_metrics
from labkit.bench import command_questions as questions
from labkit.bench import command_tables as tables
from labkit.bench.inputs import Inputs
from labkit.bench.random_arrays import random_array
from labkit.bench.signature_inputs import Input, random_inputs
from labkit.bench.targets import GrpcTarget, RestTarget
from labkit.errors import MeasurementFailed

_ROWS = (1, 4, 16, 64, 256, 1024)
_MOST_VALUES = 2_000_000  # of sizes that nobody asked for: as JSON, some 40 MB
_CLIENTS, _OPEN_CLIENTS = 8, 32

Found = results.LoadResult | results.Phases | rest_against_grpc.Compared


def main(argv: list[str]) -> int:
    """The command: 0 when something was measured; wrong arguments end it with status 2.

    Raises:
        MeasurementFailed: nothing could be measured, or what was printed could not be saved.
    """
    given = command_arguments.read(argv)
    if given.what == "sizes":
        _print(_sizes(given))
        return 0
    commands: dict[str, Callable[[argparse.Namespace], Found]] = {"load": _load, "compare": _compare, "show": _show}
    found = commands[given.what](given)
    _print(_shown(found))
    if given.save:
        _save(found, given.save)
    return 0


def _print(parts: Iterable[Table | str]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    for part in parts:
        console.print(part)


def _save(found: Found, path: Path) -> None:
    try:
        if isinstance(found, rest_against_grpc.Compared):
            rest_against_grpc.save(found, path)
        else:
            results.save(found, path)
    except OSError as error:
        raise MeasurementFailed(f"What is printed above could not be saved in {path}: {error.strerror}") from error


def _load(given: argparse.Namespace) -> results.LoadResult:
    with _wrong_arguments(given.parser):
        _check_load(given)
        target, request, inputs = _question(given)
    questions.ask_once(target, request, read=given.whole)
    loop = partial(load.closed_loop, clients=given.clients or _CLIENTS)
    if given.rate:
        loop = partial(load.open_loop, rate=given.rate, clients=given.clients or _OPEN_CLIENTS)
    with _progress(f"{given.rounds} rounds of {given.seconds:g} s") as progress, questions.readable(target.name):
        return loop(
            target,
            inputs if given.whole else request,
            seconds=given.seconds,
            rounds=given.rounds,
            warm_up=given.warm_up,
            keep_connection=not given.no_keep_connection,
            progress=progress,
        )


def _check_load(given: argparse.Namespace) -> None:
    if given.whole and given.body:
        raise ValueError("--whole encodes arrays each time; --body is bytes already: use --inputs or --random")
    if questions.is_grpc(given.url) and not given.body and not given.model:
        raise ValueError("over gRPC a request names its model: --model NAME")
    if given.shape and not given.random:
        raise ValueError("--shape is for --random")


def _question(given: argparse.Namespace) -> tuple[RestTarget | GrpcTarget, bytes, Inputs]:
    """Who is asked, what is sent, and the arrays that it was made of."""
    over_grpc = questions.is_grpc(given.url)
    if given.body:
        form = questions.as_it_is("gRPC" if over_grpc else "REST")
    elif over_grpc:
        _import_tensorflow()
        form = payload.tensor_content(given.model, signature_name=given.signature)
    else:
        form = questions.usual_json(given.signature)
    access = _access(given, given.library)
    target = access.grpc(given.url, form) if over_grpc else access.rest(given.url, form)
    if given.body:
        return target, questions.file_bytes(given.body), {}
    if given.inputs:
        inputs = questions.file_arrays(given.inputs)
    else:
        signature = questions.signature(target, given.model, given.signature)
        inputs = random_inputs(signature, given.random, dict(given.shape), seed=given.seed)
    return target, target.encode(inputs), inputs


def _access(given: argparse.Namespace, library: str = "requests") -> questions.Access:
    authority = questions.file_bytes(given.ca_file) if given.ca_file else None
    return questions.Access(dict(given.header), given.timeout, authority, library)


def _sizes(given: argparse.Namespace) -> list[Table | str]:
    with _wrong_arguments(given.parser):
        if given.inputs and (given.dtype or given.values):
            raise ValueError("--dtype and --values are for --shape; the arrays of --inputs are what they are")
        inputs = questions.file_arrays(given.inputs) if given.inputs else _batch(given)
        _import_tensorflow()
        forms = [form for form in payload.all_forms() if given.gzip or not form.gzip]
        measured = []
        with _progress("writing") as progress:
            for place, form in enumerate(forms, start=1):
                measured += _measured(inputs, form)
                progress(place / len(forms))
        if not measured:
            raise ValueError(f"there are no values in a batch of shape {[each.shape for each in inputs.values()]}")
    types = ", ".join(sorted({"string" if each.dtype == object else str(each.dtype) for each in inputs.values()}))
    return tables.sizes(measured, sum(each.size for each in inputs.values()), types)


def _batch(given: argparse.Namespace) -> Inputs:
    dtype = given.dtype or np.dtype(np.float32)
    return {"x": random_array(dtype, given.shape, values=given.values, generator=np.random.default_rng(0))}


def _measured(inputs: Inputs, form: payload.WireForm) -> list[payload.Payload]:
    """The batch in one form; nothing if the form cannot carry it."""
    try:
        return payload.measure(inputs, [form])
    except ValueError:
        return []


def _compare(given: argparse.Namespace) -> rest_against_grpc.Compared:
    with _wrong_arguments(given.parser):
        _check_compare(given)
        access = _access(given)
    _import_tensorflow()
    with _place(given) as place:
        with _wrong_arguments(given.parser):
            targets = rest_against_grpc.sides(place, access, given.signature)
            signature = questions.signature(targets[0], place.model_name, given.signature)
            rows, notes = _rows(signature, given)
        with _progress(f"{len(rows)} sizes, {len(targets)} sides") as progress:
            found = rest_against_grpc.measure(
                place,
                targets,
                partial(random_inputs, signature, shapes=dict(given.shape), seed=given.seed),
                rows,
                rounds=given.rounds,
                seconds=given.seconds,
                progress=progress,
            )
    found.notes.extend(notes)
    return found


def _check_compare(given: argparse.Namespace) -> None:
    running = [given.rest, given.grpc, given.model]
    if given.folder and any(running):
        raise ValueError("MODEL_FOLDER is served here; --rest, --grpc and --model are for a server that runs")
    if not given.folder and not all(running):
        raise ValueError("name a MODEL_FOLDER, or all of --rest, --grpc and --model of a server that runs")
    if given.rest and questions.is_grpc(given.rest):
        raise ValueError(f"--rest is {given.rest}; an http address is wanted")


def _rows(signature: dict[str, Input], given: argparse.Namespace) -> tuple[list[int], list[str]]:
    """The batch sizes, and a note on those that are left out."""
    sizes = {}
    for rows in given.rows or _ROWS:
        inputs = random_inputs(signature, rows, dict(given.shape), seed=given.seed)
        sizes[rows] = sum(each.size for each in inputs.values())
        if not given.rows and sizes[rows] > _MOST_VALUES and len(sizes) > 1:
            kept = [rows for rows in sizes if sizes[rows] <= _MOST_VALUES] or [1]
            return kept, [
                f"Batches of {rows:,} rows and more have over {_MOST_VALUES:,} values: ask for them with --rows."
            ]
    return list(sizes), []


@contextmanager
def _place(given: argparse.Namespace) -> Iterator[rest_against_grpc.Place]:
    """The server that was named, or one that runs for as long as it is needed."""
    if not given.folder:
        yield _running(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        monitoring = Path(folder, "monitoring.config")
        monitoring.write_text("prometheus_config { enable: true }", encoding="utf-8")
        with _progress("starting a server"):
            server = serving.serve(given.folder, monitoring_config_file=monitoring)
        with server:
            yield _at(server.rest_url, f"grpc://{server.grpc_address}", server.name)


def _running(given: argparse.Namespace) -> rest_against_grpc.Place:
    return _at(given.rest, given.grpc if "://" in given.grpc else f"grpc://{given.grpc}", given.model)


def _at(rest: str, grpc: str, model_name: str) -> rest_against_grpc.Place:
    """The addresses of one model; `rest` may be the server's alone."""
    parts = urlsplit(rest)
    metrics = parts._replace(path=server_metrics.PATH, query="").geturl()
    if not parts.path.strip("/"):
        rest = parts._replace(path=f"/v1/models/{quote(model_name, safe='')}:predict").geturl()
    return rest_against_grpc.Place(rest, grpc, model_name, metrics)


def _show(given: argparse.Namespace) -> Found:
    with _wrong_arguments(given.parser):
        if given.file == "-":
            raise ValueError("show reads a file that --save wrote, not standard input")
        questions.file_bytes(given.file)
    return rest_against_grpc.load(Path(given.file))


def _shown(found: Found) -> list[Table | str]:
    if isinstance(found, results.LoadResult):
        return tables.load(found)
    if isinstance(found, results.Phases):
        return tables.phases([found])
    parts = tables.comparison(found.comparison, found.rows)
    if found.phases:
        parts += ["", *tables.phases(found.phases, found.rows[-1])]
    return [*parts, *found.notes]


def _import_tensorflow() -> None:
    with _progress("importing TensorFlow"):
        quiet_tensorflow.import_it()


@contextmanager
def _wrong_arguments(parser: argparse.ArgumentParser) -> Iterator[None]:
    """What turns out to be wrong with the arguments ends the program as argparse does, with status 2."""
    try:
        yield
    except ValueError as error:
        parser.error(str(error))


@contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, gone when it is done; nothing where that is no terminal.

    It is drawn when it is told of progress and not in between: drawing would take time from those who measure.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as drawn:
        bar = drawn.add_task(what, total=1.0)
        drawn.refresh()

        def progress(share: float) -> None:
            drawn.update(bar, completed=share)
            drawn.refresh()

        yield progress
