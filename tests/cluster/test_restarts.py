"""labkit.cluster.local: tasks that were lost are started again, and tasks reach each other over links."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from labkit.cluster import ClusterSpec, LocalCluster, Task
from labkit.cluster.links import Relays, Traffic
from labkit.cluster.namespaces import Namespaces, available
from labkit.cluster.ports import Port
from labkit.errors import ClusterError
from labkit.waiting import wait_until

from ..lacking import lacking

MIRRORED = ClusterSpec(chief=1, worker=2, evaluator=1)
EVERYBODY = ("chief", "worker", "evaluator")
# One task is lost as often as it is told; the others cannot end before it was started once more.
LOSES_ONE = """
import json, os, pathlib, sys, time
config = json.loads(os.environ["TF_CONFIG"])
task, trains = config["task"], [f"{type} {n}" for type, all in config["cluster"].items() for n in range(len(all))]
name, victim, losses, crashes = f"{task['type']} {task['index']}", sys.argv[1], int(sys.argv[2]), sys.argv[3:]
number = len(list(pathlib.Path().glob(f"{name}.*"))) + 1
print("start", number, flush=True)
pathlib.Path(f"{name}.{number}").touch()
if name == victim and number <= losses and crashes:
    while not all(pathlib.Path(f"{each}.{number}").exists() for each in trains):
        time.sleep(0.01)
    sys.exit("lost my peers")
while name == victim and number <= losses or not pathlib.Path(f"{victim}.{losses + 1}").exists():
    time.sleep(0.01)
print("end", flush=True)
"""
Start = Callable[..., LocalCluster]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "program.py").write_text(LOSES_ONE)
    clusters = []

    def start(victim: str, losses: int = 1, *crashes: str, spec: ClusterSpec = MIRRORED) -> LocalCluster:
        clusters.append(LocalCluster(spec, tmp_path / "program.py", [victim, str(losses), *crashes]).start())
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.stop()


def starts(cluster: LocalCluster) -> dict[str, int]:
    """How often each task was started."""
    return {str(task): cluster.log(*task).count("start") for task in cluster.spec.tasks}


def all_began(cluster: LocalCluster) -> None:
    wait_until(lambda: set(starts(cluster).values()) == {1}, timeout=60)


TRAINING_TWICE = {"chief 0": 2, "worker 0": 2, "worker 1": 2, "evaluator 0": 1}


def test_all_that_train_are_started_again_when_one_crashed(started: Start) -> None:
    cluster = started("worker 1", 1, "crashes")
    cluster.wait(*EVERYBODY, timeout=60, restarts=1)
    assert starts(cluster) == TRAINING_TWICE
    assert "lost my peers" in cluster.log("worker", 1), "what it printed before is kept"
    assert {cluster.state(*task) for task in MIRRORED.tasks} == {"finished"}


@pytest.mark.parametrize("end", ["kill", "preempt"])
def test_all_that_train_are_started_again_when_one_was_taken_away(started: Start, end: str) -> None:
    cluster = started("worker 1")
    all_began(cluster)
    getattr(cluster, end)("worker", 1)
    cluster.wait(*EVERYBODY, timeout=60, restarts=1)
    assert starts(cluster) == TRAINING_TWICE


def test_who_serves_is_started_again_too(started: Start) -> None:
    cluster = started("ps 0", spec=ClusterSpec(chief=1, worker=1, ps=1))
    all_began(cluster)
    cluster.kill("ps")
    cluster.wait(*EVERYBODY, timeout=60, restarts=1)
    assert starts(cluster) == {"chief 0": 2, "worker 0": 2, "ps 0": 2}


@pytest.mark.parametrize("crashes", [[], ["crashes"]])
def test_an_evaluator_is_started_again_alone(started: Start, crashes: list[str]) -> None:
    cluster = started("evaluator 0", 1, *crashes)
    if not crashes:
        all_began(cluster)
        cluster.kill("evaluator")
    cluster.wait(*EVERYBODY, timeout=60, restarts=1)
    assert starts(cluster) == {"chief 0": 1, "worker 0": 1, "worker 1": 1, "evaluator 0": 2}


def test_a_task_may_be_lost_as_often_as_there_are_restarts(started: Start) -> None:
    cluster = started("chief 0", 2, "crashes")
    cluster.wait(*EVERYBODY, timeout=60, restarts=2)
    assert starts(cluster) == {"chief 0": 3, "worker 0": 3, "worker 1": 3, "evaluator 0": 1}


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_crash_is_an_error_when_no_restart_is_left(started: Start, restarts: int) -> None:
    cluster = started("worker 1", 2, "crashes")
    with pytest.raises(ClusterError, match=r"worker 1 failed \(exit status 1\)(.|\n)*lost my peers") as error:
        cluster.wait(*EVERYBODY, timeout=60, restarts=restarts)
    assert error.value.log.count("start") == cluster.log("worker", 1).count("start") == restarts + 1


def test_a_task_that_was_killed_is_waited_for_when_no_restart_is_left(started: Start) -> None:
    cluster = started("worker 1")
    all_began(cluster)
    cluster.kill("worker", 1)
    with pytest.raises(ClusterError, match=r"not done after 0.1 s:\n(.|\n)*worker 1 +killed"):
        cluster.wait(timeout=0.1)
    assert starts(cluster)["chief 0"] == 1


# Each task listens at its address, as TensorFlow's servers do. Worker 1 sends to worker 0, and gets an answer.
THERE, BACK = 1_000_000, 70_000
TALKS = f"""
import json, os, pathlib, socket, time
config = json.loads(os.environ["TF_CONFIG"])
addresses, index = config["cluster"]["worker"], config["task"]["index"]
port, both = int(addresses[index].split(":")[1]), socket.has_dualstack_ipv6()
family = socket.AF_INET6 if both else socket.AF_INET
listener = socket.create_server(("", port), family=family, dualstack_ipv6=both, reuse_port=True)
print("I know", json.dumps(config["cluster"]), flush=True)
while not pathlib.Path("go").exists():  # whose connection it is, the links have to be told
    time.sleep(0.01)
if index:
    host, port = addresses[0].split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(bytes({THERE}))
    expected = {BACK}
else:
    connection, expected = listener.accept()[0], {THERE}
while expected:
    expected -= len(connection.recv(expected)) or exit("too few bytes")
if not index:
    connection.sendall(bytes({BACK}))
    connection.recv(1)
print("all was said", flush=True)
"""
PAIR = ClusterSpec(worker=2)
A, B = PAIR.tasks


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    (tmp_path / "talks.py").write_text(TALKS)
    return tmp_path / "talks.py"


def let_talk(cluster: LocalCluster) -> None:
    cluster.wait_ready(timeout=60)
    (cluster.folder / "go").touch()
    cluster.wait(timeout=60)


def known_to(cluster: LocalCluster, task: Task) -> dict[str, list[str]]:
    found = re.search("^I know (.*)$", cluster.log(*task), re.MULTILINE)
    assert found is not None
    return json.loads(found[1])


def test_what_tasks_say_goes_over_their_links(talks: Path) -> None:
    links = Relays({"worker": 1000})
    with LocalCluster(PAIR, talks, links=links) as cluster:
        let_talk(cluster)
        for task in PAIR.tasks:
            assert known_to(cluster, task) == {"worker": [cluster.addresses[A], cluster.addresses[B]]}
        assert cluster.links is links
        assert links.traffic() == {A: Traffic(BACK, THERE), B: Traffic(THERE, BACK)}
    assert links.traffic()[A] == Traffic(BACK, THERE), "readable afterwards"
    with pytest.raises(ValueError, match="not open"):
        links.know(A, cluster.pid(*A))


def test_a_task_that_was_started_again_has_its_link(talks: Path) -> None:
    with LocalCluster(PAIR, talks, links=Relays({})) as cluster:
        let_talk(cluster)
        (cluster.folder / "go").unlink()
        for task in PAIR.tasks:
            cluster.restart(*task)
        let_talk(cluster)
        assert cluster.links.traffic() == {A: Traffic(2 * BACK, 2 * THERE), B: Traffic(2 * THERE, 2 * BACK)}


def test_a_task_that_was_started_again_has_to_open_its_port_again(talks: Path) -> None:
    with LocalCluster(PAIR, talks) as cluster:
        cluster.wait_ready(timeout=60)
        talks.write_text("import time\ntime.sleep(600)")
        cluster.restart(*A)
        with pytest.raises(ClusterError, match=r"worker 0 had not opened a port after 0 s\. Waiting for it: worker 1"):
            cluster.wait_ready(timeout=0.0)


def test_a_cluster_that_cannot_be_started_leaves_nothing(talks: Path) -> None:
    cluster = LocalCluster(PAIR, talks, links=(links := Relays({})))
    links.stop()
    with pytest.raises(ValueError, match="not open"):  # which it says when the first task runs already
        cluster.start()
    assert [cluster.state(*task) for task in PAIR.tasks] == ["stopped", "not started"]


def test_links_that_are_open_already_stay_so(talks: Path) -> None:
    with closing(Port()) as port, Relays({}) as links:
        links.open({A: port.address})
        with pytest.raises(ValueError, match="open already"):
            LocalCluster(PAIR, talks, links=links)
        assert links.traffic() == {A: Traffic(0, 0)}
        links.know(A, os.getpid())  # they are still there for whom they were opened


def test_a_task_in_a_network_of_its_own_is_found_ready(talks: Path) -> None:
    if reason := available():
        (lacking if "is missing" in reason else pytest.skip)(reason)  # else the kernel forbids them
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with LocalCluster(PAIR, talks, links=Namespaces({"worker": 1000})) as cluster:
        assert cluster.addresses[A].split(":")[0] != cluster.addresses[B].split(":")[0]
        cluster.wait_ready(timeout=60)
        assert [cluster.state(*task) for task in PAIR.tasks] == ["running"] * 2
        let_talk(cluster)
        traffic = cluster.links.traffic()
    assert min(traffic[B].sent_bytes, traffic[A].received_bytes) > THERE
    assert BACK < traffic[A].sent_bytes < THERE, "with headers and acknowledgements"
