"""A training program for every task of a cluster with parameter servers: each does what its type is for.

    with LocalCluster(ClusterSpec(chief=1, worker=3, ps=1), program) as cluster:    # program: see `train`
        cluster.wait("worker", timeout=60)
    History.read(cluster.folder).table()

This module imports TensorFlow.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from labkit.errors import ClusterError
from labkit.parallel import digits
from labkit.parallel.history import Recorder
from labkit.parallel.parameter_servers import ParameterServers, serve
from labkit.parallel.rules import keep_all
from labkit.parallel.tf_config import read_tf_config

_TELL_EVERY = 10


@dataclass(frozen=True)
class Plan:
    """What `train` was asked to do; the arguments are explained there."""

    mode: str = "async"
    steps: int = 60
    learning_rate: float = 0.1
    rule: Callable[[int], float] = keep_all
    required: int | None = None
    warm_up: int = 0
    compute_seconds: float = 0.02
    straggler: Mapping[int, float] = field(default_factory=dict)
    compress: Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]] = dict
    hidden: int = 32
    scale: float = 1.0
    batch: int = 64
    seed: int = 0
    folder: str | os.PathLike[str] = "."
    checkpoint: str | os.PathLike[str] | None = None
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.mode not in ("sync", "async"):
            raise ValueError(f'mode is {self.mode!r}; it is "sync" or "async"')
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; give the version to stop at, 1 or more")
        if not 0 <= self.warm_up <= self.steps:
            raise ValueError(f"warm_up is {self.warm_up}; give a version from 0 to steps, which is {self.steps}")
        if self.required is not None and self.required < 1:
            raise ValueError(f"required is {self.required}; give 1 or more gradients, or None for all workers'")


def train(mode: str = "async", **options: Any) -> None:
    """Train on digits, in any task of the cluster that ``TF_CONFIG`` describes. A ps task never returns.

    Args:
        mode: ``async``: each worker's gradient is applied when it comes. ``sync``: the chief takes the average.
        steps: the version at which all stop: 60.
        learning_rate: of each update: 0.1.
        rule: async: what a stale gradient counts, as `keep_all`, `drop_over(4)`, `scale_down`.
        required: sync: gradients that a step waits for; all workers' if not given. The rest are backups.
        warm_up: worker 0 trains alone until this version.
        compute_seconds: a sleep in each step, 0.02: the time of an accelerator that this machine does not have, so
            that many workers fit on few cores.
        straggler: worker -> seconds on top of that.
        compress: gradients -> what is sent of them, as `to_float16` and `TopK(0.01)`.
        hidden: units of the hidden layer, 32; 0: a softmax regression.
        scale: of the first weights, 1.0; over 1 the first gradients are large.
        batch: examples of each gradient: 64.
        seed: of the first values and, with the worker's number, of the batches.
        folder: where the tasks write what `History.read` reads.
        checkpoint: a file that the chief, or else worker 0, writes every 10 steps and at the end, and begins with.
        timeout: seconds to wait for other tasks: 60.

    Raises:
        ClusterError: there is no such cluster, a server was lost, or others did not come.
        ValueError: an option does not fit.
    """
    plan = Plan(mode, **options)
    cluster, task, _ = read_tf_config()
    if task == "ps":
        serve()
    if plan.mode == "sync" and "chief" not in cluster:
        raise ClusterError(
            'mode is "sync", and the cluster has no chief to take the average: ClusterSpec(chief=1, ...)'
        )
    servers = ParameterServers(
        digits.first_values(plan.hidden, plan.seed, plan.scale), checkpoint=plan.checkpoint, timeout=plan.timeout
    )
    if task == "chief":
        _lead(servers, plan)
    else:
        _work(servers, plan)


def _work(servers: ParameterServers, plan: Plan) -> None:
    """A worker's loop: pull, compute, push; with sync also wait for the next version."""
    recorder = Recorder(plan.folder, "worker", servers.index)
    images, labels = digits.examples()
    random = np.random.default_rng([plan.seed, servers.index])
    if servers.index:
        servers.wait(plan.warm_up)
    for own_step in count(1):
        start = time.perf_counter()
        version, values = servers.pull()
        if version >= plan.steps:
            break
        rows = random.integers(0, len(labels), plan.batch)
        _, gradients = digits.loss_and_gradients(values, images[rows], labels[rows])
        time.sleep(plan.compute_seconds + plan.straggler.get(servers.index, 0.0))
        staleness = _send(servers, plan, {name: gradient.numpy() for name, gradient in gradients.items()}, version)
        sent = time.perf_counter()
        if plan.mode == "sync":
            servers.wait(version + 1)
        waited = time.perf_counter() - sent
        record: dict[str, Any] = {
            "worker": servers.index,
            "read": version,
            "applied_at": version + staleness,
            "staleness": staleness,
        }
        record |= {"applied": plan.rule(staleness) > 0, "loss": float(digits.loss(values, images, labels))}
        recorder.write(**record, seconds=sent - start, waited=waited)
        print(f"step {version} loss {record['loss']:.4f}", flush=True)
        if own_step % _TELL_EVERY == 0:
            _save(servers, plan)
    _save(servers, plan)


def _send(servers: ParameterServers, plan: Plan, gradients: Mapping[str, np.ndarray], version: int) -> int:
    """The gradients' staleness."""
    small = plan.compress(gradients)
    if plan.mode == "sync":
        return servers.contribute(small, version)
    return servers.push(small, version, plan.learning_rate, plan.rule)


def _lead(servers: ParameterServers, plan: Plan) -> None:
    """What the chief does: with sync it takes the averages, and in both modes it says how far they are, and saves."""
    recorder = Recorder(plan.folder, "chief", servers.index)
    images, labels = digits.examples()
    version = servers.version()
    while version < plan.steps:
        if plan.mode == "sync":
            alone = version < plan.warm_up
            used = servers.aggregate(1 if alone else plan.required or servers.workers, plan.learning_rate)
            recorder.write(read=version, used=used)
            version += 1
        else:
            version = min(plan.steps, version + _TELL_EVERY)
            servers.wait(version)
        if version % _TELL_EVERY == 0 or version == plan.steps:
            print(f"step {version} loss {float(digits.loss(servers.pull()[1], images, labels)):.4f}", flush=True)
            _save(servers, plan)


def _save(servers: ParameterServers, plan: Plan) -> None:
    if servers.leads and plan.checkpoint:
        servers.save(plan.checkpoint)
