"""Tables and numbers as every lab shows them.

Measured numbers differ from run to run, so the comparison of outputs blanks them (tests/labs/sanitize.cfg). It knows
them by their unit: `milliseconds` and `memory` are the only things in a lab that end in `` ms`` and `` MiB``. What
`size` prints (bytes on the wire, bytes of a file) is compared exactly.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from labkit.errors import needs_extra

if TYPE_CHECKING:
    import pandas


# Set by Jupyter's server, which names the notebook to a kernel that it starts; by a hub; by VS Code; by Colab.
_WATCHED = ("JPY_SESSION_NAME", "JUPYTERHUB_SERVICE_PREFIX", "VSCODE_PID", "COLAB_RELEASE_TAG")


def is_watched() -> bool:
    """Whether somebody has this kernel's notebook open. Where nbclient or nbval runs it, nobody has."""
    return any(name in os.environ for name in _WATCHED)


def table(rows: Iterable[Sequence[Any]], columns: Sequence[str], *, digits: int = 3) -> "pandas.DataFrame":
    """A table whose first column labels the rows.

    Args:
        rows: one sequence per row, each as long as `columns`.
        columns: the headings, with units: ``"size (bytes)"``.
        digits: floats are rounded to so many digits after the point.

    Raises:
        ValueError: a row is longer or shorter than `columns`.
    """
    with needs_extra("labkit.show.table", "labs"):
        import pandas

    # A table that wraps or cuts its cells looks different when a measured number gets one digit longer.
    pandas.set_option("display.expand_frame_repr", False, "display.max_colwidth", None)
    rows = [list(row) for row in rows]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise ValueError(
                f"row {number} has {len(row)} values {row}, but there are {len(columns)} columns "
                f"{list(columns)}; give every row one value per column"
            )
    frame = pandas.DataFrame(rows, columns=list(columns)).round(digits)
    return frame.set_index(columns[0])


def milliseconds(seconds: float) -> str:
    """A measured duration: ``milliseconds(0.00123)`` is ``"1.23 ms"``.

    Args:
        seconds: the duration in seconds, as `time.perf_counter` gives it.
    """
    return f"{_three_digits(seconds * 1e3)} ms"


def memory(number_of_bytes: float) -> str:
    """A measured amount of memory: ``memory(300 * 2**20)`` is ``"300 MiB"``."""
    return f"{_three_digits(number_of_bytes / 2**20)} MiB"


def size(number_of_bytes: int) -> str:
    """An exact number of bytes, in decimal units: ``size(1500)`` is ``"1.50 kB"``, ``size(12)`` is ``"12 bytes"``."""
    if abs(number_of_bytes) < 1000:
        return f"{number_of_bytes} bytes"
    exponent = next((power for power in (1, 2, 3) if abs(number_of_bytes) < 999.5 * 1000**power), 4)
    return f"{_three_digits(number_of_bytes / 1000**exponent)} {'kMGT'[exponent - 1]}B"


def _three_digits(value: float) -> str:
    """Three significant digits, never in exponent form, thousands separated."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.5f}"
