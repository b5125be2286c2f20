"""Load the model server for long, and kill tasks of clusters: `python -m soak [server|clusters] [--quick]`.

Writes docs/reliability.md and docs/reliability-clusters.md. Exit status 1: something failed that should not;
130: Ctrl-C.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from soak import report, scenes

REPOSITORY = Path(__file__).resolve().parent.parent
SERVER, CLUSTERS = "server", "clusters"


def main(argv: list[str]) -> int:
    """Play all scenes, print how they go, write the page; returns the exit status."""
    options = _options(argv)
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every start would compile every module again
    command, started = " ".join(["python -m soak", *argv]), time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    problems = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        if options.what in (None, SERVER):
            problems += _server(command, Path(folder), options, say)
        if options.what in (None, CLUSTERS):
            problems += _clusters(command, Path(folder), options, say)
    return 1 if problems else 0


def _server(command: str, work: Path, options: argparse.Namespace, say: scenes.Say) -> list[str]:
    run = report.Run(
        command,
        scenes.swaps(work, options.swaps, say),
        scenes.mixed_traffic(work, options.minutes, say),
        scenes.many_models(work, options.models, say),
        scenes.large_requests(work, options.clients, options.megabytes, options.rounds, say),
    )
    options.to.mkdir(parents=True, exist_ok=True)
    report.picture(run.mixed.samples, options.to / "reliability.svg")
    return _write(options.to / "reliability.md", report.page(run, "reliability.svg"), run.problems(), say)


def _clusters(command: str, work: Path, options: argparse.Namespace, say: scenes.Say) -> list[str]:
    kills = scenes.kills(work, options.kills, say)
    options.to.mkdir(parents=True, exist_ok=True)
    return _write(options.to / "reliability-clusters.md", report.clusters_page(command, kills), kills.wrong, say)


def _write(path: Path, page: str, problems: list[str], say: scenes.Say) -> list[str]:
    path.write_text(page)
    for problem in problems:
        say(f"PROBLEM  {problem}")
    say(f"{path} is written")
    return problems


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("what", nargs="?", choices=(SERVER, CLUSTERS), help="only these scenes; default: all")
    parser.add_argument("--quick", action="store_true", help="three minutes in all; written to work/soak, not docs")
    parser.add_argument("--minutes", type=float, help="of mixed traffic, default 30")
    parser.add_argument("--swaps", type=int, help="under load, default 1000")
    parser.add_argument("--models", type=int, default=200, help="on one server, default 200")
    parser.add_argument("--clients", type=int, default=24, help="with large requests, default 24")
    parser.add_argument("--megabytes", type=int, default=50, help="of a large request, default 50")
    parser.add_argument("--rounds", type=int, default=3, help="of large requests, default 3")
    parser.add_argument("--kills", type=int, help="of tasks of a cluster, default 120: each of six 20 times")
    parser.add_argument("--to", type=Path, help="folder for the pages, default docs")
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
        print("stopped; what was not finished is not written", file=sys.stderr)
        sys.exit(130)
