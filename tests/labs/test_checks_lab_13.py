"""Checks of lab 13: the solution is right, each typical wrong answer hears what is wrong with it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.cluster import ClusterSpec, LocalCluster
from labkit.waiting import wait_until

CLUSTER = {"chief": ["d:2222"], "worker": ["a:2222", "b:2222"], "ps": ["c:2222"]}
TASK = {"type": "worker", "index": 1}


def config(task: Any = TASK, **changed: Any) -> dict:
    return {"cluster": {type: places for type, places in (CLUSTER | changed).items() if places}, "task": task}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (config(), "right"),
        (config(ps=("c:2222",)), "right"),
        (config() | {"rpc_layer": "grpc"}, "right"),
        (config({"type": "worker", "index": 0}, worker=["b:2222", "a:2222"]), "right"),
        (config({"type": "worker", "index": 2}), "counts from 0"),
        (config({"type": "worker", "index": 3}), "within the type"),
        (config({"type": "worker", "index": -1}), "within the type"),
        (config({"type": "worker", "index": 0}), "the worker on a"),
        (config({"type": "worker", "index": "1"}), "whole number"),
        (config({"type": "ps", "index": 0}), "not one for 'ps'"),
        (config({"type": "worker"}), "a type and an index"),
        (config("worker 1"), "a type and an index"),
        (config(ps="c:2222"), "a list of addresses"),
        (config(worker=["a", "b"]), "needs its port"),
        (config(evaluator=["d:2222"]), "no evaluator"),
        (config(ps=None, parameter_server=["c:2222"]), "no type 'parameter_server'"),
        (config(chief=None), "another role"),
        (config(worker=["a:2222", "b:2222", "d:2222"]), "another role"),
        ({"worker": ["a:2222", "b:2222"]}, "the keys are 'worker'"),
        ({}, "the keys are none"),
        (json.dumps(config()), "of type str"),
        (..., "not answered yet"),
    ],
)
def test_tf_config(answer, said, hears) -> None:
    hears("13.1", answer, said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((2 * 4 * 3 * 3600) ** 0.5, "right"),
        (300, "right"),
        (np.sqrt(2 * 4 * (3 * 3600 + 120)) - 4, "right"),
        ((4 * 3 * 3600) ** 0.5, "half the time"),
        ((2 * 4 * 3 * 60) ** 0.5, "in seconds, as"),
        ((2 * 4 * 3) ** 0.5, "in seconds, as"),
        ((2 * 124 * 3 * 3600) ** 0.5, "two minutes however"),
        (5 * 294, "in steps"),
        (2 * 4 * 3 * 3600, "square"),
        (5400, "lose much"),
        (10, "costs less than 10 s"),
        (float("nan"), "not yet"),
        ("294", "of type str"),
        (True, "of type bool"),
        (..., "not answered yet"),
    ],
)
def test_between_checkpoints(answer, said, hears) -> None:
    hears("13.2", answer, said)


TRAINS = """
import pathlib, sys, time
steps, until, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
start = 50 if (folder / "ckpt-1").exists() else 0
if start:
    print("restored ckpt-1")
for step in range(start + 1, (steps if start else until) + 1):
    print(f"step {step} loss 0.5", flush=True)
while not start and until < steps:  # until it is killed
    time.sleep(0.01)
"""
THREE = ClusterSpec(chief=1, worker=2)


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Callable[..., LocalCluster]]:
    """Starts tasks that print the lines of the lab's, and behind step `until` wait for their end."""
    (tmp_path / "train.py").write_text(TRAINS)
    clusters = []

    def start(until: int, spec: ClusterSpec = THREE, steps: int = 100) -> LocalCluster:
        arguments = [str(steps), str(until), str(tmp_path)]
        clusters.append(LocalCluster(spec, tmp_path / "train.py", arguments).start())
        wait_until(lambda: all(f"step {until} " in clusters[-1].log(*task) for task in spec.tasks), timeout=60)
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.stop()


def recovered(cluster: LocalCluster, folder: Path) -> LocalCluster:
    (folder / "ckpt-1").touch()
    cluster.kill("worker", 1)
    cluster.wait(timeout=60, restarts=1)
    return cluster


def test_a_training_that_was_recovered(trained, tmp_path, hears) -> None:
    cluster = recovered(trained(60), tmp_path)
    hears("13.3", cluster, "right")
    cluster.stop()
    hears("13.3", cluster, "right")


def test_a_training_that_was_lost_too_early(trained, tmp_path, hears) -> None:
    hears("13.3", recovered(trained(55), tmp_path), "before it had done 60")


def test_a_training_that_nobody_recovered(trained, hears) -> None:
    cluster = trained(60)
    hears("13.3", cluster, "the chief is at step 60, and starting")
    cluster.kill("worker", 1)
    hears("13.3", cluster, "nobody has started it again")


def test_a_training_that_nobody_disturbed(trained, hears) -> None:
    cluster = trained(100)
    cluster.wait(timeout=60)
    hears("13.3", cluster, "never started again")


def test_a_training_in_a_folder_of_before(trained, tmp_path, hears) -> None:
    (tmp_path / "ckpt-1").touch()
    cluster = trained(100)
    cluster.wait(timeout=60)
    hears("13.3", cluster, "not new")


def test_a_training_that_was_too_short(trained, tmp_path, hears) -> None:
    cluster = trained(80, steps=80)
    cluster.wait(timeout=60)
    hears("13.3", cluster, "the chief is at step 80, and finished")


def test_other_clusters_and_other_things(trained, hears) -> None:
    hears("13.3", trained(60, ClusterSpec(chief=1, worker=1)), "it has chief 0, worker 0; a chief")
    hears("13.3", THREE, "of type ClusterSpec")
    hears("13.3", ..., "not answered yet")
