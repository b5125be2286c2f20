"""Figures as every lab shows them: one style, axis labels with units, a sentence of alternative text.

JupyterLab shows an ``image/png`` output without any alternative text (4.6 sets ``src``, width and height only, and
ignores the output's metadata). So a figure here is an HTML ``<figure>`` with an ``<img alt="...">`` and a caption; the
same sentence is its plain text, which is what the comparison of outputs sees.
"""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours ("Color Universal Design", 2008), dark enough on white, told apart with colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")
HATCHES = ("", "//", "xx", "..", "\\\\", "++")

_UNIT = re.compile(r"\S.*\([^()]+\)$")
_DPI = 110


def use_style() -> None:
    """Sets matplotlib's defaults, so that plain matplotlib in a lab looks like `Figure`."""
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

    def _draw_frame(self, title: str, x: str, y: str, alt: str) -> None:
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
        if self.axes.get_legend_handles_labels()[1] and self.axes.get_legend() is None:
            self.axes.legend(frameon=False)
        picture = io.BytesIO()
        self._canvas.savefig(picture, format="png", dpi=_DPI, metadata={"Software": None})
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


def bars(values: Mapping[str, float], *, title: str, x: str, y: str, alt: str) -> Figure:
    """One bar per entry of `values`, each with its own colour and hatch and its name below it.

    Args:
        values: name -> height, in the unit of `y`.
        x: what the names are, ``"format"``; names need no unit.
        title, y, alt: as for `Figure`.

    Raises:
        ValueError: `y` has no unit, or `alt` is not a sentence.
    """
    _need_unit("y", y)
    figure = Figure.__new__(Figure)
    figure._draw_frame(title, x, y, alt)
    for number, (name, height) in enumerate(values.items()):
        hatch = HATCHES[number % len(HATCHES)]
        figure.axes.bar(name, height, color=COLOURS[number % len(COLOURS)], hatch=hatch, edgecolor="white")
    figure.axes.grid(False, axis="x")
    return figure


def _need_unit(axis: str, label: str) -> None:
    if not _UNIT.match(label):
        raise ValueError(
            f"{axis} is {label!r}; an axis label ends with its unit in brackets: 'time (ms)', 'requests (count)', "
            "'accuracy (share)'"
        )
