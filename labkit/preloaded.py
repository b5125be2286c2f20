"""Python programs that find TensorFlow imported already: one process imports it, and forks for each program.

The import costs seconds, a fork milliseconds. It can be done as long as TensorFlow has run no op: its threads start
with the first one, and a fork has only the thread that asked for it. Where the system cannot fork, a program is started
as any other and imports TensorFlow itself.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from labkit import process_guard, processes
from labkit.errors import ProcessError
from labkit.orders import Orders
from labkit.processes import ManagedProcess

FORKS = sys.platform == "linux"  # macOS's own libraries, Metal among them, do not survive a fork; Windows has none
_KEPT_HOSTS = 2  # each holds the memory of an imported TensorFlow
_START_SECONDS = 120.0
_LOOK_SECONDS = 0.01
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # what fails says so in Python
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}  # hidden before the import already, so that the driver is not even asked
_UNBUFFERED = {"PYTHONUNBUFFERED": "1"}  # what was printed before a crash is not to be lost
# Variables that a host has read by the time it forks.
_READ_LATER = ("TF_CONFIG", "TF_GRPC_")
_READ_AT_IMPORT = ("TF_", "XLA_", "DNNL_", "ONEDNN_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "KERAS_", "PYTHON", "CUDA_")


def start(
    command: Sequence[str],
    *,
    name: str,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    gpu: bool = False,
    entrance: Sequence[str] | None = None,
) -> ManagedProcess:
    """Start a Python program, and return it without waiting for it; the first one waits for TensorFlow's import.

    Args:
        command: what stands after ``python`` on a command line: a script and its arguments, or ``-m``, a module and
            its arguments.
        name: what to call it in messages and in the log file's name.
        env: environment variables on top of this process's present ones.
        cwd: its working folder; None: this process's present one.
        gpu: whether it may see GPUs. It then imports TensorFlow itself, since CUDA does not survive a fork.
        entrance: to a network of its own, see `labkit.cluster.namespaces`; only where processes fork, and not with
            `gpu`.

    Raises:
        ProcessError: it could not be started.
        ValueError: `entrance` is given, and `gpu` too, or processes do not fork here.
    """
    if entrance and (gpu or not FORKS):
        raise ValueError("a program with a network of its own has to be forked: leave out `gpu`, and use Linux")
    folder = os.path.abspath(cwd or os.getcwd())  # a host may be in another one
    given = {**_QUIET, **os.environ, **({} if gpu else _NO_GPU), **_UNBUFFERED, **(env or {})}
    if not FORKS or gpu:
        plain = [sys.executable, *(["-P"] if command[0] == "-m" else []), *command]  # nothing in this folder is meant
        return processes.start(plain, name=name, env=given, cwd=folder)
    log = processes.log_file(name)
    order = {"name": name, "command": list(command), "log": str(log), "env": given, "folder": folder}
    with _choosing:  # or another thread might end the host meanwhile, for it is idle
        child = _host(given).fork(**order, entrance=entrance)
    return processes.watched(ManagedProcess(name, log, child))


class _Forked:
    """A program that the host started, with what labkit asks of a `subprocess.Popen`."""

    def __init__(self, host: "_Host", pid: int) -> None:
        self.pid = pid
        self._host = host
        self.status: int | None = None  # None as long as nobody saw it end

    def poll(self) -> int | None:
        """Its exit status, None while it runs; negative is the signal that ended it."""
        if self.status is None:
            try:
                self.status = self._host.ask(do="poll", pid=self.pid)["status"]
            except ProcessError:  # the host is gone, and what it had started was ended with it
                self.status = -signal.SIGKILL
        return self.status

    def wait(self) -> int:
        """Its exit status, once it has one."""
        while (status := self.poll()) is None:
            time.sleep(_LOOK_SECONDS)
        return status


class _Host:
    """The process that has imported TensorFlow (`labkit.preloaded_host`), seen from here."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._orders = Orders(_START_SECONDS)
        with self._orders.theirs as its:
            self.process = processes.start(
                [sys.executable, "-P", "-m", "labkit.preloaded_host", str(its.fileno())],
                name="tensorflow-import",
                env=env,
                pass_fds=[its.fileno()],
            )
        self._children: list[_Forked] = []
        self.lost = False

    def fork(self, **order: Any) -> _Forked:
        """A program's process, which is the leader of a process group of its own."""
        answer = self.ask(do="fork", **order)
        if "error" in answer:
            raise ProcessError(f"{order['name']} could not be started: {answer['error']}. End what you do not need.")
        self._children = [each for each in self._children if each.poll() is None]
        self._children.append(_Forked(self, answer["pid"]))
        return self._children[-1]

    @property
    def idle(self) -> bool:
        """Whether nothing that it started still runs."""
        return all(each.poll() is not None for each in self._children)

    def ask(self, **order: Any) -> dict[str, Any]:
        """Its answer to an order.

        Raises:
            ProcessError: it has ended, or does not answer.
        """
        if not self.lost:
            try:
                return self._orders.ask(dropped=self._drop, **order)
            except ConnectionError:
                self.end()
            except BaseException:  # Ctrl-C: the answer is still on its way
                if all(child.status is not None for child in self._children):
                    self.end()
                raise
        written = self.process.log()
        raise ProcessError(
            "The process that imports TensorFlow ended or did not answer; start again, and another one does it.\n"
            f"{written}",
            written,
        )

    def _drop(self, answer: dict[str, Any]) -> None:
        """The answer to an order that was interrupted; a program that it started is nobody's."""
        if "pid" in answer:
            process_guard.end_group(answer["pid"], grace=0.0)

    def end(self) -> None:
        """Ends it and all that it has started."""
        self.lost = True
        self._orders.close()
        self.process.stop(grace=1.0)
        for child in self._children:
            if child.status is None:
                process_guard.end_group(child.pid, grace=0.0)


_hosts: dict[tuple[int, frozenset[tuple[str, str]]], _Host] = {}  # the one used last is the last
_choosing = threading.Lock()


def _host(env: Mapping[str, str]) -> _Host:
    read = {
        name: value
        for name, value in env.items()
        if name.startswith(_READ_AT_IMPORT) and not name.startswith(_READ_LATER)
    }
    which = (os.getpid(), frozenset(read.items()))
    host = _hosts.pop(which, None)
    if host is not None and (host.lost or not host.process.running):
        host.end()
        host = None
    _hosts[which] = host or _Host(read)
    _end_hosts(keep=_KEPT_HOSTS)
    return _hosts[which]


@atexit.register
def _end_hosts(keep: int = 0) -> None:
    """Ends this process's hosts, but for the `keep` used last, and those with programs that still run."""
    mine = [which for which in _hosts if which[0] == os.getpid()]
    for which in mine[: max(0, len(mine) - keep)]:
        if keep == 0 or _hosts[which].idle:
            _hosts.pop(which).end()
