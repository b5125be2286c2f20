"""`labkit pack`: make a bundle, show how far it is, say what a learner types."""

import argparse
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from labkit import checkout
from labkit.errors import EnvironmentProblem
from labkit.pack.bundle import Bundle
from labkit.pack.targets import PLATFORMS, PYTHONS, Target


def main(argv: list[str]) -> int:
    """The command: 0 when the bundle is complete; 2 when the arguments are wrong."""
    given = _parser().parse_args(argv)
    platforms = given.platform or [this_platform()]
    pythons = given.python or [".".join(platform.python_version_tuple()[:2])]
    targets = [Target(one, python) for one in platforms for python in pythons]
    bundle = Bundle(given.folder, checkout.root())
    _pack(bundle, targets)
    _summarize(bundle)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="labkit pack",
        description="Put packages, TensorFlow.js and labs into a folder from which machines are set up without a "
        "network. About 1 GB a platform. Again with more platforms, it fetches only those; interrupted, it goes on.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("labkit-bundle"), help="(default: %(default)s)")
    parser.add_argument(
        "--platform", action="append", choices=PLATFORMS, help="of the learners; again for more (default: this one)"
    )
    parser.add_argument(
        "--python", action="append", choices=PYTHONS, help="of the learners; again for more (default: this one)"
    )
    return parser


def this_platform() -> str:
    """The key of `PLATFORMS` for this machine.

    Raises:
        EnvironmentProblem: TensorFlow has no packages for it.
    """
    for name, one in PLATFORMS.items():
        if (sys.platform, platform.machine()) == (one["sys_platform"], one["platform_machine"]):
            return name
    raise EnvironmentProblem(
        f"This machine ({sys.platform}, {platform.machine()}) is none that the packages are made for. "
        f"Say for which to pack: --platform {' or '.join(PLATFORMS)}"
    )


def _pack(bundle: Bundle, targets: list[Target]) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("packages"),
        TextColumn("{task.fields[moving]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[Target, TaskID] = {}

        def watch(target: Target, done: int, of: int, moving: int) -> None:
            if target not in bars:
                bars[target] = progress.add_task(str(target), moving="")
            under_way = f"{moving / 1e6:.0f} MB under way" if moving else ""
            progress.update(bars[target], completed=done, total=of, moving=under_way)

        bundle.pack(targets, watch)


def _summarize(bundle: Bundle) -> None:
    table = Table("for", "packages", "MB")
    table.columns[1].justify = table.columns[2].justify = "right"
    for target in sorted(bundle.chosen):
        table.add_row(str(target), str(len(bundle.chosen[target])), f"{bundle.size(target) / 1e6:.0f}")
    Console().print(table)
    total = sum(file.stat().st_size for file in bundle.folder.rglob("*") if file.is_file())
    print(f"{bundle.folder} is complete: {total / 1e6:.0f} MB. Copy it to a stick, or serve it in the room:")
    serve = ["python3", "-m", "http.server", "8000", "--directory", str(bundle.folder)]
    print(" ", subprocess.list2cmdline(serve) if os.name == "nt" else shlex.join(serve))
    print("Learners read its README.txt; docs/classroom.md has the rest.")
