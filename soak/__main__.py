"""Load the model server for long, and kill tasks of clusters: `python -m soak [--minutes 30] [--kills 120] [--quick]`.

Writes docs/reliability.md; exit status 1: something failed that should not; 130: Ctrl-C, nothing is written.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from soak import report, scenes

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "reliability"


def main(argv: list[str]) -> int:
    """Play all scenes, print how they go, write the page; returns the exit status."""
    options = _options(argv)
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every start would compile every module again
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        work = Path(folder)
        run = report.Run(
            " ".join(["python -m soak", *argv]),
            scenes.swaps(work, options.swaps, say),
            scenes.mixed_traffic(work, options.minutes, say),
            scenes.many_models(work, options.models, say),
            scenes.large_requests(work, options.clients, options.megabytes, options.rounds, say),
            scenes.kills(work, options.kills, say),
        )
    return _write(run, options.to, say)


def _write(run: report.Run, folder: Path, say: scenes.Say) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    report.picture(run.mixed.samples, folder / f"{NAME}.svg")
    page = folder / f"{NAME}.md"
    page.write_text(report.page(run, f"{NAME}.svg"))
    for problem in run.problems():
        say(f"PROBLEM  {problem}")
    say(f"{page} is written")
    return 1 if run.problems() else 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes in all; written to work/soak, not docs")
    parser.add_argument("--minutes", type=float, help="of mixed traffic, default 30")
    parser.add_argument("--swaps", type=int, help="under load, default 1000")
    parser.add_argument("--models", type=int, default=200, help="on one server, default 200")
    parser.add_argument("--clients", type=int, default=24, help="with large requests, default 24")
    parser.add_argument("--megabytes", type=int, default=50, help="of a large request, default 50")
    parser.add_argument("--rounds", type=int, default=3, help="of large requests, default 3")
    parser.add_argument("--kills", type=int, help="of tasks of a cluster, default 120: each of six 20 times")
    parser.add_argument("--to", type=Path, help="folder for the page, default docs")
    options = parser.parse_args(argv)
    options.minutes = options.minutes or (0.5 if options.quick else 30)
    options.swaps = options.swaps or (50 if options.quick else 1000)
    options.kills = options.kills or (6 if options.quick else 120)
    options.to = options.to or REPOSITORY / ("work/soak" if options.quick else "docs")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("stopped; nothing is written", file=sys.stderr)
        sys.exit(130)
