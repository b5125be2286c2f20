import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from labkit.cluster.namespaces import Namespaces, available
from labkit.cluster.spec import Task
from labkit.errors import ClusterError, EnvironmentProblem
from labkit.processes import ManagedProcess

from ..lacking import lacking
from .peers import Peer, peer, until

A, B = Task("worker", 0), Task("worker", 1)


@pytest.fixture(autouse=True, scope="module")
def needs_namespaces():
    if reason := available():
        (lacking if "is missing" in reason else pytest.skip)(reason)  # else the kernel forbids them


@pytest.fixture
def links():
    with Namespaces({}) as links:
        yield links


def started(links, task, addresses):
    return peer(int(addresses[task].split(":")[1]), links.command(task, []))


def output(links, task, command):
    return subprocess.run(links.command(task, command), capture_output=True, text=True, check=True).stdout


def holders(namespaces):
    """Processes that are in one of these network namespaces."""
    found = []
    for each in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found += [each] if each.stat().st_ino in namespaces else []
        except OSError:  # it has just ended
            continue
    return found


def test_bytes_of_both_tasks_are_counted_both_ways():
    with Namespaces({"worker": 100}) as links:
        addresses = links.open([A, B])
        with started(links, A, addresses) as a, started(links, B, addresses):
            a.talk(addresses[B], 3_000_000, 1_000_000)
            a.talk(addresses[A], 3_000_000, 3_000_000)  # does not leave the task
            traffic = links.traffic()
    # TCP, IP and Ethernet add 66 bytes to some 8,900, and acknowledge
    assert traffic[A].sent_bytes == pytest.approx(3_000_000, rel=0.03)
    assert traffic[A].received_bytes == pytest.approx(1_000_000, rel=0.05)
    assert traffic[B].received_bytes == pytest.approx(traffic[A].sent_bytes, rel=0.001)
    assert traffic[B].sent_bytes == pytest.approx(traffic[A].received_bytes, rel=0.001)
    assert min(*traffic[A], *traffic[B]) > 1_000_000
    assert links.traffic()[A].sent_bytes >= traffic[A].sent_bytes  # readable afterwards


@pytest.mark.parametrize(("there", "back"), [(20_000_000, 40), (40, 20_000_000)])
@pytest.mark.parametrize("limited", [A, B])
def test_either_end_of_a_transfer_can_be_what_makes_it_slow(limited, there, back):
    others = [Task("ps", 0), Task("ps", 1)]
    with Namespaces({str(limited): 0.1}) as links:
        addresses = links.open([A, B, *others])
        with started(links, A, addresses) as a, started(links, B, addresses):
            a.order(addresses[B], there // 40, back // 40)  # 40 s
            a.wait("connected")
            with started(links, others[0], addresses) as fast, started(links, others[1], addresses):
                fast.talk(addresses[others[1]], there, back)
            assert a.said.empty()


def test_a_task_reaches_the_others_only(links):
    addresses = links.open([A, B])
    with socket.create_server(("127.0.0.1", 0)) as here, started(links, A, addresses) as a:
        for address in (f"127.0.0.1:{here.getsockname()[1]}", "192.0.2.1:80"):  # 192.0.2.0/24 is nowhere: RFC 5737
            a.order(address, 1, 1)
            a.wait("failed")


def test_two_clusters_have_the_same_addresses_and_nothing_to_do_with_each_other(links):
    with Namespaces({}) as others:
        addresses = links.open([A, B])
        assert others.open([A, B]) == addresses
        with started(links, A, addresses) as a, started(links, B, addresses), started(others, B, addresses):
            a.talk(addresses[B], 1000, 1)
            assert others.traffic()[B].received_bytes < 1000


def test_a_task_that_is_started_again_has_the_same_link(links):
    addresses = links.open([A, B])
    with started(links, B, addresses):
        with started(links, A, addresses) as a:
            a.talk(addresses[B], 100_000, 1)
            os.kill(a.pid, signal.SIGKILL)
        with started(links, A, addresses) as a:
            a.talk(addresses[B], 100_000, 1)
    assert links.traffic()[A].sent_bytes > 200_000


def test_many_tasks_have_an_address_each(links):
    tasks = [Task("worker", number) for number in range(12)]
    addresses = links.open(tasks)
    assert len(set(addresses.values())) == 12
    for task in (tasks[0], tasks[-1]):
        assert addresses[task].split(":")[0] in output(links, task, ["ip", "-4", "addr", "show", "dev", "e0"])


def test_only_tasks_that_were_named_have_a_network(links):
    with pytest.raises(ValueError, match="not open"):
        links.entrance(A)
    links.open([A])
    with pytest.raises(ValueError, match="there is no worker 1 here; there are worker 0"):
        links.command(B, ["true"])
    with pytest.raises(ValueError, match="open already"):
        links.open([B])


def test_closing_leaves_nothing(links):
    addresses = links.open([A, B])
    inside = {os.stat(links.entrance(task)[1]).st_ino for task in (A, B)}
    with started(links, A, addresses) as a:
        assert len(holders(inside)) == 1
        holder = psutil.Process(links._process.pid)
        links.stop()
        links.stop()
        assert not holder.is_running()
        until(lambda: "e0" not in Path(f"/proc/{a.pid}/net/dev").read_text())  # cut off
        a.order(addresses[B], 1, 1)
        a.wait("failed")
    assert not holders(inside)


def test_networks_that_somebody_ended_are_said_so(links):
    links.open([A])
    os.kill(links._process.pid, signal.SIGKILL)
    with pytest.raises(ClusterError, match="networks have ended"):
        until(lambda: not links.traffic())


def test_networks_whose_start_was_interrupted_are_let_go(links, monkeypatch):
    started = []

    def interrupted(process, *_):
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(ManagedProcess, "wait_for_log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        links.open([A])
    assert not started[0].running
    monkeypatch.undo()
    assert links.open([A])


CHILD = """
import os, threading, time
from labkit.cluster.namespaces import Namespaces, Task
from labkit.network_namespace import enter
links = Namespaces({})
links.open([Task("worker", 0)])
entrance = links.entrance(Task("worker", 0))
if not (child := os.fork()):
    enter(entrance)
    print(os.stat("/proc/self/ns/net").st_ino == os.stat(entrance[1]).st_ino, flush=True)
    os._exit(0)
os.waitpid(child, 0)
threading.Thread(target=time.sleep, args=[1000], daemon=True).start()
try:
    enter(entrance)
except Exception as error:
    print(type(error).__name__, error, flush=True)
print(links._process.pid, flush=True)
time.sleep(1000)
"""


def test_a_forked_child_may_enter_and_all_ends_with_a_parent_that_is_killed():
    with Peer([sys.executable, "-c", CHILD]) as parent:
        parent.wait("True")
        assert "second thread" in parent.wait("EnvironmentProblem")
        holder = psutil.Process(int(parent.wait("")))
        parent.process.kill()
        until(lambda: not holder.is_running() or holder.status() == psutil.STATUS_ZOMBIE)


def test_a_machine_that_forbids_it_is_named_with_its_words():
    ask = f"{sys.executable} -c 'from labkit.cluster.namespaces import available; print(available())'"
    forbid = f"echo 0 > /proc/sys/user/max_user_namespaces; {ask}"
    done = subprocess.run(["unshare", "-rn", "sh", "-c", forbid], capture_output=True, text=True, check=True)
    assert "does not let us" in done.stdout, shlex.quote(done.stderr)
    assert "Relays" in done.stdout
    assert "unshare failed: No space left on device" in done.stdout


def test_a_missing_program_is_named(monkeypatch, tmp_path):
    for name in ("unshare", "nsenter", "ip"):
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert available().startswith("tc is missing")
    with pytest.raises(EnvironmentProblem, match="iproute2"):
        Namespaces({}).open([A])
