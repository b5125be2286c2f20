"""The pictures of the page."""

from collections.abc import Mapping
from statistics import median

from bench import clients, protocols, report, sizes
from bench.words import milliseconds, rounded
from labkit import plot
from labkit.bench.results import Comparison

RIVALS = "REST, 8 in flight"


def draw(run: report.Run) -> dict[str, plot.Figure]:
    """What the run has numbers for: file name -> figure."""
    drawn = {}
    if sizes.EACH_FORM in run.cases:
        drawn["bytes"] = _bytes(run.cases[sizes.EACH_FORM])
        drawn["picture"] = _photograph(run.cases[sizes.PICTURE])
    if protocols.LATENCY in run.comparisons:
        drawn["latency"] = _latency(run.comparisons[protocols.LATENCY])
    if protocols.BATCHES in run.comparisons:
        drawn["batches"] = _batches(run.comparisons[protocols.BATCHES])
    for case, file in ((protocols.LARGE, "phases-large"), (protocols.SMALL, "phases-small")):
        if case in run.phases:
            drawn[file] = _phases(case, run)
    if clients.case(1, clients.THROUGHPUT) in run.cases:
        drawn["clients"] = _clients(run)
    if RIVALS in run.cases:
        drawn["rivals"] = _rivals(run.cases[RIVALS])
    return drawn


def _bytes(forms: report.Rounds) -> plot.Figure:
    plain = {name: each[0] for name, each in forms.items() if "gzip" not in name and "columns" not in name}
    return _with_lengths(
        plain,
        title="One float32 of a large batch",
        x="written as",
        y="size (bytes per value)",
        alt=f"Horizontal bars, from {min(plain.values()):.1f} bytes a float to {max(plain.values()):.1f}.",
        form="{:.1f}",
    )


def _photograph(ways: report.Rounds) -> plot.Figure:
    values = {name: each[0] / 1000 for name, each in ways.items()}
    return _with_lengths(
        values,
        title="A photograph of 224 x 224 pixels",
        x="sent as",
        y="size (kB)",
        alt=f"Horizontal bars, from {min(values.values()):,.0f} kB to {max(values.values()):,.0f} kB.",
        form="{:,.0f}",
    )


def _latency(found: Comparison) -> plot.Figure:
    figure = plot.lines(
        _milliseconds(found),
        title="One row, one client",
        x="size of the row (floats)",
        y="time of a request (ms)",
        alt="Time of a request against the number of floats in it, both axes logarithmic, a line for each way to ask.",
    )
    _logarithmic(figure)
    crossing = found.break_even(protocols.CONTENT, protocols.SHORTEST)
    if crossing and crossing > found.values[0]:
        _mark(figure, crossing, "gRPC, tensor_content\nis quicker than REST,\nshortest digits")
    figure.axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0, 0.6), fontsize=9)
    return figure


def _mark(figure: plot.Figure, floats: float, text: str) -> None:
    """A vertical line, and the words at that side of it where more room is."""
    left, right = figure.axes.get_xlim()
    to_the_left = floats * floats > left * right
    figure.axes.axvline(floats, color="#555555", linestyle=":", linewidth=1.2, marker="none")
    figure.axes.annotate(
        f"from {rounded(floats)} floats on\n{text}",
        (floats, 1),
        (-5 if to_the_left else 5, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if to_the_left else "left",
        va="top",
        fontsize=8,
    )


def _logarithmic(figure: plot.Figure) -> None:
    figure.axes.set(xscale="log", yscale="log")
    for axis in (figure.axes.xaxis, figure.axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_minor_formatter(lambda *_: "")


def _batches(found: Comparison) -> plot.Figure:
    series = {name: ([size / sizes.COLUMNS for size in xs], ys) for name, (xs, ys) in _milliseconds(found).items()}
    figure = plot.lines(
        series,
        title="Rows of 784 floats, one client",
        x="batch (rows)",
        y="time of a request (ms)",
        alt="Time of a request against the rows in it, both axes logarithmic, a line for REST and one for gRPC.",
    )
    _logarithmic(figure)
    return figure


def _milliseconds(found: Comparison) -> dict[str, tuple[list[float], list[float]]]:
    return {
        name: ([point.values for point in points], [1000 * point.time.median for point in points])
        for name, points in found.sides.items()
    }


def _phases(case: str, run: report.Run) -> plot.Figure:
    """Shares, with the whole in the bars' names: on one scale of time the quick ones could not be seen."""
    bars = {}
    for each in run.phases[case]:
        name = f"{each.target}\n{milliseconds(each.total.median)}"
        parts = {phase: each.spread(phase).median for phase in each.seconds}
        bars[name] = {phase: 100 * seconds / sum(parts.values()) for phase, seconds in parts.items()}
    figure = plot.stacked(
        bars,
        title=f"Where the time of {case} floats goes",
        x="request",
        y="share of the time (%)",
        alt=f"For each way to send {case} floats, which share of the time each part of a request takes.",
    )
    figure.axes.set_xlim(0, 100)
    return figure


def _clients(run: report.Run) -> plot.Figure:
    rates = {number: run.cases[clients.case(number, clients.THROUGHPUT)] for number in clients.CLIENTS}
    series = {
        side: (list(rates), [median(each[side]) for each in rates.values()]) for side in next(iter(rates.values()))
    }
    figure = plot.lines(
        series,
        title="One row of 4 floats, many Python clients",
        x="clients (count)",
        y="answers (1/s)",
        alt="Answers a second against the number of clients, a line for REST and one for gRPC.",
    )
    figure.axes.set(xticks=list(rates), ylim=(0, 1.1 * figure.axes.get_ylim()[1]))
    return figure


def _rivals(sides: report.Rounds) -> plot.Figure:
    return _with_lengths(
        {name: median(each) for name, each in sides.items()},
        title="Small requests over REST, eight in flight",
        x="server",
        y="answers (1/s)",
        alt="Horizontal bars: how many small requests a second each server answers.",
        form="{:,.0f}",
    )


def _with_lengths(values: Mapping[str, float], *, form: str, **texts: str) -> plot.Figure:
    """Bars that lie, each with its value behind it."""
    figure = plot.bars(values, horizontal=True, **texts)
    for bar in figure.axes.containers:
        figure.axes.bar_label(bar, fmt=form, padding=3, fontsize=8)
    figure.axes.margins(x=0.12)
    return figure
