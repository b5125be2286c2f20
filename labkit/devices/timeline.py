"""The picture of what ran when."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from labkit import plot
from labkit.devices.picture_parts import WIDTH, legend, looks_of, natural, text_width

_SMALL = 7.5
_BAR = 17.0  # from one line of bars to the next


def timeline(
    events: Iterable[Any],
    *,
    rows_by: Literal["thread", "device"],
    kind: Mapping[Any, str | None] | Callable[[Any], str | None],
    title: str,
    alt: str,
) -> plot.Figure:
    """What ran when: a bar from start to end of each event, in the row of its thread or device.

    Time starts with the first bar. Events of one row that overlap, or hold one another, get a line each. A bar that is
    wide enough has its name in it, or the name's last part.

    Args:
        events: with ``.name``, ``.start`` and ``.end`` (seconds; None leaves it out), and ``.thread`` or ``.device``:
            those of a `labkit.devices.Trace` have threads, the ops of a `labkit.devices.Placement` have devices.
        rows_by: which of the two the rows are.
        kind: what an event counts as, for its colour: a function of the event, or a mapping from it. None, an empty
            name, or no entry leaves it out.
        title, alt: as for `labkit.plot.Figure`.

    Raises:
        ValueError: no event is left to draw; events have no such row; `alt` is no sentence.
    """
    group = kind if callable(kind) else kind.get
    timed = [event for event in events if event.start is not None and event.end is not None]
    bars = [(event, name) for event in timed if (name := group(event))]
    if not bars:
        raise ValueError(f"of {len(timed)} events with a time none is left to draw; let kind name some of them")
    if lacking := next((event for event, _ in bars if not hasattr(event, rows_by)), None):
        raise ValueError(
            f"rows_by is {rows_by!r}, but {lacking} has none; rows are 'thread' for a trace, else 'device'"
        )
    begin = min(event.start for event, _ in bars)
    looks = looks_of(name for _, name in bars)
    places = _lines(bars, rows_by)
    figure = plot.Figure._labelled(title, "time (ms)", rows_by, alt)
    height = 80 + _BAR * (1 + max(line for _, line in places)) + legend(figure, looks, WIDTH)
    figure._canvas.set_size_inches(WIDTH / 72, height / 72)
    per_ms = _rule(figure, places, rows_by, 1e3 * (max(event.end for event, _ in bars) - begin))
    for (event, name), line in places:
        _draw_bar(figure, event, line, 1e3 * (event.start - begin), per_ms, looks[name])
    return figure


def _lines(bars: Sequence[tuple[Any, str]], rows_by: str) -> list[tuple[tuple[Any, str], int]]:
    """Each bar with its line, from the top: rows in natural order, in a row the first line that is free by then."""
    places, first = [], 0
    for row in sorted({getattr(event, rows_by) for event, _ in bars}, key=natural):
        ends: list[float] = []
        own = [bar for bar in bars if getattr(bar[0], rows_by) == row]
        for bar in sorted(own, key=lambda bar: (bar[0].start, -bar[0].end)):
            line = next((n for n, end in enumerate(ends) if end <= bar[0].start), len(ends))
            ends[line : line + 1] = [bar[0].end]
            places.append((bar, first + line))
        first += len(ends)
    return places


def _rule(figure: plot.Figure, places: Sequence[tuple[tuple[Any, str], int]], rows_by: str, long: float) -> float:
    """Names the rows, parts them, and fixes both scales; returns how many points a millisecond is wide."""
    rows: dict[str, list[int]] = {}
    for (event, _), line in places:
        rows.setdefault(getattr(event, rows_by), []).append(line)
    middles = [(min(lines) + max(lines)) / 2 for lines in rows.values()]
    lines = 1 + max(max(lines) for lines in rows.values())
    figure.axes.set_yticks(middles, list(rows), parse_math=False)
    figure.axes.set(ylim=(lines - 0.4, -0.6), xlim=(0, long or 1.0))
    figure.axes.grid(False, axis="y")
    for used in list(rows.values())[1:]:
        figure.axes.axhline(min(used) - 0.5, color="#bbbbbb", linewidth=0.8)
    figure._canvas.draw_without_rendering()  # it finds out how wide the axes become
    return figure.axes.get_window_extent().width / figure._canvas.dpi * 72 / (long or 1.0)


def _draw_bar(figure: plot.Figure, event: Any, line: int, start: float, per_ms: float, look: Mapping[str, Any]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    length = 1e3 * (event.end - event.start)
    room = length * per_ms
    # A white outline would hide a bar that is hardly wider than that.
    outline = {"edgecolor": look["facecolor"], "linewidth": 0.7} if room < 4 else {}
    bar = Rectangle((start, line - 0.4), length, 0.8, zorder=2, **{**look, **outline})
    bar.set_in_layout(False)  # the room for the axes does not depend on what is in them, and finding it out is slow
    figure.axes.add_patch(bar)
    for text in (event.name, event.name.rpartition("/")[2]) if room > _SMALL else ():
        if text.strip("_0123456789") and text_width(text, _SMALL) + 6 < room:
            halo = withStroke(linewidth=3, foreground="white")
            style: dict[str, Any] = {"size": _SMALL, "ha": "center", "va": "center_baseline", "parse_math": False}
            figure.axes.text(start + length / 2, line, text, path_effects=[halo], **style).set_in_layout(False)
            break
