"""Two pictures of where a function ran: its graph, coloured by device, and what ran when.

The graph is laid out after Sugiyama, Tagawa and Toda ("Methods for visual understanding of hierarchical system
structures", 1981): ops stand in rows, each below what it reads from; an arrow longer than one row gets a lane through
the rows between; a row is sorted by the mean place of its neighbours, which leaves few crossings.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import accumulate, combinations, count, pairwise
from statistics import mean
from typing import Any, Literal

from labkit import plot

MOST_OPS = 40
HIDDEN = frozenset({"Const", "NoOp", "_Arg", "_Retval", "_DeviceArg", "_DeviceRetval"})

# All lengths are points, 1/72 inch.
_WIDTH = 6.4 * 72
_MARGIN = 8.0
_LETTERS = 8.0
_SMALL = 7.5
_LINE = 10.0  # from one line of text to the next
_STRIP = 9.0  # the band in the device's colour at a box's left end
_PADDING = 4.0  # around the text in a box
_LANE = 5.0  # from one arrow to the next, and less than half of what is between two boxes
_BESIDE = 12.0  # between two boxes of a row
_BELOW = 30.0  # between two rows
_TITLE = 34.0
_LEGEND_LINE = 16.0
_BAR = 17.0  # from one line of bars to the next

_COPIED = {"linewidth": 1.8, "linestyle": (0, (4, 2))}

Key = Hashable  # an op's name, or for a lane through a row: (from, device to which it leads, row)


def graph(ops: Iterable[Any], *, title: str, alt: str, hide: Iterable[str] = HIDDEN) -> plot.Figure:
    """The graph of `ops`: a box for each, coloured by its device, and an arrow from each op to those that read from it.

    An arrow is dashed and thicker where it leads to another device: what it stands for is copied there.

    Args:
        ops: with ``.name``, ``.op`` (its type), ``.device`` and ``.inputs`` (names of the ops it reads from; any but
            `ops` are passed over), as `labkit.devices.place` gives them.
        title, alt: as for `labkit.plot.Figure`.
        hide: types of ops to leave out; whatever reads from one of them gets its arrow from what that one reads.

    Raises:
        ValueError: nothing is left to draw, or more than `MOST_OPS` ops; two have the same name; `alt` is no sentence.
    """
    ops, hide = list(ops), frozenset(hide)
    known = {op.name: op for op in ops}
    shown = {name: op for name, op in known.items() if op.op not in hide}
    twice = [name for name, times in Counter(op.name for op in ops).items() if times > 1]
    if twice:
        raise ValueError(f"several ops are called {twice[0]!r}; give the ops of one graph, where a name is there once")
    if not 0 < len(shown) <= MOST_OPS:
        types = ", ".join(f"{times} {op}" for op, times in Counter(op.op for op in shown.values()).most_common(6))
        raise ValueError(
            f"of {len(ops)} ops {len(shown)} are left to draw ({types or 'none'}); a picture can be read with 1 to "
            f"{MOST_OPS}. Give only those that matter, or change the types in hide: {sorted(hide)}"
        )
    arrows = list(dict.fromkeys((source, name) for name in shown for source in _sources(name, known, shown)))
    return _draw_graph({name: _Box(op) for name, op in shown.items()}, arrows, title, alt)


def _sources(name: str, known: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """The shown ops that `name` reads from, through hidden ones as well."""
    found, seen, waiting = [], {name}, list(known[name].inputs)
    for source in waiting:  # it grows
        if source in shown:
            found.append(source)
        elif source in known and source not in seen:
            seen.add(source)
            waiting += known[source].inputs
    return found


class _Box:
    """An op's device, lines of text, and size."""

    def __init__(self, op: Any) -> None:
        self.device = op.device or "not placed"
        self.name = _broken(op.name)
        self.type = [] if op.op == op.name else _broken(op.op)
        self.width = _STRIP + 2 * _PADDING + max(_text_width(line, _LETTERS) for line in self.name + self.type)
        self.height = 2 * _PADDING + _LINE * len(self.name + self.type)


def _broken(name: str) -> list[str]:
    """`name` in lines of up to 22 letters, broken after a slash, else after an underscore or before a capital."""
    return re.findall(r".{1,22}$|.{6,22}(?<=/)|.{6,22}(?:(?<=_)|(?=[A-Z][a-z]))|.{1,22}", name)


def _text_width(text: str, size: float) -> float:
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).vertices[:, 0].max())


def _looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and hatch of each name, in natural order of the names: those of a device agree in both pictures."""
    fillings = (plot._filling(number) for number in count())
    return {
        name: {"facecolor": filling["color"], "edgecolor": filling["edgecolor"], "hatch": filling["hatch"]}
        for name, filling in zip(sorted(set(names), key=_natural), fillings, strict=False)
    }


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """To sort by: "inter-op 2" comes before "inter-op 10"."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


# --- the graph's layout ---


def _rows(widths: Mapping[str, float], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The row of each op: the first one below all it reads from that has room."""
    order = _reading_order(widths, arrows)
    row: dict[str, int] = {}
    used: Counter[int] = Counter()

    def put(name: str, rows: Iterable[int]) -> None:
        free = (n for n in rows if not used[n] or used[n] + widths[name] + _BESIDE <= 0.9 * _WIDTH)
        if (found := next(free, None)) is not None:
            used[row.get(name, -1)] -= widths[name] + _BESIDE
            row[name] = found
            used[found] += widths[name] + _BESIDE

    for name in order:
        put(
            name,
            count(1 + max((row[source] for source, target in arrows if target == name and source in row), default=-1)),
        )
    for name in order:  # what reads nothing belongs close above its first reader
        readers = [row[target] for source, target in arrows if source == name]
        if readers and not any(target == name for _, target in arrows):
            put(name, range(min(readers) - 1, row[name], -1))
    taken = sorted(set(row.values()))
    return {name: taken.index(place) for name, place in row.items()}


def _reading_order(names: Iterable[str], arrows: Sequence[tuple[str, str]]) -> list[str]:
    """Every op after those it reads from, but for an arrow that closes a loop."""
    backwards: list[str] = []
    seen = set()

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for source, target in arrows:
                if source == name:
                    visit(target)
            backwards.append(name)

    readers = {target for _, target in arrows}
    for name in sorted(names, key=lambda name: name in readers):
        visit(name)
    return backwards[::-1]


class _Layout:
    """Where everything is.

    Attributes:
        chains: for each arrow the ops and lanes that it goes through, from top to bottom.
        rows: the ops and lanes of each row, from left to right.
        x: the middle of each op or lane.
    """

    def __init__(self, boxes: Mapping[str, _Box], arrows: Sequence[tuple[str, str]]) -> None:
        widths = {name: box.width for name, box in boxes.items()}
        row = _rows(widths, arrows)
        self.chains: dict[tuple[str, str], list[Key]] = {}
        for arrow in arrows:
            top, bottom = sorted(arrow, key=row.__getitem__)
            lead = arrow[0], boxes[arrow[1]].device  # arrows from one op to one device share their lanes
            self.chains[arrow] = [top, *((*lead, n) for n in range(row[top] + 1, row[bottom])), bottom]
        lanes = {lane: lane[2] for chain in self.chains.values() for lane in chain[1:-1]}
        row, self._widths = (
            row | lanes,
            dict.fromkeys(lanes, _LANE) | {name: width + _BESIDE for name, width in widths.items()},
        )
        self.rows = [[key for key in row if row[key] == n] for n in range(max(row.values()) + 1)]
        steps = dict.fromkeys(step for chain in self.chains.values() for step in pairwise(chain))
        self._above = {key: [a for a, b in steps if b == key] for key in row}
        self._below = {key: [b for a, b in steps if a == key] for key in row}
        self._sort()
        needed = max(sum(self._widths[key] for key in keys) for keys in self.rows)
        self.width = max(_WIDTH - 2 * _MARGIN, needed)
        self._place()

    def _sort(self) -> None:
        best, fewest = self.rows, self._crossings()
        for down in [True, False] * 8:
            self.rows = [list(keys) for keys in self.rows]
            for fixed, keys in pairwise(self.rows if down else self.rows[::-1]):
                place = {key: n for n, key in enumerate(fixed)}
                own = {key: n for n, key in enumerate(keys)}
                near = self._above if down else self._below
                keys.sort(key=lambda key: mean(map(place.get, near[key])) if near[key] else own[key])
            if (crossings := self._crossings()) < fewest:
                best, fewest = self.rows, crossings
        self.rows = best

    def _crossings(self) -> int:
        found = 0
        for upper, lower in pairwise(self.rows):
            ends = [(n, lower.index(key)) for n, name in enumerate(upper) for key in self._below[name]]
            found += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(ends, 2))
        return found

    def _place(self) -> None:
        """Each op as near below and above its neighbours as the others of its row let it."""
        self.x = dict.fromkeys(self._widths, self.width / 2)
        for down in [True, False] * 6:
            for keys in self.rows if down else self.rows[::-1]:
                near = self._above if down else self._below
                wanted = [mean(self.x[other] for other in near[key] or [key]) for key in keys]
                apart = [(self._widths[a] + self._widths[b]) / 2 for a, b in pairwise(keys)]
                offsets = list(accumulate(apart, initial=self._widths[keys[0]] / 2))
                most = self.width - offsets[-1] - self._widths[keys[-1]] / 2
                free = _rising([want - offset for want, offset in zip(wanted, offsets, strict=True)])
                self.x |= {k: min(max(f, 0), most) + o for k, f, o in zip(keys, free, offsets, strict=True)}


def _rising(values: Sequence[float]) -> list[float]:
    """The numbers nearest to `values` that never fall: neighbours that would are set to their mean, again and again."""
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and mean(groups[-2]) > mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [mean(group) for group in groups for _ in group]


# --- drawing ---


def _draw_graph(boxes: Mapping[str, _Box], arrows: Sequence[tuple[str, str]], title: str, alt: str) -> plot.Figure:
    figure = _frame(title, "", "", alt)
    layout = _Layout(boxes, arrows)
    heights = [max(boxes[key].height for key in keys if key in boxes) for keys in layout.rows]
    tops = list(accumulate((height + _BELOW for height in heights), initial=0.0))
    spans = {key: (tops[n], tops[n] + heights[n]) for n, keys in enumerate(layout.rows) for key in keys}
    looks = _looks(box.device for box in boxes.values())
    for name, box in boxes.items():
        _draw_box(figure, box, layout.x[name], spans[name], looks)
    ports = _ports(layout, boxes)
    away = False
    for arrow, chain in layout.chains.items():
        crosses = boxes[arrow[0]].device != boxes[arrow[1]].device
        away |= crosses
        _draw_arrow(figure, _way(chain, ports[arrow], layout, spans, reverse=chain[0] != arrow[0]), crosses)
    legend = _legend(figure, looks, layout.width, copied=away)
    _fit(figure, layout.width, tops[-1] - _BELOW, legend)
    return figure


def _frame(title: str, x: str, y: str, alt: str) -> plot.Figure:
    figure = plot.Figure.__new__(plot.Figure)  # without the units that its axes need and these have not
    figure._draw_frame(title, x, y, alt)
    return figure


def _fit(figure: plot.Figure, width: float, height: float, below: float) -> None:
    """One unit of the axes becomes one point."""
    whole = width + 2 * _MARGIN, below + height + _TITLE + _MARGIN
    figure._canvas.set_layout_engine("none")
    figure._canvas.set_size_inches(whole[0] / 72, whole[1] / 72)
    figure.axes.set_position((_MARGIN / whole[0], (below + _MARGIN) / whole[1], width / whole[0], height / whole[1]))
    figure.axes.set(xlim=(0, width), ylim=(height, 0))
    figure.axes.set_title(figure.axes.get_title(loc="left"), pad=12)
    figure.axes.set_axis_off()


def _draw_box(
    figure: plot.Figure, box: _Box, x: float, span: tuple[float, float], looks: Mapping[str, dict[str, Any]]
) -> None:
    from matplotlib.patches import Rectangle

    look, (top, bottom), left = looks[box.device], span, x - box.width / 2
    line = plot.LINES[list(looks).index(box.device) % len(plot.LINES)]
    outline = {
        "facecolor": "white",
        "edgecolor": look["facecolor"],
        "linestyle": line,
        "linewidth": 1.4,
        "clip_on": False,
    }
    figure.axes.add_patch(Rectangle((left, top), box.width, bottom - top, zorder=2, **outline))
    figure.axes.add_patch(Rectangle((left, top), _STRIP, bottom - top, zorder=3, linewidth=0, **look))
    middle, first = x + _STRIP / 2, (top + bottom - _LINE * len(box.name + box.type)) / 2
    for n, text in enumerate(box.name + box.type):
        style = {"style": "italic", "color": "#444444"} if n >= len(box.name) else {}
        figure.axes.text(middle, first + _LINE * (n + 0.5), text, size=_LETTERS, ha="center", va="center", **style)


def _ports(layout: _Layout, boxes: Mapping[str, _Box]) -> dict[tuple[str, str], float]:
    """Where each arrow meets the box at its lower end: side by side, in the order in which they come."""
    meeting: dict[Key, list[tuple[float, tuple[str, str]]]] = {}
    for arrow, chain in layout.chains.items():
        meeting.setdefault(chain[-1], []).append((layout.x[chain[-2]], arrow))
    ports = {}
    for name, ends in meeting.items():
        step = min(9.0, (boxes[name].width - 2 * _PADDING) / len(ends))
        for n, (_, arrow) in enumerate(sorted(ends)):
            ports[arrow] = layout.x[name] + (n - (len(ends) - 1) / 2) * step
    return ports


def _way(
    chain: Sequence[Key], port: float, layout: _Layout, spans: Mapping[Key, tuple[float, float]], *, reverse: bool
) -> Any:
    """An arrow's path: curved between two rows, where no box is, and straight down its lanes."""
    from matplotlib.path import Path

    points, codes = [(layout.x[chain[0]], spans[chain[0]][1])], [Path.MOVETO]
    for key in chain[1:]:
        (x, y), (top, bottom) = points[-1], spans[key]
        aim = port if key == chain[-1] else layout.x[key]
        points += [(x, (y + top) / 2), (aim, (y + top) / 2), (aim, top)]
        codes += [Path.CURVE4] * 3
        if key != chain[-1]:
            points.append((aim, bottom))
            codes.append(Path.LINETO)
    return Path(points[::-1], codes[:1] + codes[:0:-1]) if reverse else Path(points, codes)


def _draw_arrow(figure: plot.Figure, way: Any, crosses: bool) -> None:
    from matplotlib.patches import PathPatch, Polygon

    colour, half = ("black", 4.0) if crosses else ("#666666", 3.0)
    line = _COPIED if crosses else {"linewidth": 1.0}
    (x, tip), (_, before) = way.vertices[-1], way.vertices[-2]
    back = tip - 2 * half if before < tip else tip + 2 * half
    way.vertices[-1] = x, (tip + back) / 2  # so that a thick line ends inside its head
    figure.axes.add_patch(PathPatch(way, fill=False, edgecolor=colour, capstyle="butt", clip_on=False, **line))
    head = [(x, tip), (x - half, back), (x + half, back)]
    figure.axes.add_patch(Polygon(head, facecolor=colour, linewidth=0, clip_on=False))


def _legend(figure: plot.Figure, looks: Mapping[str, dict[str, Any]], width: float, *, copied: bool = False) -> float:
    """What the colours mean, below the picture; returns its height."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Patch(label=name, **look) for name, look in looks.items()]
    if copied:
        handles.append(Line2D([], [], color="black", label="copied to another device", **_COPIED))
    widest = max(_text_width(handle.get_label(), 9) for handle in handles)
    columns = max(1, min(len(handles), int(width // (widest + 48))))
    where = "outside lower center"
    figure._canvas.legend(handles=handles, loc=where, ncols=columns, frameon=False, fontsize=9)
    return _LEGEND_LINE * -(-len(handles) // columns) + _MARGIN


# --- the timeline ---


def timeline(
    events: Iterable[Any],
    *,
    rows_by: Literal["thread", "device"],
    kind: Mapping[Any, str] | Callable[[Any], str | None],
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
        kind: what an event counts as, for its colour: a function of the event, or a mapping from it. None, or no entry,
            leaves it out.
        title, alt: as for `labkit.plot.Figure`.

    Raises:
        ValueError: no event is left to draw; events have no such row; `alt` is no sentence.
    """
    group = kind if callable(kind) else kind.get
    timed = [event for event in events if event.start is not None]
    bars = [(event, name) for event in timed if (name := group(event)) is not None]
    if not bars:
        raise ValueError(f"of {len(timed)} events with a time none is left to draw; let kind name some of them")
    if lacking := next((event for event, _ in bars if not hasattr(event, rows_by)), None):
        raise ValueError(
            f"rows_by is {rows_by!r}, but {lacking} has none; rows are 'thread' for a trace, else 'device'"
        )
    begin = min(event.start for event, _ in bars)
    looks = _looks(name for _, name in bars)
    places = _lines(bars, rows_by)
    figure = _frame(title, "time (ms)", rows_by, alt)
    _legend(figure, looks, _WIDTH)
    per_ms = _rule(figure, places, rows_by, 1e3 * (max(event.end for event, _ in bars) - begin))
    for (event, name), line in places:
        _draw_bar(figure, event, line, 1e3 * (event.start - begin), per_ms, looks[name])
    return figure


def _lines(bars: Sequence[tuple[Any, str]], rows_by: str) -> list[tuple[tuple[Any, str], int]]:
    """Each bar with its line, from the top: rows in natural order, in a row the first line that is free by then."""
    places, first = [], 0
    for row in sorted({getattr(event, rows_by) for event, _ in bars}, key=_natural):
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
    figure.axes.set(yticks=middles, yticklabels=list(rows), ylim=(lines - 0.4, -0.6), xlim=(0, long or 1.0))
    figure.axes.grid(False, axis="y")
    for used in list(rows.values())[1:]:
        figure.axes.axhline(min(used) - 0.5, color="#bbbbbb", linewidth=0.8)
    figure._canvas.set_size_inches(_WIDTH / 72, 1.6 + lines * _BAR / 72)
    figure._canvas.draw_without_rendering()  # it finds out how wide the axes become
    return figure.axes.get_window_extent().width / figure._canvas.dpi * 72 / (long or 1.0)


def _draw_bar(figure: plot.Figure, event: Any, line: int, start: float, per_ms: float, look: Mapping[str, Any]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    length = 1e3 * (event.end - event.start)
    room = length * per_ms
    # A white outline would hide a bar that is hardly wider than that.
    outline = {"edgecolor": look["facecolor"], "linewidth": 0.7} if room < 4 else {}
    bar = Rectangle((start, line - 0.4), length, 0.8, zorder=2, **look | outline)
    bar.set_in_layout(False)  # the room for the axes does not depend on what is in them, and finding it out is slow
    figure.axes.add_patch(bar)
    for text in (event.name, event.name.rpartition("/")[2]) if room > _SMALL else ():
        if text.strip("_0123456789") and _text_width(text, _SMALL) + 6 < room:
            halo = withStroke(linewidth=3, foreground="white")
            style = {"size": _SMALL, "ha": "center", "va": "center_baseline", "path_effects": [halo]}
            figure.axes.text(start + length / 2, line, text, **style).set_in_layout(False)
            break
