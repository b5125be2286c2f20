"""labkit.parallel.training: whole trainings on real clusters, one after the other in one folder."""

import numpy as np
import pytest

from labkit.cluster import ClusterSpec, LocalCluster
from labkit.parallel import History
from labkit.waiting import wait_until

ASYNC = """
from labkit.parallel import drop_over, train
train(steps=30, compute_seconds=0.1, straggler={2: 0.4}, rule=drop_over(2), checkpoint="saved.npz", warm_up=8)
"""
SYNC = """
from labkit.parallel import to_float16, train
train("sync", steps=45, required=1, compute_seconds=0, straggler={1: 0.2}, compress=to_float16, checkpoint="saved.npz")
"""
WRONG = """
from labkit.errors import ClusterError
from labkit.parallel import train
for options in ({"mode": "both"}, {"steps": 0}, {"warm_up": 61}, {"required": 0}, {"mode": "sync"}):
    try:
        train(**options)
    except (ValueError, ClusterError) as error:
        print(error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


def run(text, spec, folder, *, kill=None):
    """The chief's log, or worker 0's."""
    (folder / "program.py").write_text(text)
    with LocalCluster(spec, folder / "program.py", folder=folder) as cluster:
        if kill:
            wait_until(lambda: cluster.step(*kill) > 0)
            cluster.kill(*kill)
        cluster.wait(*["chief"] * spec.chief or ["worker"], timeout=60)
        workers = [index for index in range(spec.worker) if ("worker", index) != kill]
        wait_until(lambda: all(cluster.state("worker", index) == "finished" for index in workers))
        return cluster.log("chief" if spec.chief else "worker")


@pytest.fixture(scope="module")
def asynchronous(folder):
    """A training in which worker 1 was killed."""
    log = run(ASYNC, ClusterSpec(chief=1, worker=3, ps=1), folder, kill=("worker", 1))
    return log, History.read(folder)


@pytest.fixture(scope="module")
def synchronous(folder, asynchronous):
    """A training that goes on from there."""
    log = run(SYNC, ClusterSpec(chief=1, worker=2, ps=2), folder)
    return log, History.read(folder)


def test_the_training_reaches_its_last_step_without_a_killed_worker(asynchronous):
    log, history = asynchronous
    assert "step 30 loss" in log
    assert set(history.table()["worker"]) == {0, 1, 2}
    assert history.loss_curve().iloc[-1] < history.loss_curve().iloc[0]


def test_the_records_hold_what_the_rule_did(asynchronous):
    table = asynchronous[1].table()
    assert (table["applied_at"] - table["read"]).equals(table["staleness"])
    assert (table["staleness"] <= 2).equals(table["applied"])
    assert 30 - 10 < table["applied"].sum() <= 33  # a record of the killed worker may be missing


def test_the_straggler_is_the_stale_one(asynchronous):
    history = asynchronous[1]
    assert np.mean(history.staleness(2)) > np.mean(history.staleness(0))


def test_one_replica_warms_up(asynchronous):
    table = asynchronous[1].table()
    alone = table[table["read"] < 8]
    assert set(alone["worker"]) == {0}
    assert len(alone) == 8


def test_it_goes_on_from_what_was_saved(synchronous, folder):
    log, history = synchronous
    assert "step 40 loss" in log
    assert "step 30 loss" not in log
    assert np.load(folder / "saved.npz")["version"] == 45
    assert set(history.table()["read"]) >= set(range(8)) | set(range(33, 45))


def test_each_synchronous_step_is_one_version_and_backups_come_too_late(synchronous):
    table = synchronous[1].table()
    steps = table[table["read"] >= 33]
    assert steps.groupby("read")["applied"].any().all()
    assert not steps["applied"].all()
    assert (steps[steps["applied"]]["staleness"] == 0).all()


def test_what_does_not_fit_is_refused(tmp_path):
    log = run(WRONG, ClusterSpec(worker=1, ps=1), tmp_path)
    assert 'mode is \'both\'; it is "sync" or "async"' in log
    assert "steps is 0" in log
    assert "warm_up is 61; give a version from 0 to steps, which is 60" in log
    assert "required is 0; give 1 or more gradients" in log
    assert "the cluster has no chief to take the average" in log
