"""Every child process of labkit: own process group, own log file, a wait until it is ready, and never an orphan.

A process started here ends when it is stopped, when the Python process that started it ends, and also when that one
is killed without a chance to clean up (see `labkit.process_guard`).

What differs between systems about processes is here and in `labkit.process_guard`; the rest of labkit does not ask
which system it runs on (docs/portability.md lists the exceptions).
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil

from labkit import process_guard
from labkit.errors import EnvironmentProblem, ProcessError

PASSES_DESCRIPTORS = process_guard.POSIX
"""Whether a child can inherit open files and sockets under their numbers; not on Windows."""

_POLL_SECONDS = 0.01
# Elsewhere UTF-8 is what Python reads and writes anyway; Windows' own code pages lack most characters.
_TEXT = {} if process_guard.POSIX else {"PYTHONUTF8": "1"}


class Child(Protocol):
    """What is asked of a child process; a `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status, None while it runs; negative is the signal that ended it."""

    def wait(self) -> int:
        """Its exit status, once it has one."""


class ManagedProcess:
    """A running child process. Use it as a context manager or call `stop`.

    Attributes:
        name: what it is called in messages.
        pid: its process id, also the id of its process group.
        log_path: the file that takes its standard output and standard error.
        afterwards: a command that is run once it has ended.
    """

    def __init__(self, name: str, log_path: Path, child: Child, afterwards: Sequence[str] = ()) -> None:
        """Use `start`, or `labkit.preloaded.start`.

        Args:
            name: what to call it in messages.
            log_path: the file that takes what it writes.
            child: the process, which leads a process group of its own.
            afterwards: a command to run once it has ended.
        """
        self.name = name
        self.log_path = log_path
        self._child = child
        self.pid = child.pid
        self._identity = process_guard.identity(self.pid)
        self.afterwards = tuple(afterwards)
        self._stopped = False

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit status, None while it runs; negative is the signal that ended it."""
        return self._child.poll()

    def log(self) -> str:
        """All it has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def memory(self) -> int:
        """Resident memory of it and its children in bytes; 0 once it has ended."""
        try:
            leader = psutil.Process(self.pid)
            return sum(process.memory_info().rss for process in [leader, *leader.children(recursive=True)])
        except psutil.NoSuchProcess:
            return 0

    def wait_for_log(self, pattern: str, timeout: float) -> re.Match[str]:
        """Wait until its log matches `pattern` (a regular expression) and return the match.

        Raises:
            ProcessError: it ended first, or `timeout` seconds passed; `.log` holds what it wrote.
        """
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.running  # asked before the log is read, so that its last words are not missed
            if match := re.search(pattern, self.log()):
                return match
            if ended:
                raise ProcessError(f"{self.name} ended with exit status {self.exit_code}.\n{self.log()}", self.log())
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not ready after {timeout:g} s.\n{self.log()}", self.log())
            time.sleep(_POLL_SECONDS)

    def ask_to_end(self) -> None:
        """Tell its whole group to end (SIGTERM; on Windows Ctrl-Break), and do not wait."""
        if not self._stopped and (self.running or process_guard.is_ours(self._identity)):
            process_guard.ask_group(self.pid)

    def stop(self, grace: float = 10.0) -> None:
        """End its whole group: politely, after `grace` seconds by force. Calling it again does nothing."""
        if self._stopped:
            return
        # A group outlives its leader as long as one member runs, so it is ended also when the leader has gone.
        if self.running or process_guard.is_ours(self._identity):
            process_guard.end_group(self.pid, grace, reap=self._child.poll)
        self._child.wait()
        process_guard.run_afterwards(list(self.afterwards))
        _guard.forget(self.pid)
        self._stopped = True

    def __enter__(self) -> "ManagedProcess":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class _Guard:
    """This process's end of the pipe to its guard; the guard starts with the first child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: subprocess.Popen[str] | None = None
        self._owner = 0
        self._watched: dict[int, dict[str, Any]] = {}
        self.folder: Path | None = None

    def watch(self, pid: int, afterwards: Sequence[str]) -> None:
        self._watched[pid] = {"watch": pid, "afterwards": list(afterwards)}
        self._tell(self._watched[pid])

    def forget(self, pid: int) -> None:
        self._watched.pop(pid, None)
        self._tell({"forget": pid})

    def logs(self) -> Path:
        """The folder for log files, removed by the guard."""
        self._start()
        assert self.folder is not None
        return self.folder

    def _tell(self, order: dict[str, Any]) -> None:
        self._start()
        with self._lock:
            assert self._pipe is not None and self._pipe.stdin is not None
            self._pipe.stdin.write(json.dumps(order) + "\n")
            self._pipe.stdin.flush()

    def _start(self) -> None:
        with self._lock:
            if self._pipe is not None and self._owner == os.getpid() and self._pipe.poll() is None:
                return
            script = str(Path(process_guard.__file__))
            self._pipe = subprocess.Popen(
                [sys.executable, "-P", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                **process_guard.own_group(),
            )
            self._owner = os.getpid()
            self.folder = self.folder or Path(tempfile.mkdtemp(prefix="labkit-"))
            assert self._pipe.stdin is not None
            # A guard that somebody killed is followed by one that is told everything again.
            for order in ({"folder": str(self.folder)}, *self._watched.values()):
                self._pipe.stdin.write(json.dumps(order) + "\n")
            self._pipe.stdin.flush()

    def let_go_after_fork(self) -> None:
        """In a forked child: close our copy of the pipe, or the guard would wait for the child too."""
        if self._pipe is not None and self._pipe.stdin is not None:
            os.close(self._pipe.stdin.fileno())
        self.__init__()  # type: ignore[misc]


_guard = _Guard()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_guard.let_go_after_fork)


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def folder() -> Path:
    """This process's own folder for files that are to go with it, readable for this user only.

    It is the same one in every call, and is removed when this process has ended in any way.
    """
    return _guard.logs()


def log_file(name: str) -> Path:
    """A new empty file in `folder` for what the process called `name` writes."""
    handle, path = tempfile.mkstemp(prefix=re.sub(r"\W+", "-", name) + "-", suffix=".log", dir=_guard.logs())
    os.close(handle)
    return Path(path)


def watched(process: ManagedProcess) -> ManagedProcess:
    """`process`, which from now on ends with this Python process in any way."""
    _guard.watch(process.pid, process.afterwards)
    return process


def start(
    command: Sequence[str],
    *,
    name: str,
    ready: str | None = None,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    afterwards: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> ManagedProcess:
    """Start `command` and return it when it is ready.

    Args:
        command: the program and its arguments; no shell is involved.
        name: what to call it in messages and in the log file's name.
        ready: a regular expression; the process counts as ready when its log matches. None: at once.
        timeout: seconds to wait for `ready`.
        env: environment variables on top of this process's own.
        cwd: its working folder.
        afterwards: a command to run once it has ended, whether it was stopped or this process is gone.
        pass_fds: file descriptors that it inherits under their numbers; not on Windows.

    Raises:
        EnvironmentProblem: `pass_fds` names some, and this system cannot pass them on.
        ProcessError: it could not be started, ended before it was ready, or was not ready in time; it is not left
            running.
    """
    if pass_fds and not PASSES_DESCRIPTORS:
        raise EnvironmentProblem(f"{name} is to inherit open files, which Windows cannot do. Run the labs in WSL 2.")
    log = log_file(name)
    with open(log, "wb") as out:
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**_TEXT, **os.environ, **(env or {})},
                cwd=cwd,
                pass_fds=pass_fds,
                **process_guard.own_group(),
            )
        except OSError as error:
            raise ProcessError(f"{name} could not be started with {command[0]!r}: {error}") from error
    process = watched(ManagedProcess(name, log, child, afterwards))
    if ready is not None:
        try:
            process.wait_for_log(ready, timeout)
        except BaseException:
            process.stop(grace=1.0)
            raise
    return process


def start_detached(command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Start `command` to go on by itself when this process has ended: nobody waits for it, or reads what it writes.

    Args:
        command: the program and its arguments; no shell is involved.
        env: environment variables on top of this process's own.

    Returns:
        Its process id.

    Raises:
        OSError: it could not be started.
    """
    nowhere: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = {**_TEXT, **os.environ, **(env or {})}
    return subprocess.Popen(list(command), env=started, **nowhere, **process_guard.own_group(detached=True)).pid
