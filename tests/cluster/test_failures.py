"""What nobody waits for: crashes in disguise, tasks that will not go on; and who is no reason for an error."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from labkit.cluster import ClusterSpec, LocalCluster
from labkit.errors import ClusterError
from labkit.waiting import wait_until

from ..children import runs

TWO = ClusterSpec(chief=1, worker=1)
HEAD = """
import json, os, pathlib, signal, socket, sys, time
config = json.loads(os.environ["TF_CONFIG"])
me = config["task"]["type"]
def listen():
    global listener
    listener = socket.create_server(("127.0.0.1", int(config["cluster"][me][0].split(":")[1])), reuse_port=True)
    print("listens", flush=True)
"""
Start = Callable[..., LocalCluster]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a cluster of a chief and a worker that run these lines, in a folder of the test's own."""
    clusters = []

    def started(lines: str, spec: ClusterSpec = TWO, **options: float) -> LocalCluster:
        (tmp_path / "program.py").write_text(HEAD + lines)
        clusters.append(LocalCluster(spec, tmp_path / "program.py", **options).start())
        return clusters[-1]

    yield started
    for cluster in clusters:
        cluster.stop()


def wait_for(cluster: LocalCluster, *types: str, text: str) -> None:
    wait_until(lambda: all(text in cluster.log(each) for each in types), timeout=60)


@pytest.mark.parametrize("who", ["True", "me == 'chief'"], ids=["after it came", "before"])
def test_who_was_killed_is_not_missing(start: Start, who: str) -> None:
    cluster = start(f"if {who}:\n    listen()\nprint('up', flush=True)\ntime.sleep(600)", peers_timeout=0.2)
    wait_for(cluster, "chief", "worker", text="up")
    cluster.kill("worker")
    with pytest.raises(ClusterError, match="not done after 1 s"):
        cluster.wait(timeout=1)


@pytest.mark.parametrize("lines", ["", "listen()\nprint('epoch 1 loss: 0.3', flush=True)\n"], ids=["no port", "a loss"])
def test_nobody_is_missing_where_nobody_waits(start: Start, lines: str) -> None:
    cluster = start(
        f"if me == 'chief':\n    {lines or 'pass'!r} and exec({lines!r})\ntime.sleep(600)", peers_timeout=0.2
    )
    if lines:
        wait_for(cluster, "chief", text="loss")
    with pytest.raises(ClusterError, match="not done after 1 s"):
        cluster.wait(timeout=1)


def test_a_preempted_task_that_goes_on_and_fails_has_crashed(start: Start) -> None:
    lines = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('could not save'))\nprint('up', flush=True)\ntime.sleep(600)"
    )
    cluster = start(lines)
    wait_for(cluster, "worker", text="up")
    cluster.preempt("worker")
    with pytest.raises(ClusterError, match=r"worker 0 failed \(exit status 1\)(.|\n)*could not save"):
        cluster.wait(timeout=60)


@pytest.mark.parametrize("end", [LocalCluster.kill, LocalCluster.preempt])
def test_those_that_were_taken_away_are_not_waited_for_when_nobody_else_is_left(
    start: Start, end: Callable[[LocalCluster, str], None]
) -> None:
    cluster = start("print('up', flush=True)\ntime.sleep(600 * (me == 'worker'))")
    wait_for(cluster, "worker", text="up")
    end(cluster, "worker")
    with pytest.raises(ClusterError, match=r"worker 0 \((killed|preempted)\) will not go on by itself; call `restart`"):
        cluster.wait(timeout=60)


def test_a_task_is_killed_at_a_step_once(start: Start, tmp_path: Path) -> None:
    step = "for step in range(1, 100):\n    print('step', step, flush=True)\n    time.sleep(0.01)"
    cluster = start(step)
    cluster.kill("worker", at_step=20)
    cluster.wait(timeout=60, restarts=1)
    assert cluster.log("worker").count("step 1\n") == 2
    assert cluster.log("worker").count("step 99\n") == 1


def test_an_evaluator_is_waited_for_by_name_only(start: Start, tmp_path: Path) -> None:
    lines = "while me == 'evaluator' and not pathlib.Path('seen').exists():\n    time.sleep(0.01)"
    cluster = start(lines, ClusterSpec(chief=1, evaluator=1))
    cluster.wait(timeout=60)
    assert cluster.state("evaluator") == "running"
    (cluster.folder / "seen").touch()
    cluster.wait("evaluator", timeout=60)


def test_tasks_are_asked_once_and_have_time_to_save(start: Start) -> None:
    lines = """
def save(number, frame):
    print("asked", flush=True)
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, save)
print("up", flush=True)
time.sleep(600)
"""
    cluster = start(lines)
    wait_for(cluster, "chief", "worker", text="up")
    cluster.restart("worker")
    assert cluster.log("worker").startswith("up\nasked\nsaved\n")
    wait_until(lambda: cluster.log("worker").count("up") == 2, timeout=60)
    cluster.stop()
    assert [cluster.log(each) for each in TWO.deciding_types] == ["up\nasked\nsaved\n", 2 * "up\nasked\nsaved\n"]


def test_who_does_not_end_when_it_is_asked_is_ended(start: Start) -> None:
    cluster = start("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)")
    wait_for(cluster, "chief", "worker", text="up")
    pids = [cluster.pid(each) for each in TWO.deciding_types]
    cluster.stop()
    assert not any(map(runs, pids))


def test_a_forgotten_cluster_ends_wherever_it_is_collected(start: Start, tmp_path: Path, monkeypatch) -> None:
    """Here within an order to the process that it gives its own orders to."""
    other = start("time.sleep(600)")
    forgotten = [LocalCluster(TWO, tmp_path / "program.py").start()]
    pid, dumps = forgotten[0].pid("chief"), json.dumps
    monkeypatch.setattr(json, "dumps", lambda order: forgotten.clear() or dumps(order))
    assert other.state("chief")
    assert not forgotten
    wait_until(lambda: not runs(pid), timeout=60)


def test_ctrl_c_in_a_question_to_the_host_ends_nothing(start: Start) -> None:
    cluster = start("print(os.getppid(), flush=True)\ntime.sleep(600)")
    wait_for(cluster, "chief", text="\n")
    host = psutil.Process(int(cluster.log("chief")))
    ctrl_c = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    host.suspend()
    try:
        ctrl_c.start()
        with pytest.raises(KeyboardInterrupt):
            cluster.state("chief")
    finally:
        ctrl_c.cancel()
        ctrl_c.join()
        host.resume()  # the process that starts all tasks of all tests
    assert cluster.state("chief") == "starting"
