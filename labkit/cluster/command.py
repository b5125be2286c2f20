"""`labkit cluster`: run a script as a cluster on this machine, and lose tasks on demand."""

import argparse
from collections.abc import Sequence

from labkit.cluster.links import Limits, Relays
from labkit.cluster.local import LocalCluster
from labkit.cluster.spec import TYPES, ClusterSpec, Task


def main(argv: Sequence[str]) -> int:
    """Run the cluster until its chief and workers are done; with parameter servers, until its chief is.

    Returns:
        The exit status: 0 when they ended well.

    Raises:
        ClusterError: a task crashed, or the time was over.
    """
    parser = _parser()
    at = list(argv).index("--") if "--" in argv else len(argv)
    options = parser.parse_intermixed_args(argv[:at])
    options.arguments += argv[at + 1 :]
    try:
        spec = ClusterSpec(**{kind: getattr(options, kind) for kind in TYPES})
        losses = [_loss(text, spec) for text in options.kill]
        limits = dict(_limit(text) for text in options.link)
        links = Relays(limits) if limits else None
        cluster = LocalCluster(
            spec, options.script, options.arguments, folder=options.folder, links=links, gpu=options.gpu
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    with cluster:
        for task, step in losses:
            cluster.kill(*task, at_step=step)
        cluster.wait(timeout=options.timeout, restarts=options.restarts, stream=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="labkit cluster", description="Run a script as a TensorFlow cluster on this machine."
    )
    parser.add_argument("script", help="a Python script that reads TF_CONFIG")
    parser.add_argument("arguments", nargs="*", help="the script's arguments; after -- if they begin with -")
    for kind in TYPES:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N", help=f"number of tasks of type {kind}")
    parser.add_argument("--restarts", type=int, default=0, metavar="N", help="start all again so often if one is lost")
    parser.add_argument(
        "--kill", action="append", default=[], metavar="TASK@STEP", help="as worker:1@60; may be repeated"
    )
    parser.add_argument("--link", action="append", default=[], metavar="TASK=MBIT", help="as ps=50 or worker:1=10")
    parser.add_argument("--folder", help="the tasks' working folder; by default one that is removed at the end")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="end with an error after so long")
    parser.add_argument("--gpu", action="store_true", help="let tasks see GPUs")
    return parser


def _loss(text: str, spec: ClusterSpec) -> tuple[Task, int]:
    name, at, step = text.partition("@")
    kind, _, index = name.partition(":")
    if not at or not step.isdecimal() or not (index or "0").isdecimal():
        raise ValueError(f"--kill is {text!r}; a task and a step are needed, as worker:1@60")
    task = Task(kind, int(index or 0))
    if task not in spec.tasks:
        raise ValueError(f"--kill names {task}; there are {', '.join(map(str, spec.tasks))}")
    return task, int(step)


def _limit(text: str) -> tuple[str, float]:
    name, _, rate = text.partition("=")
    try:
        limit = name.replace(":", " "), float(rate)
        Limits(dict([limit]))
    except ValueError:
        raise ValueError(f"--link is {text!r}; a task and its Mbit/s are needed, as ps=50 or worker:1=10") from None
    return limit
