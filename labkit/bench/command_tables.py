"""Measurements as a reader of a terminal wants them: tables, and sentences that say what to make of the numbers."""

from collections.abc import Sequence
from math import floor, log10

from rich import box
from rich.table import Table

from labkit.bench.payload import Payload
from labkit.bench.results import Comparison, LoadResult, Phases, Spread

_PERCENTILES = (50, 90, 99)
_ENOUGH_BEYOND = 10
_BUSY_CORES = 0.9


def number(value: float) -> str:
    """Three digits that count, and all of those before the point."""
    rounded = abs(float(f"{value:.3g}"))
    digits = max(0, 2 - floor(log10(rounded))) if rounded else 0
    return f"{value:,.{digits}f}"


def load(result: LoadResult) -> list[Table | str]:
    """What load brought, with notes on what the numbers can bear."""
    table = _table("latency (ms)", "median", "low – high")
    if result.loop == "open":
        table = _table("latency (ms)", "from when due", "low – high", "from when sent", "low – high")
    for percentile in (*_PERCENTILES, 100):
        spreads = [result.latency(percentile)]
        if result.loop == "open":
            spreads.append(result.latency(percentile, service_time=True))
        name = "slowest" if percentile == 100 else f"p{percentile}"
        table.add_row(name, *(cell for each in spreads for cell in _cells(each, 1000)))
    return [_what_was_done(result), table, *load_notes(result)]


def load_notes(result: LoadResult) -> list[str]:
    """What a reader should know before quoting the numbers; empty if there is nothing."""
    notes = []
    if result.loop == "open":
        notes.append(
            "From when due: how long a user waits who comes at that rate. From when sent: how long an answer took once "
            "it was asked for. Where the first is much longer, requests waited until one of the "
            f"{_count(result.clients, 'client')} was free: this rate is too much for the server, or for the clients."
        )
    if result.client_cores.median > _BUSY_CORES:
        notes.append(
            f"Python's clients kept {result.client_cores.median:.1f} cores busy: they may be the limit, not the "
            "server; wrk or h2load can ask faster."
        )
    smallest = min(len(each.latencies) for each in result.rounds)
    thin = [f"p{each}" for each in _PERCENTILES if smallest * (100 - each) / 100 < _ENOUGH_BEYOND]
    if thin:
        notes.append(
            f"Fewer than {_ENOUGH_BEYOND} requests of a round lie beyond {' and '.join(thin)}: chance has a part in "
            "it. More --seconds help."
        )
    return notes


def sizes(payloads: Sequence[Payload], values: int, types: str) -> list[Table | str]:
    """The bytes of each form, against those with `tensor_content`, in which every batch can be written."""
    binary = next(each.bytes for each in payloads if each.name == "TensorProto, tensor_content")
    table = _table("form", "bytes", "per value", "× content", "exact")
    for each in payloads:
        ratio = number(each.bytes / binary)
        exact = "yes" if each.exact else "no"
        table.add_row(each.name, f"{each.bytes:,}", number(each.bytes_per_value), ratio, exact)
    return [f"{_count(values, 'value')}, {types}", table]


def comparison(found: Comparison, rows: Sequence[int] | None = None) -> list[Table | str]:
    """One line for each size and side, and from where on the last side is the quicker one.

    Args:
        found: what was measured; the last side is what the others are compared with.
        rows: the batch size of each size, where it is known.
    """
    *others, last = found.sides
    table = _table("rows" if rows else "", "values", "side", "bytes", "ms", "low – high", f"× {last}")
    table.columns[0].justify, table.columns[2].justify = "right", "left"
    ratios = {side: found.ratios(side, last) for side in others}
    for place, values in enumerate(found.values):
        for side, points in found.sides.items():
            first = side == next(iter(found.sides))
            size = (f"{rows[place]:,}" if rows else "", f"{values:,}") if first else ("", "")
            ratio = number(ratios[side][place].median) if side in ratios else ""
            point = points[place]
            table.add_row(*size, side, f"{point.request_bytes:,}", *_cells(point.time, 1000), ratio)
        table.add_section()
    rounds = len(found.sides[last][0].seconds)
    title = f"One client, one request after the other, from arrays to arrays; {_count(rounds, 'round')}"
    per_row = found.values[0] / rows[0] if rows else None
    return [title, table, *(break_even(found, side, last, per_row) for side in others)]


def break_even(found: Comparison, slow: str, quick: str, values_per_row: float | None = None) -> str:
    """One sentence: from how many values on `quick` is quicker than `slow`, and whether the rounds agree about it."""
    sizes = found.values
    edge = found.break_even(quick, slow)
    if edge is None:
        sentence = f"{quick} was not quicker than {slow} at the largest size, {_size(sizes[-1], values_per_row)}."
    elif edge == sizes[0]:
        sentence = f"{quick} was quicker than {slow} at every size, from {_size(sizes[0], values_per_row)} on."
    else:
        sentence = f"{quick} is quicker than {slow} from about {_size(_two_digits(edge), values_per_row)} on."
    ratios = found.ratios(quick, slow)
    unsure = [_size(size, values_per_row) for size, each in zip(sizes, ratios, strict=True) if each.low < 1 < each.high]
    return sentence + (f" At {', '.join(unsure)} the rounds disagree." if unsure else "")


def phases(found: Sequence[Phases], rows: int | None = None) -> list[Table | str]:
    """Where the time of a request went, each target a column."""
    table = _table("ms (share)", *(each.target for each in found))
    for name in found[0].seconds:
        table.add_row(name, *(_share(each, each.spread(name).median) for each in found))
    table.add_section()
    table.add_row("total", *(_share(each, each.total.median) for each in found))
    size = f" of {_count(rows, 'row')}" if rows else ""
    return [f"Where the time of a request{size} goes", table]


def _table(*columns: str) -> Table:
    """Numbers stand right, the first column and spreads left."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place, column in enumerate(columns):
        left = not place or column == "low – high"
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    return table


def _cells(spread: Spread, factor: float = 1.0) -> tuple[str, str]:
    median, low, high = (number(value * factor) for value in spread)
    return median, f"{low} – {high}"


def _what_was_done(result: LoadResult) -> Table:
    loop = f"closed, {_count(result.clients, 'client')}"
    if result.rate is not None:
        loop = f"open, {number(result.rate)} requests a second, at most {_count(result.clients, 'client')}"
    seconds = Spread.of([each.seconds for each in result.rounds]).median
    a_second, spread = _cells(result.throughput)
    failed = ", ".join(f"{count:,} {code}" for code, count in sorted(result.errors.items()))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    grid.add_row("target", result.target)
    grid.add_row("loop", f"{loop}, {'connections kept' if result.keep_connection else 'a connection for each request'}")
    grid.add_row("rounds", f"{len(result.rounds)} of {seconds:.1f} s")
    grid.add_row("bytes", f"{result.request_bytes:,} in a request, {result.answer_bytes:,} in an answer")
    grid.add_row("answered", f"{_count(result.requests, 'request')}, {a_second} a second ({spread})")
    grid.add_row("failed", failed or "none")
    return grid


def _share(found: Phases, seconds: float) -> str:
    return f"{number(seconds * 1000)} ({100 * seconds / found.total.median:3.0f} %)"


def _two_digits(value: float) -> int:
    return round(float(f"{value:.2g}"))


def _size(values: int, per_row: float | None) -> str:
    known = f" ({_count(max(1, round(values / per_row)), 'row')})" if per_row else ""
    return f"{_count(values, 'value')}{known}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
