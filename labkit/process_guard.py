"""Ends the processes of a parent that is gone; one guard runs beside every parent that starts something.

The parent holds the guard's standard input open. When the parent ends in any way, `kill -9` included, the operating
system closes that pipe: the guard then ends every process group it was told of, runs what they want run afterwards
(such as removing a container) and removes the parent's folder of logs.
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

import psutil

GRACE_SECONDS = 1.0


def end_group(pid: int, grace: float, reap: Callable[[], object] = lambda: None) -> None:
    """End the process group that `pid` leads: politely, and after `grace` seconds by force.

    Args:
        pid: the group's leader, which may have ended already.
        grace: seconds between asking and forcing.
        reap: called while waiting; the leader's parent collects its exit status here.
    """
    for force, seconds in ((False, grace), (True, 2.0)):
        members = _members(pid)
        _signal(pid, members, force=force)
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
    _signal(pid, _members(pid), force=False)


def _members(pid: int) -> list[psutil.Process]:
    if os.name == "posix":
        return []  # the group's number is enough
    try:
        leader = psutil.Process(pid)
        return [*leader.children(recursive=True), leader]
    except psutil.NoSuchProcess:
        return []


def _alive(pid: int, members: list[psutil.Process]) -> bool:
    if os.name != "posix":
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


def _signal(pid: int, members: list[psutil.Process], *, force: bool) -> None:
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL if force else signal.SIGTERM)
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill() if force else process.terminate()


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
