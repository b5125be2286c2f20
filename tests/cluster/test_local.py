"""labkit.cluster.local: tasks start, are watched, killed and restarted, and nothing of them is left."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.cluster import ClusterSpec, LocalCluster, Task
from labkit.cluster.local import LocalCluster as Cluster
from labkit.errors import ClusterError
from labkit.waiting import wait_until

from ..children import runs

tf: Any = None

ALL = ClusterSpec(chief=1, worker=2, ps=1, evaluator=1)
WAITS = """
import json, os, pathlib, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
name = f"{task['type']}-{task['index']}"
print("step 1 loss 0.5", flush=True)
while not pathlib.Path(f"go-{name}").exists():
    time.sleep(0.01)
print(f"step 12\\nloss: 2.5e-1 {name} has", os.environ.get("COLOUR"), flush=True)
"""


def wrote(folder: Path, text: str) -> str:
    (folder / "program.py").write_text(text)
    return str(folder / "program.py")


def let_go(cluster: Cluster, *tasks: Task) -> None:
    for task in tasks:
        (cluster.folder / f"go-{task.type}-{task.index}").touch()


def sum_over_workers() -> None:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()

    @tf.function
    def step():  # type: ignore[no-untyped-def]
        return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(1.5)))

    print("the sum is", float(strategy.experimental_local_results(step())[0]))


@pytest.fixture(scope="module")
def summed() -> Iterator[Cluster]:
    with LocalCluster(ClusterSpec(chief=1, worker=2), sum_over_workers) as cluster:
        cluster.wait(timeout=90)
        yield cluster


def test_tasks_train_together(summed: Cluster) -> None:
    for task in summed.spec.tasks:
        assert "the sum is 4.5" in summed.log(*task)
        assert summed.state(*task) == "finished"


def test_functions_become_a_script_that_runs_without_labkit(summed: Cluster) -> None:
    assert "labkit" not in summed.script.read_text()
    run = [sys.executable, "-P", "-c", f"import ast; ast.parse(open({str(summed.script)!r}).read())"]
    assert subprocess.run(run, check=False).returncode == 0
    assert summed.script.read_text().endswith('if __name__ == "__main__":\n    sum_over_workers()\n')


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Cluster]:
    with LocalCluster(ALL, wrote(tmp_path, WAITS), env={"COLOUR": "red"}) as cluster:
        wait_until(lambda: all(cluster.step(*task) == 1 for task in ALL.tasks))
        yield cluster


def test_each_task_has_its_tf_config_and_the_environment(waiting: Cluster) -> None:
    let_go(waiting, *ALL.tasks)
    waiting.wait(*ALL_TYPES, timeout=30)
    for task in ALL.tasks:
        assert f"{task.type}-{task.index} has red" in waiting.log(*task)


ALL_TYPES = ("chief", "worker", "ps", "evaluator")


def test_the_table_says_what_each_task_does(waiting: Cluster) -> None:
    let_go(waiting, Task("worker", 1))
    wait_until(lambda: waiting.state("worker", 1) == "finished")
    waiting.kill("ps", 0)
    waiting.pause("worker", 0)
    table = waiting.table()
    assert list(table.index) == ["chief 0", "worker 0", "worker 1", "ps 0", "evaluator 0"]
    assert list(table["state"]) == ["starting", "paused", "finished", "killed", "running"]
    assert list(table["step"]) == ["1", "1", "12", "1", "1"]
    assert list(table["loss"]) == ["0.5", "0.5", "0.25", "0.5", "0.5"]
    assert list(table["memory"])[2:4] == ["0 bytes", "0 bytes"]
    assert re.fullmatch(r"[\d.]+ MB", table["memory"].iloc[0])


def test_a_chief_with_parameter_servers_is_waited_for_and_those_who_serve_are_not(waiting: Cluster) -> None:
    let_go(waiting, Task("chief", 0), Task("evaluator", 0))
    waiting.wait(timeout=30)
    assert waiting.state("worker", 0) != "finished"
    with pytest.raises(ClusterError, match=r"not done after 0.1 s:\n(.|\n)*worker 0 .*starting"):
        waiting.wait("worker", timeout=0.1)


def test_a_task_that_was_killed_can_be_started_again_at_the_same_address(waiting: Cluster) -> None:
    pid, config = waiting.pid("worker", 1), waiting.addresses[Task("worker", 1)]
    waiting.kill("worker", 1)
    assert not psutil.pid_exists(pid)
    waiting.restart("worker", 1)
    wait_until(lambda: waiting.log("worker", 1).count("step 1 ") == 2)
    environment = psutil.Process(waiting.pid("worker", 1)).cwd()
    assert environment == str(waiting.folder)
    assert waiting.addresses[Task("worker", 1)] == config
    assert waiting.pid("worker", 1) != pid


# The first one's parent has ended, but it is in the task's group; the second one is in another group.
@pytest.mark.parametrize(("then", "group"), [("", None), ("; wait", 0)])
def test_what_a_killed_task_had_started_is_killed_with_it(tmp_path: Path, then: str, group: int | None) -> None:
    text = f"import subprocess, time\nsubprocess.run('sleep 600 & echo $!{then}', shell=True, process_group={group})"
    with LocalCluster(ClusterSpec(chief=1), wrote(tmp_path, f"{text}\ntime.sleep(600)")) as cluster:
        wait_until(lambda: cluster.log("chief").endswith("\n"))
        cluster.kill("chief")
        wait_until(lambda: not runs(int(cluster.log("chief"))))


def test_a_paused_task_does_nothing_until_it_is_resumed(waiting: Cluster) -> None:
    waiting.pause("worker", 0)
    let_go(waiting, Task("worker", 0), Task("worker", 1))
    wait_until(lambda: waiting.state("worker", 1) == "finished")
    assert waiting.state("worker", 0) == "paused"
    waiting.resume("worker", 0)
    waiting.wait("worker", timeout=30)


def test_a_preempted_task_is_asked_and_may_answer(tmp_path: Path) -> None:
    text = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(print('saved')))\nprint('step 1')\n"
    with LocalCluster(ClusterSpec(chief=1), wrote(tmp_path, f"{text}while True:\n    signal.pause()")) as cluster:
        wait_until(lambda: cluster.step("chief") == 1)
        cluster.preempt("chief")
        cluster.wait(timeout=30)
        assert "saved" in cluster.log("chief")


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("raise OSError('the disk is full')", r"worker 1 failed \(exit status 1\)(.|\n)*OSError: the disk is full"),
        ("os.kill(os.getpid(), 9)", r"worker 1 failed \(signal 9\). Its last lines:\nIt printed nothing."),
    ],
)
def test_a_crash_is_an_error_with_the_task_s_last_lines(tmp_path: Path, end: str, message: str) -> None:
    text = f"import os, time\nif '\"index\": 1' in os.environ['TF_CONFIG']:\n    {end}\ntime.sleep(600)"
    with LocalCluster(ClusterSpec(worker=2), wrote(tmp_path, text)) as cluster:
        with pytest.raises(ClusterError, match=message) as error:
            cluster.wait(timeout=60)
        assert error.value.log == cluster.log("worker", 1)
        with pytest.raises(ClusterError, match="worker 1 failed"):
            cluster.wait_ready(timeout=60)


def test_a_worker_whose_peers_never_come_is_reported(tmp_path: Path) -> None:
    alone = "import os, time\nif '\"index\": 1' in os.environ['TF_CONFIG']:\n"
    alone += "    print('asleep', flush=True)\n    time.sleep(600)\n"
    server = "import tensorflow as tf\nresolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()\n"
    server += "server = tf.distribute.Server(resolver.cluster_spec(), 'worker', 0)\n"
    server += "while not os.path.exists('go'):\n    time.sleep(0.01)\nprint('step 1', flush=True)\nserver.join()"
    with LocalCluster(ClusterSpec(worker=2), wrote(tmp_path, alone + server), peers_timeout=1.0) as cluster:
        wait_until(lambda: cluster.state("worker", 0) == "running")
        says = r"worker 1 had not opened a port after 1 s. Waiting for it: worker 0. (.|\n)*\nworker 1 \(starting\)"
        with pytest.raises(ClusterError, match=says):
            cluster.wait(timeout=60)
        with pytest.raises(ClusterError, match=r"worker 1 had not opened a port after 0.1 s(.|\n)*asleep"):
            cluster.wait_ready(timeout=0.1)
        (cluster.folder / "go").touch()
        wait_until(lambda: cluster.step("worker", 0) == 1)
        with pytest.raises(ClusterError, match="not done after 0 s"):  # who trains waits for nobody
            cluster.wait(timeout=0.0)


def test_nobody_else_gets_a_port_and_nobody_outside_gets_through(tmp_path: Path) -> None:
    text = "import os, json, tensorflow as tf\ncluster = json.loads(os.environ['TF_CONFIG'])\n"
    text += "tf.distribute.Server(cluster['cluster'], 'worker', cluster['task']['index']).join()"
    program = wrote(tmp_path, text)
    there = own_addresses()  # one that comes later, as a Docker engine's does, is not covered; one may also go
    with LocalCluster(ClusterSpec(worker=2), program) as one, LocalCluster(ClusterSpec(worker=2), program) as two:
        one.wait_ready()
        two.wait_ready()
        assert len({*one.addresses.values(), *two.addresses.values()}) == 4
        host, port = one.addresses[Task("worker", 0)].split(":")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("0.0.0.0", int(port)))
        with socket.create_connection((host, int(port)), timeout=10) as inside:
            assert inside.recv(9)[3] == 4, "HTTP/2 begins with its settings"
        for outside in there & own_addresses():  # none where there is no network to keep out
            with socket.create_connection((outside, int(port)), timeout=10) as stranger:
                stranger.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    stranger.recv(9)


def own_addresses() -> set[str]:
    found = [
        each.address for all_of in psutil.net_if_addrs().values() for each in all_of if each.family == socket.AF_INET
    ]
    return {address for address in found if not address.startswith("127.")}


def test_a_port_is_kept_before_anybody_listens(tmp_path: Path) -> None:
    cluster = LocalCluster(ClusterSpec(worker=1), wrote(tmp_path, "pass"))
    port = int(cluster.addresses[Task("worker", 0)].split(":")[1])
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    cluster.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_nothing_is_left_when_the_block_ends_or_fails(waiting: Cluster) -> None:
    pids = [waiting.pid(*task) for task in ALL.tasks]
    folder = waiting.folder
    waiting.pause("worker", 0)
    with pytest.raises(KeyError), waiting:
        raise KeyError
    for again in (waiting.start, lambda: waiting.restart("worker", 0)):
        with pytest.raises(ClusterError, match=r"this cluster was stopped.*; make another LocalCluster"):
            again()
    assert not any(map(psutil.pid_exists, pids))
    assert not folder.exists()


def test_nothing_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = wrote(tmp_path, WAITS)
    program = f"""
from labkit.cluster import ClusterSpec, LocalCluster
cluster = LocalCluster(ClusterSpec(chief=1, worker=1, ps=1), {script!r}).start()
print(*[cluster.pid(*task) for task in cluster.spec.tasks], flush=True)
input()
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        psutil.Process(pids[1]).suspend()
    finally:
        parent.kill()
        parent.communicate()
    wait_until(lambda: not any(map(runs, pids)), timeout=60)


def test_progress_is_what_was_printed_last_however_long_ago(tmp_path: Path) -> None:
    text = "print('step 7 loss=-inf')\nprint('x' * 9000)\nprint('30ms/step')\nprint(1)"
    with LocalCluster(ClusterSpec(chief=1), wrote(tmp_path, text)) as cluster:
        cluster.wait(timeout=60)
        assert (cluster.step("chief"), cluster.table()["loss"].iloc[0]) == (7, "-inf")


def test_who_was_never_started_is_not_waited_for(tmp_path: Path) -> None:
    cluster = LocalCluster(ClusterSpec(chief=1), wrote(tmp_path, "pass"))
    with pytest.raises(ClusterError, match="chief 0 was not started, or was stopped; call `start`, or `restart`"):
        cluster.wait(timeout=60)
    with pytest.raises(ValueError, match="there is no evaluator in this cluster; there are chief 0"):
        cluster.wait("evaluator", timeout=60)
    cluster.stop()


def test_who_was_not_done_in_time_is_said_without_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    program = wrote(tmp_path, "import time\nprint('step 7')\ntime.sleep(600)")
    with LocalCluster(ClusterSpec(chief=1), program) as cluster:
        wait_until(lambda: cluster.step("chief") == 7)
        with pytest.raises(ClusterError, match=r"not done after 0 s:\nchief 0  starting, step 7$"):
            cluster.wait(timeout=0.0)


def test_a_given_folder_stays(tmp_path: Path) -> None:
    text = "import os\nopen('result.txt', 'w').write(os.environ['TF_CONFIG'])"
    with LocalCluster(ClusterSpec(chief=1), wrote(tmp_path, text), folder=tmp_path / "run") as cluster:
        cluster.wait(timeout=60)
    config = json.loads((tmp_path / "run" / "result.txt").read_text())
    assert config["task"] == {"type": "chief", "index": 0}


def needs_the_notebook() -> None:
    print(ALL)


def needs_an_argument(steps: int) -> None:
    print(steps)


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("no/such/train.py", FileNotFoundError, "train.py is no file; pass the path of a Python script, or functions"),
        (
            needs_the_notebook,
            ValueError,
            "`needs_the_notebook` uses `ALL` from outside.*only `keras`, `np`, `tf` and `",
        ),
        (needs_an_argument, ValueError, "`needs_an_argument` needs `steps`, but it is called without arguments"),
        ([], ValueError, "no function was given"),
        ([needs_the_notebook, needs_the_notebook], ValueError, "of two with one name the script would know only one"),
        (7, TypeError, "the program is 7; pass the path of a script, a function, or a list"),
    ],
)
def test_a_program_that_cannot_run_is_refused(program: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        LocalCluster(ClusterSpec(worker=1), program)


def test_who_is_not_there_cannot_be_killed_and_who_does_not_run_neither(waiting: Cluster) -> None:
    with pytest.raises(ValueError, match="there is no worker 5 in this cluster; there are chief 0, worker 0"):
        waiting.kill("worker", 5)
    with pytest.raises(ValueError, match="there is no task type 'wroker'; there are chief, worker, ps, evaluator"):
        waiting.wait("wroker")
    waiting.kill("worker", 1)
    with pytest.raises(ClusterError, match="worker 1 does not run: killed"):
        waiting.pause("worker", 1)
