"""Ends the processes of a parent that is gone; one guard runs beside every parent that starts something.

The parent holds the guard's standard input open. When the parent ends in any way, `kill -9` included, the operating
system closes that pipe: the guard then ends every process group it was told of, runs what they want run afterwards
(such as removing a container) and removes the parent's folder of logs.

How a group is started, asked and forced to end on each system is here too, for the guard is started as a script and
imports nothing of labkit; `labkit.processes` uses the same functions.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

GRACE_SECONDS = 1.0
POSIX = os.name == "posix"  # else Windows: a group has no number there, and a signal is an event of the console
# Windows' creation flags (processthreadsapi.h) and its event; Python has their names only there.
_DETACHED_PROCESS, _NEW_PROCESS_GROUP = 0x8, 0x200
_CTRL_BREAK = 1


def own_group(*, detached: bool = False) -> dict[str, Any]:
    """What to tell `subprocess.Popen`, so that its child leads a process group of its own.

    Args:
        detached: it is also to go on when the terminal or the console that it was started from is closed.
    """
    if POSIX:
        return {"start_new_session": True}
    return {"creationflags": _NEW_PROCESS_GROUP | (_DETACHED_PROCESS if detached else 0)}


def end_group(pid: int, grace: float, reap: Callable[[], object] = lambda: None) -> None:
    """End the process group that `pid` leads: politely, and after `grace` seconds by force.

    Args:
        pid: the group's leader, which may have ended already.
        grace: seconds between asking and forcing.
        reap: called while waiting; the leader's parent collects its exit status here.
    """
    for force, seconds in ((False, grace), (True, 2.0)):
        members = _members(pid)
        (_force if force else _ask)(pid, members)
        deadline = time.monotonic() + seconds
        while _alive(pid, members):
            reap()
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        else:
            return


def ask_group(pid: int) -> None:
    """Ask the process group that `pid` leads to end, and do not wait."""
    _ask(pid, _members(pid))


def _members(pid: int) -> list[psutil.Process]:
    """The processes to be ended one by one; none where the group's number is enough."""
    if POSIX:
        return []
    try:
        leader = psutil.Process(pid)
        return [*leader.children(recursive=True), leader]
    except psutil.NoSuchProcess:
        return []


def _alive(pid: int, members: list[psutil.Process]) -> bool:
    if not POSIX:
        return any(process.is_running() for process in members)
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return any(_runs_in_group(member, pid) for member in psutil.pids())


def _runs_in_group(pid: int, group: int) -> bool:
    """Whether `pid` is in `group` and no zombie: those stay where nobody collects them, as in many containers."""
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        return False


def _ask(pid: int, members: list[psutil.Process]) -> None:
    if POSIX:
        _signal_group(pid, signal.SIGTERM)
        return
    try:
        if members:  # of a number that nobody leads, Windows might tell the whole console, and us
            os.kill(pid, _CTRL_BREAK)
    except (OSError, SystemError):  # we have no console, or not the same one; Python before 3.13 says SystemError, too
        _force(pid, members)


def _force(pid: int, members: list[psutil.Process]) -> None:
    if POSIX:
        _signal_group(pid, signal.SIGKILL)
        return
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def identity(pid: int) -> psutil.Process | None:
    """What tells the process from a later one with the same number; None if it has ended already."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def is_ours(process: psutil.Process | None) -> bool:
    """Whether the process's number still stands for it, or for nobody (its group may have members all the same)."""
    return process is None or process.is_running() or not psutil.pid_exists(process.pid)


def run_afterwards(command: list[str]) -> None:
    """Run a clean-up command; whatever happens to it, the caller goes on."""
    if command:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(command, capture_output=True, timeout=30, check=False)


def main() -> None:
    """Read one JSON object a line until the parent is gone, then clean up after it."""
    watched: dict[int, tuple[psutil.Process | None, list[str]]] = {}
    folders: list[str] = []
    for line in sys.stdin:
        order = json.loads(line)
        if "folder" in order:
            folders.append(order["folder"])
        elif "forget" in order:
            watched.pop(order["forget"], None)
        else:
            watched[order["watch"]] = (identity(order["watch"]), order["afterwards"])
    mine = [pid for pid, (process, _) in watched.items() if is_ours(process)]
    for pid in mine:  # all are asked before any is waited for
        ask_group(pid)
    deadline = time.monotonic() + GRACE_SECONDS
    for pid in mine:
        end_group(pid, max(0.0, deadline - time.monotonic()))
    for _, command in watched.values():
        run_afterwards(command)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
