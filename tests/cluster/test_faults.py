"""Lab 13's program under faults: tasks are killed, hang or come late, disks fill up, checkpoints are damaged."""

import os
import random
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.cluster import ClusterSpec, LocalCluster
from labkit.errors import ClusterError
from labkit.waiting import wait_until
from soak import killing, lab_program
from soak.killing import FIRST_SAVED, LATEST, MIRRORED, STEPS, Training

PAIR = ClusterSpec(chief=1, worker=1)
OTHERS = [each for each in killing.VICTIMS if each != (MIRRORED, "worker")]  # that one is among two clusters
TIMEOUT = 90.0
FITS = 16 * 1024  # bytes: what the chief prints, and summaries; a checkpoint needs more


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lab_program.script(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the undisturbed training writes."""
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture(scope="module")
def alone(program: Path, folder: Path) -> Training:
    """A training that nobody disturbs."""
    with killing.cluster(program, MIRRORED, str(folder)) as cluster:
        cluster.wait(*killing.awaited(MIRRORED), timeout=TIMEOUT)
        training = killing.result(cluster)
    assert (training.step, training.evaluated, len(training.losses)) == (STEPS, STEPS, STEPS)
    return training


@pytest.fixture(scope="module")
def hung(program: Path) -> Iterator[LocalCluster]:
    """A training whose worker does nothing any more, for all of this module's tests."""
    with killing.cluster(program, PAIR) as cluster:
        killing.wait_for_step(cluster, some_step())
        cluster.pause("worker")
        yield cluster


def some_step() -> int:
    """One behind the first checkpoint, so that a training that begins anew is told from one that goes on."""
    seed = int.from_bytes(os.urandom(4))
    step = random.Random(seed).randint(FIRST_SAVED + 1, LATEST)
    print(f"seed {seed}: behind step {step}")
    return step


def test_who_waits_for_a_hung_worker_is_told(hung: LocalCluster) -> None:
    with pytest.raises(ClusterError, match=r"not done after 0\.1 s:\n(.|\n)*worker 0 +paused"):
        hung.wait(timeout=0.1)


@pytest.mark.parametrize(("spec", "role"), OTHERS, ids=[killing.name(*each) for each in OTHERS])
def test_a_killed_task_costs_nothing(program: Path, spec: ClusterSpec, role: str, alone: Training) -> None:
    training = killing.killed(program, spec, role, some_step())
    assert killing.wrong(training, spec, alone) == ""


def test_two_clusters_do_not_disturb_each_other(program: Path, alone: Training) -> None:
    with killing.cluster(program, PAIR) as other:
        training = killing.killed(program, MIRRORED, "worker", some_step())
        other.wait(timeout=TIMEOUT)
        assert killing.wrong(training, MIRRORED, alone) == ""
        assert killing.result(other).losses == alone.losses
        assert [other.log("worker").count(f"step {number} ") for number in (1, STEPS)] == [1, 1], "it was started once"


def test_a_training_waits_for_a_task_that_comes_late(program: Path, alone: Training, tmp_path: Path) -> None:
    late, come = tmp_path / "late.py", tmp_path / "come"
    waits = f"while not os.path.exists({str(come)!r}): time.sleep(0.05)"
    late.write_text(
        f"import os, time\nif '\"type\": \"worker\"' in os.environ['TF_CONFIG']:\n    {waits}\n"
        + program.read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    with killing.cluster(late, PAIR) as cluster:
        wait_until(lambda: cluster.state("chief") == "running", timeout=TIMEOUT)
        with pytest.raises(ClusterError, match=r"worker 0 had not opened a port after 0\.1 s. Waiting for it: chief 0"):
            cluster.wait_ready(timeout=0.1)
        assert cluster.step("chief") == 0
        come.touch()
        cluster.wait(timeout=TIMEOUT)
        assert killing.result(cluster).losses == alone.losses


def test_tasks_that_are_asked_to_end_cost_nothing(program: Path, alone: Training) -> None:
    """An evaluator ends at once, and is started again. A mirrored task trains on: TensorFlow takes the signal."""
    with killing.cluster(program, MIRRORED) as cluster:
        killing.wait_for_step(cluster, some_step())
        cluster.preempt("evaluator")
        cluster.preempt("worker")
        cluster.wait(*killing.awaited(MIRRORED), timeout=TIMEOUT, restarts=2)
        assert killing.result(cluster) == alone


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has prlimit")
def test_training_survives_a_full_disk(program: Path, alone: Training) -> None:
    """No file of the chief may grow beyond what its log needs, until it has failed to write a checkpoint."""
    with killing.cluster(program, PAIR) as cluster:
        limit = resource.prlimit(cluster.pid("chief"), resource.RLIMIT_FSIZE)
        resource.prlimit(cluster.pid("chief"), resource.RLIMIT_FSIZE, (FITS, limit[1]))
        wait_until(lambda: "not saved" in cluster.log("chief"), timeout=TIMEOUT)
        resource.prlimit(cluster.pid("chief"), resource.RLIMIT_FSIZE, limit)
        cluster.wait(timeout=TIMEOUT)
        assert killing.result(cluster).losses == alone.losses
        saved = re.findall(r"^saved (\S+)", cluster.log("chief"), re.MULTILINE)
        assert 1 <= len(saved) < STEPS / 50
        for name in ("chief", "worker"):
            cluster.restart(name)
        cluster.wait(timeout=TIMEOUT)
        assert f"restored {saved[-1]}\n" in cluster.log("chief")
        assert "cannot read" not in cluster.log("chief")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "kind"),
    [(truncated, "data-00000-of-00001"), (truncated, "index"), (Path.unlink, "data-00000-of-00001")],
    ids=["half of the data", "half of the index", "no data"],
)
@pytest.mark.usefixtures("alone")
def test_a_damaged_checkpoint_is_passed_over(
    program: Path, folder: Path, tmp_path: Path, damage: Callable[[Path], object], kind: str
) -> None:
    shutil.copytree(folder / "checkpoints", tmp_path / "checkpoints")
    state = tmp_path / "checkpoints" / "checkpoint"
    state.write_text(state.read_text().replace(str(folder), str(tmp_path)))
    damage(tmp_path / "checkpoints" / f"ckpt-4.{kind}")
    with LocalCluster(ClusterSpec(chief=1), program, ["151", str(tmp_path)]) as cluster:
        cluster.wait(timeout=TIMEOUT)
    told = re.findall(r"^(?:(cannot read|restored) .*(ckpt-\d+)|(step) (\d+))", cluster.log("chief"), re.MULTILINE)
    assert told == [("cannot read", "ckpt-4", "", ""), ("restored", "ckpt-3", "", ""), ("", "", "step", "151")]


def test_a_worker_that_goes_on_before_tensorflow_notices_costs_nothing(program: Path, alone: Training) -> None:
    with killing.cluster(program, PAIR) as cluster:
        killing.wait_for_step(cluster, some_step())
        cluster.pause("worker")
        with pytest.raises(ClusterError, match=r"not done after 0\.3 s"):
            cluster.wait(timeout=0.3)
        cluster.resume("worker")
        cluster.wait(timeout=TIMEOUT)
        assert killing.result(cluster).losses == alone.losses


def test_tensorflow_gives_a_hung_worker_up_and_all_begin_again(hung: LocalCluster, alone: Training) -> None:
    """It is missed after about 8 seconds; the other tests run meanwhile."""
    wait_until(lambda: hung.state("chief") == "failed (exit status 1)", timeout=TIMEOUT)
    assert "stopped sending heartbeats" in hung.log("chief")
    hung.wait(timeout=TIMEOUT, restarts=1)
    assert killing.result(hung).losses == alone.losses
