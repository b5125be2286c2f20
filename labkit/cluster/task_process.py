"""One task of a local cluster: its process, and what is known of it from outside."""

import io
import re
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
        self._former_logs: list[str] = []
        self._started = 0.0
        self._listened = False
        self._ended_by_us = ""  # how, in words
        self._paused = False
        self._seen = 0  # bytes of its log
        self._step: int | None = None
        self._loss: float | None = None

    def start(self) -> None:
        """Start it; what it printed before is kept."""
        if self._process is not None:
            self._former_logs.append(self._process.log())
        self._ended_by_us, self._paused, self._listened = "", False, False
        self._seen, self._step, self._loss = 0, None, None
        self._started = time.monotonic()
        self._process = preloaded.start(
            self._command,
            name=str(self.task),
            env=self._env,
            cwd=str(self._folder),
            gpu=self._gpu,
            entrance=self._entrance,
        )

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
        return "".join([*self._former_logs, self._process.log() if self._process is not None else ""])

    def log_path(self) -> Path | None:
        """The file that takes what it prints now."""
        return self._process.log_path if self._process is not None else None

    def progress(self) -> tuple[int | None, float | None]:
        """The step and the loss that it printed last."""
        with open(self._process.log_path, "rb") if self._process is not None else io.BytesIO() as log:
            log.seek(self._seen)
            whole, newline, _ = log.read().rpartition(b"\n")
        text = whole.decode(errors="replace")
        self._seen += len(whole) + len(newline)
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
        if self._ended_by_us:
            return self._ended_by_us
        if status == 0:
            return "finished"
        return f"failed (signal {-status})" if status < 0 else f"failed (exit status {status})"

    def crashed(self) -> bool:
        """Whether it ended badly, and not because it was told to."""
        return self._process is not None and not self._ended_by_us and bool(self._process.exit_code)

    @property
    def taken_away(self) -> bool:
        """Whether `kill` or `preempt` ended it before it was done, and nobody started it again."""
        return self._ended_by_us in ("killed", "preempted") and bool(self._process and self._process.exit_code)

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
            rows = [row.split() for row in Path(f"/proc/{self.pid}/net/{protocol}").read_text().splitlines()]
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
        leader.terminate()

    def pause(self) -> None:
        """Stop it and its children from running."""
        for process in self._family():
            process.suspend()
        self._paused = True

    def resume(self) -> None:
        """Let it run on."""
        for process in self._family():
            process.resume()
        self._paused = False

    def ask_to_end(self) -> None:
        """Tell it to end, and do not wait."""
        if self.running:
            self._ended_by_us = self._ended_by_us or "stopped"
            with suppress(psutil.NoSuchProcess):
                psutil.Process(self.pid).terminate()

    def stop(self) -> None:
        """End it and its children, politely at first; a paused one cannot hear that."""
        if self._process is None:
            return
        if self.running and not self._ended_by_us:
            self._ended_by_us = "stopped"
        self._process.stop(grace=0.0 if self._paused else 0.5)  # a group may have members when its leader has gone
        self._paused = False

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            if self.running:
                leader = psutil.Process(self.pid)
                return [leader, *leader.children(recursive=True)]
        raise ClusterError(f"{self.task} does not run: {self.state()}")
