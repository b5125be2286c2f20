"""What a run found out, as a page with a picture."""

import datetime
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from soak.large import LargeLoad
from soak.resources import MIB, Sample, growth_per_hour
from soak.scenes import FleetResult, KillResult, LoadResult

WARM_UP = 1 / 4  # of a scene: caches, heaps and threads grow to their size in it
_ALLOWED_GROWTH = 32 * MIB  # by the fitted line, over what was measured after the warm-up
_JUDGED_FROM = 20.0  # seconds of looks; in less, what is seen is how the server grows to its size
_PACKAGES = ("tensorflow", "grpcio", "httptools", "uvloop", "numpy")


@dataclass(frozen=True)
class Run:
    """All scenes with the model server, and the command that started them."""

    command: str
    swaps: LoadResult
    mixed: LoadResult
    fleet: FleetResult
    large: list[LargeLoad]

    def problems(self) -> list[str]:
        """In words, what was not as it should be."""
        found = [
            f"{scene}: {count} x {what}"
            for scene, result in (("swaps", self.swaps), ("mixed traffic", self.mixed))
            for what, count in result.failures.items()
        ]
        found += [f"many models: {what}" for what in self.fleet.wrong]
        found += [f"large requests: {what}" for load in self.large for what in load.wrong]
        trend = Trend(settled(self.mixed.samples))
        if trend.seconds >= _JUDGED_FROM and trend.growth > _ALLOWED_GROWTH:
            found.append(f"mixed traffic: {trend.growth / MIB:.0f} MiB more by the fitted line")
        return found


class Trend:
    """How memory went over some looks: fitted line, spread round it, extremes."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        resident = [sample.resident for sample in samples]
        self.lowest, self.highest, self.middle = min(resident), max(resident), statistics.median(resident)
        self.seconds = samples[-1].seconds - samples[0].seconds
        self.per_hour = growth_per_hour(samples)
        self.growth = self.per_hour * self.seconds / 3600
        start = statistics.mean(resident) - self.growth / 2
        line = [start + self.per_hour * (sample.seconds - samples[0].seconds) / 3600 for sample in samples]
        self.spread = statistics.pstdev([real - fitted for real, fitted in zip(resident, line, strict=True)])


def settled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The looks after the warm-up."""
    return samples[int(len(samples) * WARM_UP) :]


def machine() -> dict[str, str]:
    """Where and with what this was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    processor = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
    return {
        "Date": datetime.date.today().isoformat(),
        "Machine": f"{platform.system()} {platform.machine()}, {processor}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "Load of the machine when this was written (1 is one busy core)": f"{os.getloadavg()[0]:.1f}",
        "Versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES),
    }


def page(run: Run, picture: str) -> str:
    """The page on the model server, in Markdown; `picture` is the file beside it."""
    title = "# Reliability of the embedded server"
    scenes = [*_swaps(run.swaps), *_mixed(run.mixed, picture), *_many(run.fleet), *_large(run.large)]
    return _page(title, run.command, "All clients run on the server's machine.", scenes + _LIMITS, run.problems())


def clusters_page(command: str, kills: KillResult) -> str:
    """The page on killed tasks of clusters, in Markdown."""
    title = "# Reliability of training in a cluster"
    return _page(title, command, "All tasks run on one machine.", _kills(kills) + _LIMITS_OF_CLUSTERS, kills.wrong)


def _page(title: str, command: str, where: str, scenes: list[str], problems: list[str]) -> str:
    lines = [
        title,
        "",
        f"Written by `{command}`; change the command, not this page. {where}",
        "",
        *(f"- {key}: {value}" for key, value in machine().items()),
        f"- Result: {'nothing failed' if not problems else 'problems, listed at the end'}",
        "",
        *scenes,
    ]
    if problems:
        lines += ["", "## Problems", "", *(f"- {problem}" for problem in problems)]
    return "\n".join(lines) + "\n"


def _swaps(result: LoadResult) -> list[str]:
    trend = Trend(settled(result.samples))
    return [
        f"## {result.done:,} swaps under load",
        "",
        "A new version arrives, answers, and the old one is unloaded, again and again, while two clients over REST and "
        "two over gRPC ask without pause. Each answer is compared with its question and with the version it claims.",
        "",
        f"- {sum(result.asked.values()):,} requests in {result.seconds:,.0f} s; failed or mixed up: "
        f"{result.failures.total():,}",
        f"- {result.seconds / max(1, result.done):.2f} s for a swap, from the new folder to the end of the old version",
        f"- memory after the first quarter: {_memory(trend)}",
        "",
    ]


def _mixed(result: LoadResult, picture: str) -> list[str]:
    samples = settled(result.samples)
    first, last = samples[0], samples[-1]
    return [
        f"## {result.seconds / 60:.1f} minutes of mixed traffic",
        "",
        f"![Memory of the server over time]({picture})",
        "",
        "| client | requests |",
        "| --- | --- |",
        *(f"| {name} | {count:,} |" for name, count in result.asked.items()),
        "",
        f"- failed or answered otherwise than they should be: {result.failures.total():,}",
        f"- memory after the first quarter: {_memory(Trend(samples))}",
        f"- threads: {first.threads} after the first quarter, {last.threads} at the end; at most "
        f"{max(sample.threads for sample in samples)}",
        f"- open files: {first.files} after the first quarter, {last.files} at the end; at most "
        f"{max(sample.files for sample in samples)}",
        "",
    ]


def _memory(trend: Trend) -> str:
    return (
        f"{trend.middle / MIB:.0f} MiB (median of {len(trend.samples)} looks; {trend.lowest / MIB:.0f} to "
        f"{trend.highest / MIB:.0f}); a straight line through them rises by {trend.growth / MIB:+.1f} MiB in "
        f"{trend.seconds / 60:.1f} minutes, spread round it {trend.spread / MIB:.1f} MiB"
    )


def _many(result: FleetResult) -> list[str]:
    return [
        f"## {result.count} models",
        "",
        f"- ready {result.seconds:.1f} s after the start of the process",
        f"- {result.resident / MIB:.0f} MiB for all of them and the server",
        f"- asked over REST and gRPC, wrong answers: {len(result.wrong)}",
        "",
    ]


def _large(loads: list[LargeLoad]) -> list[str]:
    return [
        "## Large requests at once",
        "",
        f"{loads[0].sent / MIB:,.0f} MiB in flight, over gRPC, sent at the same moment by as many clients.",
        "",
        "| round | before, MiB | peak, MiB | after, MiB | taken / in flight | wrong answers |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {number} | {load.before / MIB:,.0f} | {load.peak / MIB:,.0f} | {load.after / MIB:,.0f} | "
            f"{load.multiple:.2f} | {len(load.wrong)} |"
            for number, load in enumerate(loads, 1)
        ),
        "",
        "Requests that arrive together take memory together: there is no limit but the machine's, as with TensorFlow "
        "Serving. What gRPC and the heaps keep afterwards is used for the next ones.",
        "",
    ]


def _kills(result: KillResult) -> list[str]:
    return [
        f"## {result.played.total()} tasks of a cluster killed",
        "",
        "Lab 13's program trains; one task is killed (SIGKILL) behind a random step. Mirrored: all that train are "
        "started again, and every loss and the last evaluation have to be those of a training that was left alone. "
        "Parameter servers: the last step has to be reached, with all started again from a checkpoint or, when a "
        "worker died, without.",
        "",
        "| task | times |",
        "| --- | --- |",
        *(f"| {name} | {count} |" for name, count in result.played.items()),
        "",
        f"- {result.seconds:,.0f} s; did not come to the same: {len(result.wrong)}",
        "",
    ]


_LIMITS = [
    "## What this does not say",
    "",
    "Nothing about networks: all traffic is on one machine. Nothing about GPUs, other operating systems, models of "
    "gigabytes, days instead of minutes, or `tensorflow_model_server` itself. Faults that are played once each (broken "
    "and locked folders, full disks, jumping clocks, signals, vanishing clients) are tests: `tests/serving/faults`.",
]
_LIMITS_OF_CLUSTERS = [
    "## What this does not say",
    "",
    "Nothing about machines that vanish, networks, GPUs or other operating systems: processes are killed, on one "
    "machine. Faults that are played once each (hung and late tasks, full disks, damaged checkpoints, preemption) are "
    "tests: `tests/cluster/test_faults.py`.",
]


def picture(samples: Sequence[Sample], path: Path) -> None:
    """Draw memory over time, with the warm-up marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    samples = samples[:: max(1, len(samples) // 400)]
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot([sample.seconds / 60 for sample in samples], [sample.resident / MIB for sample in samples], linewidth=1)
    axes.axvspan(0, samples[-1].seconds / 60 * WARM_UP, color="0.9", label="warm-up")
    axes.set(xlabel="minutes of mixed traffic", ylabel="resident memory, MiB", ylim=(0, None), xlim=(0, None))
    axes.legend(loc="lower right", frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "soak"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
