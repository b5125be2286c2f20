"""Figures as every lab shows them: one style, axis labels with units, a sentence of alternative text.

JupyterLab shows an ``image/png`` output without any alternative text (4.6 sets ``src``, width and height only, and
ignores the output's metadata). So a figure here is an HTML ``<figure>`` with an ``<img alt="...">`` and a caption; the
same sentence is its plain text, which is what the comparison of outputs sees.
"""

import base64
import html
import io
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labkit.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours ("Color Universal Design", 2008), dark enough on white, told apart with colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")
HATCHES = ("", "//", "xx", "..", "\\\\", "++")

_SPREAD = (0.0, 0.2, -0.2, 0.1, -0.1, 0.3, -0.3)  # of a row's marks, in rows
_UNIT = re.compile(r"\S.*\([^()]+\)$")
_DPI = 110


def use_style() -> None:
    """Sets matplotlib's defaults, so that plain matplotlib in a lab looks like `Figure`."""
    with needs_extra("labkit.plot", "labs"):
        import matplotlib
        from cycler import cycler

    matplotlib.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=LINES) + cycler(marker=MARKERS),
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "grid.color": "#dddddd",
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": _DPI,
            "figure.facecolor": "white",
            "font.size": 10,
            "lines.markersize": 5,
        }
    )


class Figure:
    """One picture of a lab; a cell shows it by naming it in its last line.

    Draw on `axes` with matplotlib's own calls. Where colour tells things apart, let a marker, a line style or a hatch
    tell them apart as well: lines do so by themselves, for bars see `HATCHES`.

    Args:
        title: what is seen, short.
        x: label of the horizontal axis with its unit in brackets, ``"batch size (rows)"``.
        y: label of the vertical axis with its unit in brackets.
        alt: one sentence that says what the figure shows to somebody who does not see it.

    Raises:
        ValueError: a label has no unit, or `alt` is not a sentence.

    Attributes:
        axes: the matplotlib axes to draw on.
        alt: the sentence.
    """

    def __init__(self, title: str, *, x: str, y: str, alt: str) -> None:
        for axis, label in (("x", x), ("y", y)):
            _need_unit(axis, label)
        self._draw_frame(title, x, y, alt)

    @classmethod
    def _labelled(cls, title: str, x: str, y: str, alt: str) -> "Figure":
        """A figure whose labels are taken as they are: an axis that holds names has no unit."""
        figure = cls.__new__(cls)
        figure._draw_frame(title, x, y, alt)
        return figure

    def _draw_frame(self, title: str, x: str, y: str, alt: str) -> None:
        with needs_extra("labkit.plot", "labs"):
            from matplotlib.figure import Figure as Canvas

        if len(alt.split()) < 4 or not alt.rstrip().endswith("."):
            raise ValueError(
                f"alt is {alt!r}; write one whole sentence, with a full stop, that says what the figure shows"
            )
        use_style()
        self.alt = " ".join(alt.split())
        self._canvas = Canvas(layout="constrained")
        self.axes: Axes = self._canvas.add_subplot()
        self.axes.set(title=title, xlabel=x, ylabel=y)

    def png(self) -> bytes:
        """The picture; the same drawing gives the same bytes with the same matplotlib."""
        return self._saved("png", {"Software": None})

    def svg(self) -> bytes:
        """The picture for a page, its letters as outlines; the same drawing gives the same bytes, as for `png`."""
        return self._saved("svg", {"Date": None, "Creator": None})

    def _saved(self, kind: str, metadata: dict[str, None]) -> bytes:
        import matplotlib

        named = bool(self.axes.get_legend() or self._canvas.legends)
        if self.axes.get_legend_handles_labels()[1] and not named:
            self.axes.legend(frameon=False)
        picture = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "labkit"}):
            self._canvas.savefig(picture, format=kind, dpi=_DPI, metadata=metadata)
        return picture.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        sentence = html.escape(self.alt)
        picture = base64.b64encode(self.png()).decode("ascii")
        return {
            "text/html": f'<figure><img alt="{sentence}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{sentence}</figcaption></figure>",
            "text/plain": f"Figure: {self.alt}",
        }

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, title: str, x: str, y: str, alt: str
) -> Figure:
    """One line per entry of `series`, each with its own colour, marker and line style.

    Args:
        series: name -> (x values, y values).
        title, x, y, alt: as for `Figure`.

    Raises:
        ValueError: as `Figure`.
    """
    figure = Figure(title, x=x, y=y, alt=alt)
    for name, (xs, ys) in series.items():
        figure.axes.plot(xs, ys, label=name)
    return figure


def bars(values: Mapping[str, float], *, title: str, x: str, y: str, alt: str, horizontal: bool = False) -> Figure:
    """One bar per entry of `values`, each with its own colour and hatch and its name below it.

    Args:
        values: name -> length, in the unit of `y`.
        x: what the names are, ``"format"``; names need no unit.
        y: what the lengths are, with its unit.
        title, alt: as for `Figure`.
        horizontal: the bars lie, the first one on top: room for long names. `x` is still what the names are.

    Raises:
        ValueError: `y` has no unit, or `alt` is not a sentence.
    """
    _need_unit("y", y)
    figure = Figure._labelled(title, *((y, x) if horizontal else (x, y)), alt)
    for number, (name, length) in enumerate(values.items()):
        draw = figure.axes.barh if horizontal else figure.axes.bar
        draw(name, length, **_filling(number))
    if horizontal:
        _lay_down(figure, len(values))
    else:
        figure.axes.grid(False, axis="x")
    return figure


def stacked(parts: Mapping[str, Mapping[str, float]], *, title: str, x: str, y: str, alt: str) -> Figure:
    """One lying bar per entry of `parts`, first one on top, made of its parts; which is which stands below.

    The parts have the same order, colour and hatch in every bar; one that a bar lacks takes no room there.

    Args:
        parts: name of the bar -> name of the part -> length, in the unit of `y`.
        x: what the bars are, ``"request"``; names need no unit.
        y: what the lengths are, with its unit.
        title, alt: as for `Figure`.

    Raises:
        ValueError: `y` has no unit, `alt` is not a sentence, or a length is less than 0.
    """
    _need_unit("y", y)
    figure = Figure._labelled(title, y, x, alt)
    ends = dict.fromkeys(parts, 0.0)
    for number, part in enumerate(dict.fromkeys(part for each in parts.values() for part in each)):
        lengths = [each.get(part, 0.0) for each in parts.values()]
        if not all(length >= 0 for length in lengths):
            raise ValueError(f"the part {part!r} is {lengths}; lengths of parts are 0 or more")
        figure.axes.barh(list(parts), lengths, left=list(ends.values()), label=part, **_filling(number))
        ends = {name: end + length for (name, end), length in zip(ends.items(), lengths, strict=True)}
    _lay_down(figure, len(parts))
    figure._canvas.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _filling(number: int) -> dict[str, Any]:
    """Colour and hatch of the bar with this number; 36 pairs before the first comes again."""
    hatch = HATCHES[(number + number // len(COLOURS)) % len(HATCHES)]
    return {"color": COLOURS[number % len(COLOURS)], "hatch": hatch, "edgecolor": "white"}


def _lay_down(figure: Figure, bars: int) -> None:
    """First bar on top, and as much height as so many bars need."""
    figure.axes.invert_yaxis()
    figure.axes.grid(False, axis="y")
    width, height = figure._canvas.get_size_inches()
    figure._canvas.set_size_inches(width, max(height, 1.4 + 0.32 * bars))


def rows(events: Mapping[str, Sequence[float]], *, title: str, x: str, y: str, alt: str) -> Figure:
    """One row per entry of `events`, first one lowest, and a mark in it for everything that happened.

    Each row has its own colour and marker, and how many marks it has stands at its right end. Marks that follow each
    other are set a little higher or lower, so that many close together can be told apart.

    Args:
        events: name -> x values; a row without any is drawn empty.
        y: what the names are, ``"answered by"``; names need no unit.
        title, x, alt: as for `Figure`.

    Raises:
        ValueError: `x` has no unit, or `alt` is not a sentence.
    """
    _need_unit("x", x)
    figure = Figure._labelled(title, x, y, alt)
    for row, times in enumerate(events.values()):
        heights = [row + _SPREAD[place % len(_SPREAD)] for place in range(len(times))]
        look = {"color": COLOURS[row % len(COLOURS)], "marker": MARKERS[row % len(MARKERS)]}
        figure.axes.plot(times, heights, linestyle="none", markersize=3.5, **look)
        figure.axes.annotate(
            f" {len(times):,}", (1, row), xycoords=("axes fraction", "data"), va="center", annotation_clip=False
        )
    figure.axes.set(yticks=range(len(events)), yticklabels=list(events), ylim=(-0.6, len(events) - 0.4))
    figure.axes.grid(False, axis="y")
    return figure


def live(draw: Callable[[], Figure], until: Callable[[], object], *, every: float = 0.3, timeout: float = 30.0) -> None:
    """Shows `draw()`, and draws it anew in its place until `until()` is true.

    In JupyterLab the figure moves; the last one stays, and is what is stored. Its sentence is compared, so it has to
    be the same each time.

    Args:
        draw: makes the figure as things stand.
        until: asked before each new drawing.
        every: seconds between two drawings.
        timeout: seconds to go on.

    Raises:
        TimeoutError: `until` was still false then.
    """
    from IPython.display import display

    shown = display(draw(), display_id=True)
    deadline, ended = time.monotonic() + timeout, False
    while not ended:
        if time.monotonic() > deadline:
            raise TimeoutError(f"What the figure waits for did not happen within {timeout:g} s.")
        time.sleep(every)
        ended = bool(until())
        shown.update(draw())


def _need_unit(axis: str, label: str) -> None:
    if not _UNIT.match(label):
        raise ValueError(
            f"{axis} is {label!r}; an axis label ends with its unit in brackets: 'time (ms)', 'requests (count)', "
            "'accuracy (share)'"
        )
