"""Numbers as words and tables of the page."""

from collections.abc import Iterable, Sequence
from statistics import median
from textwrap import fill

from labkit.bench.results import Spread

_WIDTH = 120


def paragraph(text: str) -> list[str]:
    """Lines of a paragraph, and an empty one behind."""
    return [fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False), ""]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> list[str]:
    """A table, and an empty line behind; the first `texts` columns are words, the others numbers."""
    sides = ["---"] * texts + ["---:"] * (len(columns) - texts)
    return [*(f"| {' | '.join(cells)} |" for cells in [columns, sides, *rows]), ""]


def folded(summary: str, lines: Iterable[str]) -> list[str]:
    """Lines that a reader unfolds."""
    return ["<details>", f"<summary>{summary}</summary>", "", *lines, "</details>", ""]


def number(value: float) -> str:
    """Three digits, never an exponent: ``0.0596``, ``62.3``, ``10,015``."""
    if 0 < value < 1e-4:
        return f"{value:.6f}"
    return f"{value:,.0f}" if value >= 999.5 else f"{value:#.3g}".rstrip(".")


def middle(values: Sequence[float]) -> str:
    """The median of some rounds."""
    return number(median(values))


def milliseconds(seconds: float) -> str:
    """A measured time."""
    return f"{number(1000 * seconds)} ms"


def spread(seconds: Spread) -> str:
    """A measured time, and its extremes if there are any."""
    if seconds.low == seconds.high:
        return milliseconds(seconds.median)
    return f"{milliseconds(seconds.median)} ({number(1000 * seconds.low)} to {number(1000 * seconds.high)})"


def ratio(value: float) -> str:
    """How many times: two digits."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def rounded(count: float) -> str:
    """A count, two digits of it."""
    return f"{float(f'{count:.2g}'):,.0f}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
