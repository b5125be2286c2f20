"""Two pictures of where a function ran: its graph, coloured by device, and (`timeline`) what ran when."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from labkit import plot
from labkit.devices.graph_layout import Key, Layout
from labkit.devices.picture_parts import COPIED, MARGIN, legend, looks_of, text_width
from labkit.devices.timeline import timeline

__all__ = ["HIDDEN", "MOST_OPS", "graph", "timeline"]

MOST_OPS = 40
HIDDEN = frozenset({"Const", "NoOp", "_Arg", "_Retval", "_DeviceArg", "_DeviceRetval"})

# All lengths are points, 1/72 inch.
_LETTERS = 8.0
_LINE = 10.0  # from one line of text to the next
_STRIP = 9.0  # the band in the device's colour at a box's left end
_PADDING = 4.0  # around the text in a box
_BELOW = 30.0  # between two rows
_TITLE = 34.0


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
        self.width = _STRIP + 2 * _PADDING + max(text_width(line, _LETTERS) for line in self.name + self.type)
        self.height = 2 * _PADDING + _LINE * len(self.name + self.type)


def _broken(name: str) -> list[str]:
    """`name` in lines of up to 22 letters, broken after a slash, else after an underscore or before a capital."""
    return re.findall(r".{1,22}$|.{6,22}(?<=/)|.{6,22}(?:(?<=_)|(?=[A-Z][a-z]))|.{1,22}", name)


def _draw_graph(boxes: Mapping[str, _Box], arrows: Sequence[tuple[str, str]], title: str, alt: str) -> plot.Figure:
    figure = plot.Figure._labelled(title, "", "", alt)
    layout = Layout(boxes, arrows)
    heights = [max(boxes[key].height for key in keys if isinstance(key, str)) for keys in layout.rows]
    tops = list(accumulate((height + _BELOW for height in heights), initial=0.0))
    spans = {key: (tops[n], tops[n] + heights[n]) for n, keys in enumerate(layout.rows) for key in keys}
    looks = looks_of(box.device for box in boxes.values())
    for name, box in boxes.items():
        _draw_box(figure, box, layout.x[name], spans[name], looks)
    ports = _ports(layout, boxes)
    away = False
    for arrow, chain in layout.chains.items():
        crosses = boxes[arrow[0]].device != boxes[arrow[1]].device
        away |= crosses
        _draw_arrow(figure, _way(chain, ports[arrow], layout, spans, reverse=chain[0] != arrow[0]), crosses)
    below = legend(figure, looks, layout.width, copied=away)
    _fit(figure, layout.width, tops[-1] - _BELOW, below)
    return figure


def _fit(figure: plot.Figure, width: float, height: float, below: float) -> None:
    """One unit of the axes becomes one point."""
    whole = width + 2 * MARGIN, below + height + _TITLE + MARGIN
    figure._canvas.set_layout_engine("none")
    figure._canvas.set_size_inches(whole[0] / 72, whole[1] / 72)
    figure.axes.set_position((MARGIN / whole[0], (below + MARGIN) / whole[1], width / whole[0], height / whole[1]))
    figure.axes.set(xlim=(0, width), ylim=(height, 0))
    figure.axes.set_title(figure.axes.get_title(loc="left"), pad=12)
    figure.axes.set_axis_off()


def _draw_box(
    figure: plot.Figure, box: _Box, x: float, span: tuple[float, float], looks: Mapping[str, dict[str, Any]]
) -> None:
    from matplotlib.patches import Rectangle

    look, (top, bottom), left = looks[box.device], span, x - box.width / 2
    line = plot.LINES[list(looks).index(box.device) % len(plot.LINES)]
    outline = {"facecolor": "white", "edgecolor": look["facecolor"], "linestyle": line, "linewidth": 1.4}
    figure.axes.add_patch(Rectangle((left, top), box.width, bottom - top, zorder=2, clip_on=False, **outline))
    figure.axes.add_patch(Rectangle((left, top), _STRIP, bottom - top, zorder=3, linewidth=0, **look))
    middle, first = x + _STRIP / 2, (top + bottom - _LINE * len(box.name + box.type)) / 2
    for n, text in enumerate(box.name + box.type):
        typed: dict[str, Any] = {"style": "italic", "color": "#444444"} if n >= len(box.name) else {}
        style: dict[str, Any] = {"size": _LETTERS, "ha": "center", "va": "center", "parse_math": False}
        figure.axes.text(middle, first + _LINE * (n + 0.5), text, **style | typed)


def _ports(layout: Layout, boxes: Mapping[str, _Box]) -> dict[tuple[str, str], float]:
    """Where each arrow meets the box at its lower end: side by side, in the order in which they come."""
    meeting: dict[str, list[tuple[float, tuple[str, str]]]] = {}
    for arrow, chain in layout.chains.items():
        meeting.setdefault(str(chain[-1]), []).append((layout.x[chain[-2]], arrow))
    ports = {}
    for name, ends in meeting.items():
        step = min(9.0, (boxes[name].width - 2 * _PADDING) / len(ends))
        for n, (_, arrow) in enumerate(sorted(ends)):
            ports[arrow] = layout.x[name] + (n - (len(ends) - 1) / 2) * step
    return ports


def _way(
    chain: Sequence[Key], port: float, layout: Layout, spans: Mapping[Key, tuple[float, float]], *, reverse: bool
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
    line = COPIED if crosses else {"linewidth": 1.0}
    (x, tip), (_, before) = way.vertices[-1], way.vertices[-2]
    back = tip - 2 * half if before < tip else tip + 2 * half
    way.vertices[-1] = x, (tip + back) / 2  # so that a thick line ends inside its head
    figure.axes.add_patch(PathPatch(way, fill=False, edgecolor=colour, capstyle="butt", clip_on=False, **line))
    head = [(x, tip), (x - half, back), (x + half, back)]
    figure.axes.add_patch(Polygon(head, facecolor=colour, linewidth=0, clip_on=False))
