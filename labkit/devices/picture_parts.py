"""What the pictures of devices and threads share: how names look, and the legend that says so."""

import re
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from labkit import plot
from labkit.errors import needs_extra

# All lengths are points, 1/72 inch.
WIDTH = 6.4 * 72
MARGIN = 8.0
_LEGEND_LINE = 16.0

COPIED = {"linewidth": 1.8, "linestyle": (0, (4, 2))}


def text_width(text: str, size: float) -> float:
    """In points, of `text` as it is: a dollar in a name begins no formula."""
    with needs_extra("labkit.plot", "labs"):
        from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text.replace("$", r"\$"), size=size).vertices[:, 0].max())


def looks_of(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and hatch of each name, in natural order of the names: those of a device agree in both pictures."""
    fillings = (plot._filling(number) for number in count())
    return {
        name: {"facecolor": filling["color"], "edgecolor": filling["edgecolor"], "hatch": filling["hatch"]}
        for name, filling in zip(sorted(set(names), key=natural), fillings, strict=False)
    }


def natural(name: str) -> list[tuple[bool, int, str]]:
    """To sort by: "inter-op 2" comes before "inter-op 10"."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def legend(figure: plot.Figure, looks: Mapping[str, dict[str, Any]], width: float, *, copied: bool = False) -> float:
    """What the colours mean, below the picture; returns its height."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = [Patch(label=name, **look) for name, look in looks.items()]
    if copied:
        handles.append(Line2D([], [], color="black", label="copied to another device", **COPIED))
    widest = max(text_width(handle.get_label(), 9) for handle in handles)
    columns = max(1, min(len(handles), int(width // (widest + 48))))
    where = "outside lower center"
    drawn = figure._canvas.legend(handles=handles, loc=where, ncols=columns, frameon=False, fontsize=9)
    for text in drawn.get_texts():
        text.set_parse_math(False)
    return _LEGEND_LINE * -(-len(handles) // columns) + MARGIN
