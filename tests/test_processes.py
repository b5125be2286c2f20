"""labkit.processes: readiness, logs, stopping, and nothing that outlives its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from labkit import processes
from labkit.errors import ProcessError
from labkit.ports import free_ports
from labkit.waiting import wait_until

from .children import runs

SLEEPER = [sys.executable, "-u", "-c", "import time; print('ready'); time.sleep(600)"]
STUBBORN = [
    *(sys.executable, "-u", "-c"),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(600)",
]
FAMILY = [
    *(sys.executable, "-u", "-c"),
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('ready', child.pid, flush=True); time.sleep(600)",
]


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(runs, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_process_is_ready_when_its_log_says_so_and_gone_when_stopped():
    process = processes.start(SLEEPER, name="sleeper", ready="ready")
    assert process.running
    assert process.log() == "ready\n"
    assert process.memory() > 1_000_000
    process.stop()
    assert not process.running
    assert process.exit_code == -signal.SIGTERM
    assert process.memory() == 0
    assert process.log() == "ready\n", "the log can be read after the end"
    process.stop()


def test_it_is_a_context_manager():
    with processes.start(SLEEPER, name="sleeper", ready="ready") as process:
        assert process.running
    assert not process.running


def test_what_ignores_a_polite_end_is_ended_by_force():
    process = processes.start(STUBBORN, name="stubborn", ready="ready")
    process.stop(grace=0.2)
    assert process.exit_code == -signal.SIGKILL


def test_its_children_end_with_it():
    process = processes.start(FAMILY, name="family", ready="ready")
    child = int(process.log().split()[1])
    assert runs(child)
    process.stop()
    assert gone_within([child], 2.0)


def test_one_that_ends_before_it_is_ready_shows_its_log():
    command = [sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"]
    with pytest.raises(ProcessError, match=r"broken ended with exit status 3\.\nno such thing") as error:
        processes.start(command, name="broken", ready="ready")
    assert error.value.log == "no such thing\n"


def test_one_that_never_gets_ready_is_stopped():
    with pytest.raises(ProcessError, match=r"not ready after 0\.3 s") as error:
        processes.start([*SLEEPER[:-1], "import os, time; print(os.getpid()); time.sleep(600)"], **slow())
    assert not runs(int(error.value.log))


def slow() -> dict:
    return {"name": "slow", "ready": "never said", "timeout": 0.3}


def test_a_program_that_does_not_exist_is_named():
    with pytest.raises(ProcessError, match="no-such-program"):
        processes.start(["no-such-program"], name="nothing")


@pytest.mark.parametrize("kind", [SLEEPER, FAMILY, STUBBORN], ids=["sleeper", "family", "stubborn"])
def test_nothing_survives_a_parent_that_is_killed(kind, tmp_path):
    """The parent gets SIGKILL, as a Jupyter kernel does that is out of memory or is restarted by force."""
    flag = tmp_path / "cleaned"
    afterwards = [sys.executable, "-c", f"open({str(flag)!r}, 'w').close()"]
    parent = subprocess.Popen(
        [
            *(sys.executable, "-u", "-c"),
            "import json, sys, time\n"
            "from labkit import processes\n"
            f"process = processes.start({kind!r}, name='child', ready='ready', afterwards={afterwards!r})\n"
            "print(json.dumps([process.pid, process.log(), str(process.log_path)]), flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    pid, log, log_path = json.loads(parent.stdout.readline())
    pids = [pid, *map(int, log.split()[1:])]
    assert all(map(runs, pids))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone_within(pids, 2.0)
    wait_until(flag.exists)  # the command for afterwards was run
    wait_until(lambda: not os.path.exists(os.path.dirname(log_path)))  # the folder of logs is removed


def test_a_forked_child_does_not_keep_the_processes_alive():
    """multiprocessing's fork copies open pipes: the guard must notice the parent's end all the same."""
    parent = subprocess.Popen(
        [
            *(sys.executable, "-u", "-c"),
            "import os, time\n"
            "from labkit import processes\n"
            f"process = processes.start({SLEEPER!r}, name='child', ready='ready')\n"
            "fork = os.fork()\n"
            "if not fork:\n"
            "    time.sleep(600)\n"
            "print(process.pid, fork, flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    child, fork = map(int, parent.stdout.readline().split())
    try:
        parent.kill()
        parent.wait()
        assert gone_within([child], 2.0)
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.stdout.close()


def test_a_reused_process_number_is_left_alone():
    from labkit.process_guard import identity, is_ours

    ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    known = identity(ended.pid)
    assert is_ours(known)
    ended.communicate()
    assert is_ours(known), "nobody has its number: its group may still have members"
    known._pid = os.getpid()  # as if the system had given the number to somebody else
    assert not is_ours(known)


def test_a_stop_that_was_interrupted_can_be_repeated(monkeypatch):
    process = processes.start(STUBBORN, name="stubborn", ready="ready")
    monkeypatch.setattr(processes.process_guard, "end_group", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.stop()
    monkeypatch.undo()
    assert process.running
    process.stop(grace=0.1)
    assert not process.running


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_the_command_for_afterwards_runs_also_when_it_is_stopped(tmp_path):
    flag = tmp_path / "cleaned"
    afterwards = [sys.executable, "-c", f"open({str(flag)!r}, 'w').close()"]
    processes.start(SLEEPER, name="sleeper", ready="ready", afterwards=afterwards).stop()
    assert flag.exists()


def test_a_guard_that_was_killed_is_replaced():
    parent = subprocess.Popen(
        [
            *(sys.executable, "-u", "-c"),
            "import psutil, time\n"
            "from labkit import processes\n"
            f"one = processes.start({SLEEPER!r}, name='one', ready='ready')\n"
            "for child in psutil.Process().children():\n"
            "    if 'process_guard' in ' '.join(child.cmdline()):\n"
            "        child.kill(); child.wait()\n"
            f"two = processes.start({SLEEPER!r}, name='two', ready='ready')\n"
            "print(one.pid, two.pid, flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = [*map(int, parent.stdout.readline().split())]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone_within(pids, 2.0)


def test_a_failing_command_for_afterwards_saves_nobody():
    """The guard ends all of a killed parent's processes before it cleans up after any."""
    parent = subprocess.Popen(
        [
            *(sys.executable, "-u", "-c"),
            "import time\n"
            "from labkit import processes\n"
            f"one = processes.start({SLEEPER!r}, name='one', ready='ready', afterwards=['/no/such/program'])\n"
            f"two = processes.start({STUBBORN!r}, name='two', ready='ready')\n"
            "print(one.pid, two.pid, flush=True)\n"
            "time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = [*map(int, parent.stdout.readline().split())]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone_within(pids, 2.5)


def test_where_there_is_no_console_a_group_is_ended_by_force(monkeypatch):
    guard = processes.process_guard
    with processes.start(FAMILY, name="family", ready="ready .*\n") as process:
        pids = [process.pid, int(process.log().split()[1])]
        asked = []
        kill = os.kill

        def no_console(pid, number):
            if number != guard._CTRL_BREAK:
                return kill(pid, number)
            asked.append(pid)
            raise OSError(6, "The handle is invalid")

        monkeypatch.setattr(guard, "POSIX", False)
        monkeypatch.setattr(guard.os, "kill", no_console)
        guard.ask_group(process.pid)
        monkeypatch.undo()
        assert asked == [process.pid]
        wait_until(lambda: not any(map(runs, pids)))


def test_what_popen_is_told_on_each_system(monkeypatch):
    guard = processes.process_guard
    assert guard.own_group() == guard.own_group(detached=True) == {"start_new_session": True}
    monkeypatch.setattr(guard, "POSIX", False)
    # CREATE_NEW_PROCESS_GROUP, and with it DETACHED_PROCESS; subprocess has the names on Windows only.
    assert guard.own_group() == {"creationflags": 0x200}
    assert guard.own_group(detached=True) == {"creationflags": 0x208}


def test_free_ports_are_different_and_can_be_had():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
    assert free_ports(0) == []


def test_a_detached_program_goes_on_without_us(tmp_path):
    goes_on = "import os, pathlib, time; pathlib.Path('pid').write_text(f'{os.getpid()}.'); time.sleep(600)"
    ours = f"import sys; from labkit import processes\nprocesses.start_detached([sys.executable, '-c', {goes_on!r}])"
    subprocess.run([sys.executable, "-c", ours], cwd=tmp_path, check=True)
    file = tmp_path / "pid"
    wait_until(lambda: file.exists() and file.read_text().endswith("."))
    process = psutil.Process(int(file.read_text()[:-1]))
    assert process.is_running() and os.getpgid(process.pid) == process.pid
    process.kill()
