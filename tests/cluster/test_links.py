import json
import os
import signal
import socket
import sys
import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from labkit.cluster.links import Limits, Relays, Traffic
from labkit.cluster.ports import Port
from labkit.cluster.relay_process import Lane
from labkit.cluster.spec import ClusterSpec, Task
from labkit.errors import ClusterError, ProcessError

from .peer import LINE, listen, receive, serve
from .peers import Peer, peer, until

A, B = Task("worker", 0), Task("worker", 1)
HERE = Path(__file__).parent


def held():
    """Where A and B may listen; nobody else gets those ports."""
    with closing(Port()) as a, closing(Port()) as b:
        yield {A: a.address, B: b.address}


real = pytest.fixture(held, scope="module")
fresh = pytest.fixture(held)  # no peer is there


def port_of(address):
    return int(address.split(":")[1])


@pytest.fixture(scope="module")
def peers(real):
    with peer(port_of(real[A])) as a, peer(port_of(real[B])) as b:
        yield a, b


def opened(relays, real, peers):
    """The addresses of a relay that knows both."""
    addresses = relays.open(real)
    for task, each in zip((A, B), peers, strict=True):
        relays.know(task, each.pid)
    return addresses


def connected(address):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def has_ended(connection):
    """Waits for its end, be it orderly or not."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.fixture
def slow(real, peers):
    """A relay over which A's transfer to B is under way, and will be for an hour."""
    with Relays({"worker 1": 0.1}) as relays:
        addresses = opened(relays, real, peers)
        peers[0].order(addresses[B], 50_000_000, 1)
        peers[0].wait("connected")
        until(lambda: relays.traffic()[B].received_bytes > LINE)
        yield relays


def test_a_limit_by_task_wins_over_one_by_type():
    limits = Limits({"worker": 200, "worker 1": 10.5})
    assert limits.of([A, B, Task("ps", 0)]) == {A: 200, B: 10.5, Task("ps", 0): None}


@pytest.mark.parametrize("name", ["ps", "worker 7", "worker 01", "evaluator"])
def test_a_limit_is_of_one_of_the_tasks(name):
    with Relays({"worker": 10, name: 10}) as links, pytest.raises(ValueError, match=f"'{name}'; tasks with a link are"):
        links.open(dict.fromkeys([A, B], "127.0.0.1:1"))


@pytest.mark.parametrize("name", ["workers", "worker1", "worker ", "worker -1", "worker one", ""])
def test_a_limit_needs_the_name_of_a_task(name):
    with pytest.raises(ValueError, match=f"limits has '{name}'; .* as 'ps' or 'ps 0'"):
        Relays({name: 10})


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_limit_is_a_rate(rate):
    with pytest.raises(ValueError, match=r"the limit of 'ps' is .* above 0"):
        Relays({"ps": rate})


def test_bytes_leave_a_lane_one_after_another():
    lane = Lane(1000)
    assert lane.through(500, 10.0) == 10.5
    assert lane.through(100, 10.2) == 10.6  # behind the first
    assert lane.through(100, 20.0) == 20.1  # what was not used is not saved up
    assert Lane(float("inf")).through(10**9, 1.0) == 1.0


def test_bytes_of_both_tasks_are_counted_both_ways(real, peers):
    with Relays({}) as relays:
        addresses = opened(relays, real, peers)
        assert relays.traffic() == {A: Traffic(0, 0), B: Traffic(0, 0)}
        peers[0].talk(addresses[B], 3_000_000, 70_000)
        peers[1].talk(addresses[A], 11, 5)
        sent, received = LINE + 3_000_000 + 5, 70_000 + LINE + 11
        assert relays.traffic() == {A: Traffic(sent, received), B: Traffic(received, sent)}
    assert relays.traffic()[A] == Traffic(sent, received)  # readable afterwards


def test_what_a_task_says_to_itself_does_not_use_its_link(real, peers):
    with Relays({"worker": 0.01}) as relays:  # 1 MB would take more than ten minutes
        addresses = opened(relays, real, peers)
        peers[0].talk(addresses[A], 500_000, 500_000)
        assert relays.traffic()[A] == Traffic(0, 0)


@pytest.mark.parametrize(("there", "back"), [(20_000_000, 40), (40, 20_000_000)])
@pytest.mark.parametrize("limited", [A, B])
def test_either_end_of_a_transfer_can_be_what_makes_it_slow(real, peers, limited, there, back):
    with Relays({str(limited): 0.1}) as relays:
        addresses = opened(relays, real, peers)
        peers[0].order(addresses[B], there // 40, back // 40)  # 40 s
        peers[0].wait("connected")
        with connected(addresses[B if limited == A else A]) as fast:  # a stranger, over the other link
            fast.sendall(f"{there} {back}".encode().ljust(LINE) + bytes(there))
            receive(fast, back)
        assert peers[0].said.empty()
    peers[0].wait("failed")


def test_who_sends_faster_than_the_link_has_to_wait(real, peers):
    with Relays({"worker 1": 0.1}) as relays:
        addresses = opened(relays, real, peers)
        peers[0].order(addresses[B], 100_000_000, 0)  # "done" once the last byte is handed over
        peers[0].wait("connected")
        for _ in range(5):
            peers[1].talk(addresses[A], 1, 1)
        assert peers[0].said.empty()
        assert psutil.Process(relays._process.pid).memory_info().rss < 100_000_000
    peers[0].wait("failed")


def test_a_stranger_uses_the_link_of_whom_it_calls(real, peers):
    with Relays({}) as relays:
        addresses = opened(relays, real, peers)
        with connected(addresses[B]) as stranger:
            stranger.sendall(b"9 4".ljust(LINE) + bytes(9))
            receive(stranger, 4)
        assert relays.traffic() == {A: Traffic(0, 0), B: Traffic(4, LINE + 9)}


def test_a_task_that_is_known_late_is_not_a_stranger_any_more(real, peers):
    with Relays({}) as relays:
        addresses = relays.open(real)
        with connected(addresses[B]) as early:
            early.sendall(b"9 4".ljust(LINE) + bytes(9))
            receive(early, 4)
            assert relays.traffic()[A] == Traffic(0, 0)
            relays.know(A, os.getpid())
            until(lambda: relays.traffic()[A] == Traffic(LINE + 9, 4))


def test_a_task_may_be_started_again(real, peers):
    with Relays({}) as relays:
        addresses = opened(relays, real, peers)
        relays.know(A, os.getpid())
        with connected(addresses[B]) as again:
            again.sendall(b"0 1".ljust(LINE))
            assert again.recv(1) == bytes(1)
        assert relays.traffic()[A] == Traffic(LINE, 1)


def test_only_tasks_that_it_was_told_of_can_be_known(real):
    with Relays({}) as relays:
        relays.open(real)
        with pytest.raises(ValueError, match="there is no ps 0 here; there are worker 0, worker 1"):
            relays.know(Task("ps", 0), os.getpid())


def test_one_side_may_end_first(fresh):
    with Relays({}) as relays, listen(port_of(fresh[A])) as listener, connected(relays.open(fresh)[A]) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            assert server.makefile("rb").read() == b"question"
            server.sendall(b"answer")
        assert client.makefile("rb").read() == b"answer"


def test_nobody_there_yet_is_a_connection_refused_or_reset(fresh):
    with Relays({}) as relays:
        addresses = relays.open(fresh)
        with connected(addresses[A]) as early, pytest.raises(ConnectionResetError):
            early.recv(1)
        with listen(port_of(fresh[A])) as listener, connected(addresses[A]) as later:
            threading.Thread(target=serve, args=[listener], daemon=True).start()
            later.sendall(b"0 1".ljust(LINE))
            assert later.recv(1) == bytes(1)
    assert relays.traffic()[A] == Traffic(1, LINE)


def test_a_killed_task_breaks_its_own_connections_only(fresh):
    with Relays({}) as relays, peer(port_of(fresh[A])) as a, peer(port_of(fresh[B])) as b:
        addresses = opened(relays, fresh, (a, b))
        with connected(addresses[A]) as other, connected(addresses[B]) as broken:
            broken.sendall(b"9 4".ljust(LINE))
            until(lambda: relays.traffic()[B].received_bytes == LINE)
            os.kill(b.pid, signal.SIGKILL)
            assert has_ended(broken)
            other.sendall(b"0 1".ljust(LINE))
            assert other.recv(1) == bytes(1)


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue keeps who connects waiting on Linux")
def test_who_is_made_known_while_the_relay_still_connects_for_him_is_no_stranger(fresh):
    host, port = fresh[A].split(":")
    with socket.create_server((host, int(port)), reuse_port=True, backlog=0) as server, Relays({}) as relays:
        addresses, relay = relays.open(fresh), psutil.Process(relays._process.pid)
        with connected(fresh[A]), connected(addresses[A]) as client:  # the first one fills the queue
            until(lambda: psutil.CONN_SYN_SENT in [each.status for each in relay.net_connections("tcp")])
            relays.know(B, os.getpid())
            server.accept()[0].close()  # now there is room for the relay
            with server.accept()[0] as end:
                client.sendall(b"words")
                assert end.recv(5) == b"words"
                until(lambda: relays.traffic()[B] == Traffic(5, 0))


def test_closing_ends_transfers_and_leaves_no_process(slow, peers):
    process = psutil.Process(slow._process.pid)
    slow.stop()
    slow.stop()
    peers[0].wait("failed")
    assert not process.is_running()
    assert slow.traffic()[B].received_bytes > LINE


def test_a_relay_that_was_killed_is_said_so(slow, peers):
    os.kill(slow._process.pid, signal.SIGKILL)
    peers[0].wait("failed")
    with pytest.raises(ClusterError, match="relay between the tasks has ended"):
        slow.traffic()


@pytest.mark.skipif(sys.platform != "linux", reason="psutil sets the limits of another process on Linux only")
def test_without_free_descriptors_connections_wait(fresh):
    host, port = fresh[A].split(":")
    with socket.create_server((host, int(port)), reuse_port=True) as server, Relays({}) as relays:
        addresses, relay = relays.open({A: fresh[A]}), psutil.Process(relays._process.pid)
        before = relay.rlimit(psutil.RLIMIT_NOFILE)
        relay.rlimit(psutil.RLIMIT_NOFILE, (0, before[1]))
        with connected(addresses[A]) as client:
            client.sendall(b"waits")
            relays.traffic()  # it has seen the connection, and lives
            relay.rlimit(psutil.RLIMIT_NOFILE, before)
            server.settimeout(30)
            with server.accept()[0] as connection:
                assert connection.recv(5) == b"waits"


def test_a_port_that_somebody_does_not_share_is_named(fresh):
    port = port_of(fresh[A])
    with socket.create_server(("127.0.0.2", port)), pytest.raises(ProcessError) as raised:
        Relays({}).open(fresh)
    assert f"127.0.0.2:{port} for worker 0" in raised.value.log
    assert "in use" in raised.value.log


def test_a_relay_is_for_one_cluster(real):
    with Relays({}) as relays:
        relays.open(real)
        with pytest.raises(ValueError, match="open already"):
            relays.open(real)


def test_a_relay_ends_with_a_parent_that_is_killed(real):
    program = f"""if True:
        import time
        from labkit.cluster.links import Relays, Task
        relays = Relays({{}})
        relays.open({{Task("worker", 0): {real[A]!r}}})
        print(relays._process.pid, flush=True)
        time.sleep(1000)
    """
    with Peer([sys.executable, "-c", program]) as parent:
        relay = psutil.Process(int(parent.wait("")))
        parent.process.kill()
        until(lambda: not relay.is_running() or relay.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.timeout(240)
def test_an_all_reduce_of_two_tensorflow_workers_moves_what_a_ring_has_to(fresh):
    """2 (n − 1) / n times the bytes, per worker and step: Patarasuk and Yuan, doi:10.1016/j.jpdc.2008.09.002"""
    size, steps = 1_000_000, 5
    with Relays({}) as relays:
        addresses, spec = relays.open(fresh), ClusterSpec(worker=2)
        command = [sys.executable, str(HERE / "all_reduce_task.py"), str(size)]
        shared = {**os.environ, "TF_GRPC_REUSE_PORT": "true"}
        a_env, b_env = ({**shared, "TF_CONFIG": spec.tf_config(task, addresses)} for task in (A, B))
        with Peer(command, env=a_env) as a, Peer(command, env=b_env) as b:
            relays.know(A, a.pid)
            relays.know(B, b.pid)
            for each in (a, b):
                each.wait("ready", timeout=200)  # they import TensorFlow
            before = relays.traffic()
            for each in (a, b):
                each.order(steps)
            assert [json.loads(each.wait("done")) for each in (a, b)] == [4, 4]
            after = relays.traffic()
    for task in (A, B):
        for there, here in zip(after[task], before[task], strict=True):
            assert there - here == pytest.approx(2 * (2 - 1) / 2 * size * steps, rel=0.02)
