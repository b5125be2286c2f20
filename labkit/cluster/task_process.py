"""One task of a local cluster: its process, and what is known of it from outside."""

import re
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from labkit import preloaded
from labkit.cluster.ports import ENVIRONMENT
from labkit.cluster.spec import Task
from labkit.errors import ClusterError
from labkit.processes import ManagedProcess

_STEP = re.compile(r"\bstep[ \t]*[=:]?[ \t]*(\d+)", re.IGNORECASE)
_LOSS = re.compile(r"\bloss[ \t]*[=:]?[ \t]*([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))", re.IGNORECASE)
_OF_SIGTERM = (-signal.SIGTERM, 128 + signal.SIGTERM, signal.SIGTERM)  # died of it, as a shell says it, on Windows
_LISTENS = "0A"  # in /proc/net/tcp6, see proc_pid_net(5)


class TaskProcess:
    """A task that can be started again and again.

    Attributes:
        task: which one.
    """

    def __init__(
        self,
        task: Task,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        port: int | None,
        entrance: Sequence[str] | None,
        gpu: bool,
    ) -> None:
        """Nothing runs yet.

        Args:
            task: which one.
            command: a script and its arguments.
            env: environment variables on top of this process's own.
            folder: its working folder.
            port: where it is to listen; None: nobody connects to it.
            entrance: to a network of its own, see `labkit.cluster.namespaces`.
            gpu: whether it may see GPUs.
        """
        self.task = task
        self._command = list(command)
        self._env = {**ENVIRONMENT, **env}
        self._folder, self._port, self._entrance, self._gpu = folder, port, entrance, gpu
        self._process: ManagedProcess | None = None
        self._former: list[ManagedProcess] = []
        self._reading = threading.Lock()
        self._started = 0.0
        self._listened = False
        self._ended_by_us = ""  # how, in words
        self._paused = False
        self._seen = 0  # bytes of its log
        self._step: int | None = None
        self._loss: float | None = None

    def start(self) -> None:
        """Start it; what it printed before is kept."""
        process = preloaded.start(
            self._command,
            name=str(self.task),
            env=self._env,
            cwd=str(self._folder),
            gpu=self._gpu,
            entrance=self._entrance,
        )
        with self._reading:
            self._former += [self._process] if self._process is not None else []
            self._process, self._started = process, time.monotonic()
            self._ended_by_us, self._paused, self._listened = "", False, False
            self._seen, self._step, self._loss = 0, None, None

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """Its process id, or the last one that it had."""
        if self._process is None:
            raise ClusterError(f"{self.task} has no process: it was not started")
        return self._process.pid

    def seconds(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started

    def memory(self) -> int:
        """Resident memory in bytes; 0 when it does not run."""
        return self._process.memory() if self._process is not None and self.running else 0

    def log(self) -> str:
        """All that it has printed, over all its starts."""
        return "".join(process.log() for process in self._processes())

    def log_paths(self) -> list[Path]:
        """The files that took what it printed, one for each start."""
        return [process.log_path for process in self._processes()]

    def _processes(self) -> list[ManagedProcess]:
        return [*self._former, *([self._process] if self._process is not None else [])]

    def progress(self) -> tuple[int | None, float | None]:
        """The step and the loss that it printed last, since it was started."""
        if self._process is None:
            return None, None
        with self._reading, open(self._process.log_path, "rb") as log:
            log.seek(self._seen)
            whole, newline, _ = log.read().rpartition(b"\n")
            self._seen += len(whole) + len(newline)
            text = whole.decode(errors="replace")
            for number in _STEP.findall(text)[-1:]:
                self._step = int(number)
            for number in _LOSS.findall(text)[-1:]:
                self._loss = float(number)
            return self._step, self._loss

    def state(self) -> str:
        """What it is doing, in words."""
        if self._process is None:
            return "not started"
        status = self._process.exit_code
        if status is None:
            return "paused" if self._paused else "running" if self.has_come() else "starting"
        if self._ended_by_us and not self.crashed():
            return self._ended_by_us
        if status == 0:
            return "finished"
        return f"failed (signal {-status})" if status < 0 else f"failed (exit status {status})"

    def crashed(self) -> bool:
        """Whether it ended badly, and not because it was told to."""
        status = self._process.exit_code if self._process is not None else None
        if self._ended_by_us == "preempted":  # it may have gone on, and then failed
            return bool(status) and status not in _OF_SIGTERM
        return bool(status) and not self._ended_by_us

    @property
    def taken_away(self) -> bool:
        """Whether `kill` or `preempt` ended it before it was done, and nobody started it again."""
        status = self._process.exit_code if self._process is not None else None
        return bool(status) and self._ended_by_us in ("killed", "preempted") and not self.crashed()

    @property
    def stopped(self) -> bool:
        """Whether it was never started, or `stop` ended it."""
        return self._process is None or self._ended_by_us == "stopped"

    def is_awaited(self) -> bool:
        """Whether it has still to end well."""
        return self._process is None or self._process.exit_code != 0

    def has_come(self) -> bool:
        """Whether it has opened its port since it was started, needs none, or has ended well."""
        if self._port is None or self._listened:
            return True
        self._listened = self.running and self._listens()
        return self._listened or not self.is_awaited()

    def _listens(self) -> bool:
        if self._entrance:  # psutil looks at our own network
            return any(map(self._listens_in_own_network, ("tcp", "tcp6")))
        with suppress(psutil.Error):
            connections = psutil.Process(self.pid).net_connections("tcp")
            return any(each.status == psutil.CONN_LISTEN and each.laddr.port == self._port for each in connections)
        return False

    def _listens_in_own_network(self, protocol: str) -> bool:
        with suppress(OSError):  # it has just ended, or there is no such protocol
            table = Path(f"/proc/{self.pid}/net/{protocol}").read_text(encoding="ascii")
            rows = [row.split() for row in table.splitlines()]
            return any(row[1].endswith(f":{self._port:04X}") and row[3] == _LISTENS for row in rows)
        return False

    def kill(self) -> None:
        """SIGKILL for it and its children."""
        process, family = self._process, self._family()
        self._ended_by_us = "killed"  # before it is so: somebody may be looking
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        assert process is not None
        process.stop(grace=0.0)

    def preempt(self) -> None:
        """SIGTERM for it alone; how it ends is its own affair."""
        leader, *_ = self._family()
        self._ended_by_us = "preempted"
        with suppress(psutil.NoSuchProcess):  # it has just ended by itself
            leader.terminate()

    def pause(self) -> None:
        """Stop it and its children from running."""
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        self._paused = True

    def resume(self) -> None:
        """Let it run on."""
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._paused = False

    def ask_to_end(self) -> bool:
        """Tell it and its children to end, and do not wait; whether they can hear it."""
        if self._process is None or not self.running:
            return False
        self._ended_by_us = self._ended_by_us or "stopped"
        self._process.ask_to_end()
        return not self._paused

    def stop(self) -> None:
        """End it and its children by force, if they are still there."""
        if self._process is not None:
            if self.running:
                self._ended_by_us = self._ended_by_us or "stopped"
            self._process.stop(grace=0.0)  # a group may have members when its leader has gone
            self._paused = False

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            if self.running:
                leader = psutil.Process(self.pid)
                return [leader, *leader.children(recursive=True)]
        raise ClusterError(f"{self.task} does not run: {self.state()}")
