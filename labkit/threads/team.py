"""The parent's side of the talk with measuring processes (`labkit.threads.child`): start, ask, and end them."""

import atexit
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from labkit import processes
from labkit.errors import MeasurementFailed
from labkit.processes import ManagedProcess
from labkit.waiting import wait_until

_START_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_KEY_SECONDS = 5.0  # a member says its key at once, a stranger may say nothing
_KEPT_HOSTS = 2  # each holds the memory of an imported TensorFlow
_LOG_LINES = 15
# GPUs are hidden before the import already, so that the driver is not even asked; logs are for errors; and what was
# printed before a crash is not to be lost in a buffer.
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}
# Variables that a host has read by the time it forks.
_READ_AT_IMPORT = ("TF_", "XLA_", "DNNL_", "ONEDNN_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "KERAS_", "PYTHON")
FORKS = sys.platform == "linux"  # macOS's own libraries, Metal among them, do not survive a fork; Windows has none


class Member:
    """One measuring process, seen from here.

    Attributes:
        label: what it is called in messages.
        process: itself, or the host that it was forked from.
        arrived: whether it has reported.
        lost: whether an answer is still to come that nobody waits for; what it says cannot be told apart any more.
    """

    def __init__(self, label: str, process: ManagedProcess, log: Path, timeout: float) -> None:
        self.label = label
        self.process = process
        self.arrived = False
        self.lost = False
        self._log = log
        self._timeout = timeout

    def answer_on(self, connection: socket.socket, lines: Any) -> None:
        """It is there and listens on this connection."""
        connection.settimeout(self._timeout)
        self._connection, self._lines = connection, lines
        self.arrived = True

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Its answer to an order.

        Raises:
            MeasurementFailed: what it was told to run failed, took too long or ended the process.
        """
        self.lost = True  # until its answer is here: whatever interrupts this, Ctrl-C too, leaves it on its way
        try:
            self._lines.write(json.dumps({"do": do, **order}) + "\n")
            self._lines.flush()
            line = self._lines.readline()
        except TimeoutError:
            raise MeasurementFailed(
                f"{self.label} gave no answer within {self._timeout:g} s and was ended. If it only needs longer, pass "
                "a larger `timeout`."
            ) from None
        except OSError:
            line = ""
        if not line:
            raise MeasurementFailed(f"The process of {self.label} {self._how_it_ended()}.\n{self.last_words()}")
        answer = json.loads(line)
        self.lost = False
        if "error" in answer:
            raise MeasurementFailed(f"{self.label} failed: {answer['error']}")
        return answer

    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return not self.process.running

    def end(self) -> None:
        """Ends it, whatever it is doing."""
        self._hang_up()
        self.process.stop(grace=1.0)

    def _hang_up(self) -> None:
        if self.arrived:
            with suppress(OSError):  # what it was not told any more, because it had gone
                self._lines.close()
            self._connection.close()

    def last_words(self) -> str:
        """The end of what it wrote."""
        written = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(written.strip().splitlines()[-_LOG_LINES:]) or "It wrote nothing."

    def _how_it_ended(self) -> str:
        return _in_words(self._exit_status())

    def _exit_status(self) -> int | None:
        with suppress(TimeoutError):
            wait_until(lambda: not self.process.running, timeout=5.0)
        return self.process.exit_code


class Forked(Member):
    """A member that is a fork of a host, and the host's to end."""

    def __init__(self, label: str, host: Member, log: Path, timeout: float, pid: int) -> None:
        super().__init__(label, host.process, log, timeout)
        self._host, self._pid = host, pid
        self._ended = False

    def has_ended(self) -> bool:
        """Whether it is gone; its host is asked, for to us it is a stranger."""
        self._ended = self._ended or self._host.ask("look", pid=self._pid)["status"] is not None
        return self._ended

    def end(self) -> None:
        """Ends it, whatever it is doing; the host stays, if it can still be talked to."""
        self._hang_up()
        if self._host.lost:
            self._host.end()  # and what it forked with it: they are one process group
        elif not self._ended:
            with suppress(MeasurementFailed):  # the host is gone, and what it forked with it
                self._host.ask("end", pid=self._pid)
        self._ended = True

    def _exit_status(self) -> int | None:
        self._ended = True
        return self._host.ask("await_end", pid=self._pid)["status"]


def _in_words(status: int | None) -> str:
    if status is None:
        return "hung up"
    return f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"


_turn = threading.Lock()  # two teams at a time would disturb each other's times, and both talk to the same hosts
_hosts: dict[tuple[int, frozenset[tuple[str, str]]], Member] = {}  # the one used last is the last


@atexit.register
def _end_hosts(keep: int = 0) -> None:
    """Ends this process's hosts, but for the `keep` used last of those that can still be talked to."""
    for which in reversed([which for which in _hosts if which[0] == os.getpid()]):
        if keep > 0 and not _hosts[which].lost:
            keep -= 1
        else:
            _hosts.pop(which).end()


class Team:
    """Processes that measure side by side; a context manager that leaves none of them running.

    There is one team at a time; the next waits. Where the system can fork (Linux), one process, the host, imports
    TensorFlow, and members are forks of it: the import costs seconds. A host stays for the next team with the same
    environment, until two others were used since or our own process ends.
    """

    def __init__(self, timeout: float) -> None:
        """Nobody is started yet.

        Args:
            timeout: seconds within which a member has to answer.
        """
        self._timeout = timeout
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(_LOOK_SECONDS)
        self._port = self._listening.getsockname()[1]
        self._at_the_end = ExitStack()  # all of it is done, even if some of it fails or is interrupted
        self._at_the_end.callback(self._listening.close)

    def __enter__(self) -> Self:
        self._at_the_end.enter_context(_turn)
        self._at_the_end.callback(_end_hosts, keep=_KEPT_HOSTS)
        return self

    def __exit__(self, *exc: object) -> None:
        self._at_the_end.close()

    def add(self, label: str, env: Mapping[str, str]) -> Member:
        """A new process that has imported TensorFlow, in our folder, with this environment on top of ours.

        Raises:
            MeasurementFailed: it ended or did not report in time.
        """
        key = secrets.token_hex()
        if FORKS:
            host = self._host(env)
            log = processes.folder() / f"threads-{key[:12]}.log"
            here = {"env": {**os.environ, **_ENVIRONMENT, **env}, "folder": os.getcwd()}  # the host's may be older
            pid = host.ask("fork", port=self._port, key=key, log=str(log), **here)["pid"]
            member: Member = Forked(label, host, log, self._timeout, pid)
        else:
            member = self._started(label, key, env, self._timeout)
        self._at_the_end.callback(member.end)
        self._wait_for(member, key)
        return member

    def _host(self, env: Mapping[str, str]) -> Member:
        read = {name: value for name, value in os.environ.items() if name.startswith(_READ_AT_IMPORT)}
        which = (os.getpid(), frozenset({**read, **env}.items()))
        host = _hosts.get(which)
        if host is not None and host.has_ended():
            _hosts.pop(which).end()
            host = None
        if host is None:
            key = secrets.token_hex()
            host = self._started("TensorFlow's import", key, env, _START_SECONDS)
            try:
                self._wait_for(host, key)
            except BaseException:
                host.end()
                raise
        _hosts.pop(which, None)
        _hosts[which] = host
        return host

    def _started(self, label: str, key: str, env: Mapping[str, str], timeout: float) -> Member:
        command = [sys.executable, "-P", "-m", "labkit.threads.child", str(self._port), key]
        process = processes.start(command, name="labkit-threads", env={**_ENVIRONMENT, **env})
        return Member(label, process, process.log_path, timeout)

    def _wait_for(self, member: Member, key: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not member.arrived:
            if member.has_ended():
                raise MeasurementFailed(f"{member.label} ended before it could measure.\n{member.last_words()}")
            if time.monotonic() > deadline:
                raise MeasurementFailed(f"{member.label} did not start within {_START_SECONDS:g} s.")
            self._let_in(member, key)

    def _let_in(self, member: Member, key: str) -> None:
        try:
            connection, _ = self._listening.accept()
        except TimeoutError:
            return
        connection.settimeout(_KEY_SECONDS)
        lines = connection.makefile("rw")
        with suppress(OSError, ValueError, KeyError, TypeError):  # somebody else, who says something else
            if secrets.compare_digest(json.loads(lines.readline())["key"], key):
                member.answer_on(connection, lines)
        if not member.arrived:
            lines.close()
            connection.close()
