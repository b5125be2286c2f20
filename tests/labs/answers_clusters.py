"""What learners answer in labs 11 to 13."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from labkit.cluster import ClusterSpec, LocalCluster
from labkit.parallel import keep_all, scale_down

from .answers import exercise


@exercise("11.1", "28")
def staleness(_: Path) -> dict[str, Any]:
    return {
        "as before": 7,
        "three times as long": 21,
        "its own, too": 32,
        "one other": 4,
        "milliseconds": 2800,
        "a guess": 12,
    }


@exercise("11.3", "min(", "2 / staleness if")
def rule(_: Path) -> dict[str, Any]:
    return {
        "divided by 0": lambda staleness: min(1, 2 / staleness),
        "young ones grow": lambda staleness: 2 / staleness if staleness else 1.0,
        "old ones stay": lambda staleness: 2 / max(2, staleness),
        "10 is over 10": lambda staleness: 2 / max(2, staleness) if staleness < 10 else 0.0,
        "the lab's rule": scale_down,
        "nothing happens": keep_all,
        "a factor": 0.5,
    }


@exercise("11.2", "required=2")
def backups(_: Path) -> dict[str, Any]:
    from .test_checks_lab_11 import asynchronous, other_workers_slow, synchronous

    return {
        "no backup": synchronous([0, 1, 2, 3]),
        "one backup": synchronous([0, 1, 2]),
        "nobody waits": asynchronous(),
        "the others are slow": other_workers_slow(),
        "three workers": synchronous([0, 1], workers=3),
        "how many": 2,
    }


@exercise("12.1", "96")
def ring(_: Path) -> dict[str, Any]:
    gradient = 2 * 25.6e6
    return {
        "float32": 2 * 15 / 16 * 2 * gradient,
        "as to a server": gradient,
        "there and back": 2 * gradient,
        "half of the rounds": 15 / 16 * gradient,
        "all of it in each round": 30 * gradient,
        "in MB": 100,
    }


@exercise("12.2", "52")
def servers(_: Path) -> dict[str, Any]:
    return {
        "not rounded": 51.2,
        "rounded down": 51,
        "one way": 26,
        "gigabytes": 7,
        "one worker's bytes": 1,
        "half as long": 103,
        "to be safe": 64,
    }


@exercise("12.3", "[-k:]", "everything[indices] = 0")
def sparse(_: Path) -> dict[str, Any]:
    from . import test_checks_lab_12 as lab

    return {
        "what was left is forgotten": lab.forgets_what_was_left,
        "largest, not largest in size": lab.largest_but_not_in_size,
        "what was sent stays": lab.keeps_what_was_sent,
        "nothing stays": lab.drops_the_rest,
        "the gradient's own values": lab.sends_the_gradients_own,
        "in place": lab.changes_its_argument,
        "no return": lambda gradient, left, k: None,
        "called": lab.sparse(np.ones(3), np.ones(3), 1),
    }


@exercise("13.1", '"d:2222"', "'d:2222'", '"index": 1')
def config(_: Path) -> dict[str, Any]:
    from .test_checks_lab_13 import config

    return {
        "counted from 1": config({"type": "worker", "index": 2}),
        "the second of four": config({"type": "worker", "index": 3}),
        "the one on a": config({"type": "worker", "index": 0}),
        "one address needs no list": config(ps="c:2222"),
        "no ports": config(worker=["a", "b"]),
        "the chief is forgotten": config(chief=None),
        "the type written out": config(ps=None, parameter_server=["c:2222"]),
        "as the variable holds it": json.dumps(config()),
    }


@exercise("13.2", "29")
def between(_: Path) -> dict[str, Any]:
    return {
        "without the half": (4 * 3 * 3600) ** 0.5,
        "minutes": (2 * 4 * 3 * 60) ** 0.5,
        "with the two minutes": (2 * 124 * 3 * 3600) ** 0.5,
        "no root": 2 * 4 * 3 * 3600,
        "half of the time between failures": 5400,
        "often is safe": 10,
    }


class Ended(LocalCluster):
    """A cluster that was never started, and of which these things are told."""

    def __init__(self, spec: ClusterSpec, states: dict[str, str], logs: dict[str, str]) -> None:
        self.spec, self._states, self._logs = spec, states, logs

    def state(self, type: str, index: int = 0) -> str:
        return self._states[f"{type} {index}"]

    def log(self, type: str, index: int = 0) -> str:
        return self._logs[f"{type} {index}"]


@exercise("13.3", "restarts=1")
def recovered(_: Path) -> dict[str, Any]:
    spec = ClusterSpec(chief=1, worker=2)

    def ended(worker: str, chief: int = 200, state: str = "finished") -> Ended:
        logs = {"chief 0": f"step {chief} loss 0.1", "worker 1": worker}
        return Ended(spec, {"chief 0": "finished", "worker 1": state}, logs)

    return {
        "as in part 4: one worker": Ended(ClusterSpec(chief=1, worker=1), {}, {}),
        "nobody starts it again": ended("step 61 loss 0.5", chief=61, state="killed"),
        "killed at once": ended("step 3 loss 0.9\nrestored ckpt-1\nstep 200 loss 0.1"),
        "part 4's folder": ended("restored ckpt-4\nstep 200 loss 0.1"),
        "not waited for": ended("step 61 loss 0.5\nrestored ckpt-1", chief=70),
        "nobody killed it": ended("step 200 loss 0.1"),
        "what it printed": "step 200 loss 0.1",
    }
