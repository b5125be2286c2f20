"""Speed-up against cores, and the limit that Amdahl's law sets.

G. M. Amdahl, "Validity of the single processor approach to achieving large scale computing capabilities", AFIPS
Spring Joint Computer Conference, 1967, pages 483-485. The paper says it in words; the formula is its usual form.
"""

import math
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from labkit import processes
from labkit.bench.results import Spread

if TYPE_CHECKING:
    from labkit.plot import Figure


def amdahl(parallel_share: float, cores: float) -> float:
    """How many times as fast `cores` are as one, where only a share of the work can be shared out.

    1 ÷ ((1 − share) + share ÷ cores): the rest takes as long as ever, so no number of cores gives more than
    1 ÷ (1 − share).

    Args:
        parallel_share: share of the time on one core that can be shared out, 0 to 1.
        cores: how many share it, 1 or more.

    Raises:
        ValueError: a number is out of its range.
    """
    if not 0 <= parallel_share <= 1:
        raise ValueError(f"parallel_share is {parallel_share}; it is a share, from 0 (nothing) to 1 (all of the work)")
    if not cores >= 1:
        raise ValueError(f"cores is {cores}; it is 1 or more")
    time = (1 - parallel_share) + parallel_share / cores
    return 1 / time if time else math.inf


def fit_parallel_share(speedups: Mapping[int, float]) -> float:
    """The share that fits measured speed-ups best: least squares on the times that they mean.

    The time on n cores, as a share of that on one, is 1 − share × (1 − 1/n): a straight line. A speed-up below 1 gives
    a share of 0 and one above n a share of 1, for the law knows neither.

    Args:
        speedups: cores -> speed-up over one core; numbers above 1, at least one.

    Raises:
        ValueError: no number of cores is above 1, or a speed-up is not above 0.
    """
    measured = {cores: speedup for cores, speedup in speedups.items() if cores > 1}
    if not measured or not all(speedup > 0 for speedup in measured.values()):
        raise ValueError(
            f"speedups is {dict(speedups)}; at least one speed-up above 0 with more than one core is needed"
        )
    saved = np.array([1 - 1 / speedup for speedup in measured.values()])
    could = np.array([1 - 1 / cores for cores in measured])
    return float(np.clip(saved @ could / (could @ could), 0, 1))


def speedup_picture(
    series: Mapping[str, Mapping[int, Spread]], *, title: str, alt: str, x: str = "threads (count)"
) -> "Figure":
    """Measured speed-ups with their spread, the ideal line, and Amdahl's line for each series.

    Amdahl's line is fitted, and drawn, up to the number of cores that this process may use: more threads than that
    share nothing more out. Where no measurement has between two threads and that number, there is no such line.

    Args:
        series: name -> threads -> speed-up over one thread. `Measurements.speedup` gives it by label; by threads it is
            ``{each.intra: speedup[each.label] for each in measurements}``.
        title: what is seen, short.
        alt: one sentence that says what the figure shows.
        x: the label of the horizontal axis.

    Raises:
        TypeError: a key is no number of threads.
        ValueError: `alt` is no sentence, or there is nothing to draw.
    """
    from labkit import plot

    _check(series)
    cores = len(processes.usable_cores())
    figure = plot.Figure(title, x=x, y="speed-up (times)", alt=alt)
    last = max(threads for points in series.values() for threads in points)
    figure.axes.plot([1, last], [1, last], color="#888888", linestyle=":", marker="", label="ideal")
    figure.axes.axvline(cores, color="#888888", linewidth=0.8, label="cores")
    grid = np.linspace(1, min(last, cores), 50)
    for number, (name, points) in enumerate(series.items()):
        look = {"color": plot.COLOURS[number % len(plot.COLOURS)], "marker": plot.MARKERS[number % len(plot.MARKERS)]}
        if fitting := {n: spread.median for n, spread in points.items() if 1 < n <= cores}:
            share = fit_parallel_share(fitting)
            law, label = [amdahl(share, n) for n in grid], f"{name}: Amdahl, {share:.0%} shared"
            figure.axes.plot(grid, law, color=look["color"], linestyle="--", marker="", label=label)
        middle = np.array([spread.median for spread in points.values()])
        around = np.abs([[s.median - s.low for s in points.values()], [s.high - s.median for s in points.values()]])
        figure.axes.errorbar(list(points), middle, yerr=around, linestyle="", capsize=4, label=name, **look)
    figure.axes.set_xticks(sorted({threads for points in series.values() for threads in points}))
    figure.axes.set_ylim(bottom=0)
    figure.axes.legend(frameon=False, loc="upper left")  # where no speed-up can be
    return figure


def _check(series: Mapping[str, Mapping[int, Spread]]) -> None:
    if not series or not all(series.values()):
        raise ValueError(f"series is {dict(series)}; at least one name is needed, and a speed-up for each")
    for threads in (key for points in series.values() for key in points):
        if not isinstance(threads, numbers.Real):
            raise TypeError(
                f"series has the key {threads!r}; a number of threads is needed, as in "
                "{each.intra: speedup[each.label] for each in measurements}"
            )
