"""The sections of the page on times. Each says what is seen in words made of the numbers."""

from statistics import median

from bench import clients, codecs, protocols, report, sizes
from bench.page_bytes import Picture
from bench.protocols import CONTENT, FIELDS, JSON, SHORTEST
from bench.words import folded, listed, middle, milliseconds, paragraph, ratio, rounded, spread, table
from labkit.bench.results import Comparison, Phases
from labkit.show import size

_PAIRS = ((CONTENT, SHORTEST), (CONTENT, JSON), (FIELDS, SHORTEST), (SHORTEST, JSON), (CONTENT, FIELDS))
_CLIENT_COLUMNS = {
    "answers a second": clients.THROUGHPUT,
    "median (ms)": clients.MEDIAN,
    "99th percentile (ms)": clients.SLOWEST,
    "cores the clients took": clients.CORES,
}


def sections(run: report.Run, picture: Picture) -> list[str]:
    """All for which the run has numbers."""
    lines = []
    if protocols.LATENCY in run.comparisons:
        lines += _latency(run.comparisons[protocols.LATENCY], picture)
    if protocols.BATCHES in run.comparisons:
        lines += _batches(run.comparisons[protocols.BATCHES], picture)
    if run.phases:
        lines += _phases(run.phases, picture)
    if codecs.REST in run.cases:
        lines += _codecs(run)
    if clients.case(1, clients.THROUGHPUT) in run.cases:
        lines += _clients(run, picture)
    if clients.KEPT in run.cases:
        lines += _libraries(run)
    return lines


def _latency(found: Comparison, picture: Picture) -> list[str]:
    said = f"{_extremes(found, 0, 'One float takes')}; {_extremes(found, -1, f'{found.values[-1]:,} take')}."
    rows = [
        [f"{values:,}", *(spread(points[place].time) for points in found.sides.values())]
        for place, values in enumerate(found.values)
    ]
    crossings = [[way, other, _from(found, way, other)] for way, other in _PAIRS]
    return [
        "### Time against size",
        "",
        *paragraph(said),
        *picture("latency"),
        *table(["is quicker", "than", "from how many floats on"], crossings, texts=2),
        *folded("Every size", table(["floats in a row", *found.sides], rows)),
    ]


def _extremes(found: Comparison, place: int, take: str) -> str:
    times = {name: points[place].time.median for name, points in found.sides.items()}
    quickest, slowest = min(times, key=times.__getitem__), max(times, key=times.__getitem__)
    return (
        f"{take} {milliseconds(times[quickest])} the quickest way ({quickest}) and {milliseconds(times[slowest])} the "
        f"slowest ({slowest})"
    )


def _from(found: Comparison, way: str, other: str) -> str:
    crossing = found.break_even(way, other)
    if crossing is None:
        return f"not even from {found.values[-1]:,}"
    return "at every size" if crossing == found.values[0] else rounded(crossing)


def _batches(found: Comparison, picture: Picture) -> list[str]:
    times = [each.median for each in found.ratios(SHORTEST, CONTENT)]
    counts = [values // sizes.COLUMNS for values in found.values]
    said = (
        f"A request of {counts[0]:,} x 784 floats takes {ratio(times[0])} times as long over REST (shortest digits) as "
        f"over gRPC (`tensor_content`), one of {counts[-1]:,} x 784 takes {ratio(times[-1])} times as long."
    )
    rows = [
        [
            f"{count:,}",
            *(spread(points[place].time) for points in found.sides.values()),
            ratio(times[place]),
            *(size(points[place].request_bytes) for points in found.sides.values()),
        ]
        for place, count in enumerate(counts)
    ]
    columns = ["rows of 784 floats", *found.sides, "REST / gRPC", *(f"bytes, {name[:4]}" for name in found.sides)]
    return ["### Batches", "", *paragraph(said), *picture("batches"), *folded("Every batch", table(columns, rows))]


def _phases(phases: dict[str, list[Phases]], picture: Picture) -> list[str]:
    lines = [
        "### Where the time goes",
        "",
        *paragraph(
            "The client's parts are from its own clock, the server's from its metrics. The rest is *transport*: the "
            "HTTP and gRPC libraries of both sides, the server's event loop and threads, the kernel."
        ),
    ]
    for case, sides in phases.items():
        quickest, slowest = (chosen(sides, key=lambda each: each.total.median) for chosen in (min, max))
        said = f"{case} floats take {_largest_part(slowest, 'slowest')}, and {_largest_part(quickest, 'quickest')}."
        names = list(dict.fromkeys(name for each in sides for name in each.seconds))
        rows = [
            [name, *(spread(each.spread(name)) if name in each.seconds else "" for each in sides)] for name in names
        ]
        rows.append(["together", *(spread(each.total) for each in sides)])
        lines += [*paragraph(said), *picture("phases-large" if case == protocols.LARGE else "phases-small")]
        lines += folded(f"Every part, {case} floats", table(["", *(each.target for each in sides)], rows))
    return lines


def _largest_part(each: Phases, which: str) -> str:
    parts = {name: each.spread(name).median for name in each.seconds}
    largest = max(parts, key=parts.__getitem__)
    share = parts[largest] / sum(parts.values())
    return f"{milliseconds(each.total.median)} the {which} way ({each.target}), {share:.0%} of it {largest}"


def _codecs(run: report.Run) -> list[str]:
    verdicts = [(bar, report.judge(run, bar)) for bar in report.PROTOCOL_BARS if bar.case in (codecs.REST, codecs.GRPC)]
    times = [f"{ratio(each.ratio)} times as long over {bar.case.split()[-1]}" for bar, each in verdicts]
    said = (
        "To read a request of 1000 x 784 floats and to write its answer, the server takes "
        f"{listed(times)} as bare libraries that do the least; the aim is at most twice as long."
    )
    rows = [
        [
            bar.case.split()[-1],
            *(f"{middle(run.cases[bar.case][side])} ms" for side in (codecs.SERVER, codecs.BARE)),
            f"**{each.ratio:.2f}** ({each.low:.2f} to {each.high:.2f})",
            each.words,
        ]
        for bar, each in verdicts
    ]
    return ["### Against theory", "", *paragraph(said), *table(["", codecs.SERVER, codecs.BARE, "ratio", "aim"], rows)]


def _clients(run: report.Run, picture: Picture) -> list[str]:
    def of(count: int, what: str, side: str) -> list[float]:
        return run.cases[clients.case(count, what)][side]

    sides = list(run.cases[clients.case(1, clients.THROUGHPUT)])
    best = {
        side: max((median(of(count, clients.THROUGHPUT, side)), count) for count in clients.CLIENTS) for side in sides
    }
    cores = max(median(of(count, clients.CORES, side)) for side in sides for count in clients.CLIENTS)
    most = [f"{rate:,.0f} a second over {side} ({count} at a time)" for side, (rate, count) in best.items()]
    said = (
        f"Small requests are answered up to {listed(most)}. The clients are threads of one Python process and take "
        f"up to {cores:.1f} cores meanwhile: what is seen is as much theirs as the server's."
    )
    rows = [
        [f"{side}, {count}", *(middle(of(count, what, side)) for what in _CLIENT_COLUMNS.values())]
        for side in sides
        for count in clients.CLIENTS
    ]
    columns = ["one row of 4 floats, clients", *_CLIENT_COLUMNS]
    return ["### Many clients", "", *paragraph(said), *picture("clients"), *table(columns, rows)]


def _libraries(run: report.Run) -> list[str]:
    kept, new = run.cases[clients.KEPT], run.cases[clients.NEW]
    quickest = min(kept, key=lambda name: median(kept[name]))
    dearer = {name: median(new[name]) / median(kept[name]) for name in kept}
    least, most = min(dearer, key=dearer.__getitem__), max(dearer, key=dearer.__getitem__)
    said = (
        f"`{quickest}` is the quickest on a connection that is kept. A new connection for each request takes "
        f"{ratio(dearer[least])} (`{least}`) to {ratio(dearer[most])} times as long (`{most}`); httpx reads the "
        "machine's certificates for each new client, even if it never speaks TLS."
    )
    rows = [[name, f"{middle(kept[name])} ms", f"{middle(new[name])} ms", ratio(dearer[name])] for name in kept]
    columns = ["one row of 4 floats", "connection kept", "a new one each time", "new / kept"]
    return ["### Libraries and connections", "", *paragraph(said), *table(columns, rows)]
