"""Slow links between the tasks of a cluster on one machine, and counters of what goes over them.

Every task has one link to an ideal switch, as machines in a rack have. It carries so many Mbit/s up and as many down at
the same time, shared by all connections of that task; bytes from a to b pass a's way up, then b's way down.

    with Relays({"ps": 50, "worker": 200}) as links:
        addresses = links.open({Task("ps", 0): "127.0.0.1:2222", Task("worker", 0): "127.0.0.1:2223"})
        ...  # start the tasks with these addresses in TF_CONFIG
        links.know(Task("ps", 0), pid)
        links.traffic()[Task("ps", 0)].received_bytes

`Relays` needs no rights. Where the system lets us, `labkit.cluster.namespaces` has the kernel do the same.
"""

import json
import math
import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Self

from labkit import processes
from labkit.cluster import relay_process
from labkit.cluster.spec import TYPES, Task
from labkit.errors import ClusterError, EnvironmentProblem
from labkit.orders import Orders

_START_SECONDS = 30.0
_HAS_127_0_0_2 = sys.platform == "linux"  # macOS has 127.0.0.1 alone


class Traffic(NamedTuple):
    """What went over a task's link so far, in bytes."""

    sent_bytes: int
    received_bytes: int


class Limits:
    """How fast the tasks' links are.

    Limits({"worker": 200, "worker 1": 10}).of([Task("worker", 0), Task("worker", 1)])
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        """Check them.

        Args:
            limits: Mbit/s (10^6 bits per second, each way) by type of task or by task, as ``"ps"`` or ``"ps 0"``; the
                latter wins. Who is not named has no limit.

        Raises:
            ValueError: a name is none of a task, or a rate is no number above 0.
        """
        for name, rate in limits.items():
            kind, _, index = name.partition(" ")
            if kind not in TYPES or (name != kind and not index.isdecimal()):
                raise ValueError(f"limits has {name!r}; a type of task or a task is needed, as 'ps' or 'ps 0'")
            if not (math.isfinite(rate) and rate > 0):
                raise ValueError(f"the limit of {name!r} is {rate}; it is a number of Mbit/s above 0, as 50")
        self._limits = dict(limits)

    def of(self, tasks: Iterable[Task]) -> dict[Task, float | None]:
        """Mbit/s of the link that each task has; None if it has no limit.

        Raises:
            ValueError: one limit is of none of these tasks.
        """
        tasks = list(tasks)
        if unknown := [*self._limits.keys() - {each for task in tasks for each in (str(task), task.type)}]:
            raise ValueError(f"limits has {unknown[0]!r}; tasks with a link are {', '.join(map(str, tasks))}")
        return {task: self._limits.get(str(task), self._limits.get(task.type)) for task in tasks}


class Relays:
    """Slow links by a relay: a process that takes the tasks' connections and passes bytes on at the links' rates.

    A context manager. It counts the bytes that programs write and read, not what TCP, IP and Ethernet add to them.
    What a task says to itself does not use its link; what a stranger says (a process that is no task of this cluster)
    uses the link of the task that it calls.

    Every task sees the same addresses, its own included, for in TensorFlow a server uses the addresses of whoever
    connects to it. So a task has to listen on the port that it is told, but on all of this machine's addresses, and
    share it (``SO_REUSEPORT``): TensorFlow's servers do so with ``TF_GRPC_REUSE_PORT=true`` in the environment. The
    relay listens on the same port of one address, and the system prefers who is more exact. (Where no relay runs, the
    same addresses lead straight to the tasks.)
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        """Nothing runs yet.

        Args:
            limits: Mbit/s by type of task or by task; see `Limits`.

        Raises:
            ValueError: they are none.
        """
        self._limits = Limits(limits)
        self._process: processes.ManagedProcess | None = None
        self._last: dict[Task, Traffic] = {}

    def open(self, real: Mapping[Task, str]) -> dict[Task, str]:
        """Start the relay.

        Args:
            real: ``host:port`` where each task will listen; nobody needs to be there yet.

        Returns:
            ``host:port`` of each task, as all tasks are to see it.

        Raises:
            EnvironmentProblem: this system cannot share a port.
            ValueError: a limit is of none of these tasks.
            ProcessError: the relay did not start, as when a port is taken; its log says why.
        """
        if not (hasattr(socket, "SO_REUSEPORT") and processes.PASSES_DESCRIPTORS):
            raise EnvironmentProblem("Windows cannot share a port between a task and a relay. Run the labs in WSL 2.")
        if self._process:
            raise ValueError("this relay is open already; make another one for another cluster")
        seen = {task: _seen(address) for task, address in real.items()}
        rows = [[str(task), *seen[task], rate and rate * 1e6 / 8] for task, rate in self._limits.of(real).items()]
        self._orders = Orders(_START_SECONDS)
        with self._orders.theirs as theirs:
            command = [sys.executable, "-P", relay_process.__file__, str(theirs.fileno()), json.dumps(rows)]
            try:
                self._process = processes.start(
                    command, name="relay", ready="^ready", timeout=_START_SECONDS, pass_fds=[theirs.fileno()]
                )
            except BaseException:
                self._orders.close()
                raise
        self._last = dict.fromkeys(real, Traffic(0, 0))
        return {task: address for task, (address, _) in seen.items()}

    def know(self, task: Task, pid: int) -> None:
        """Say which process is which task; after each start and restart.

        A connection is the task's whose process opened it. Until a process is known its connections are a stranger's;
        those that are still open then become the task's.

        Raises:
            ClusterError: the relay is gone.
            ValueError: `task` is none of those that `open` was told.
        """
        if task not in self._last:
            raise ValueError(f"there is no {task} here; there are {', '.join(map(str, self._last))}")
        self._ask("know", str(task), pid)

    def entrance(self, task: Task) -> None:
        """Tasks behind a relay are in this machine's own network. (`Namespaces` have one for each.)"""

    def traffic(self) -> dict[Task, Traffic]:
        """What went over each task's link since `open`; after `stop`, until then.

        Raises:
            ClusterError: the relay is gone.
        """
        if self._process:
            counts = self._ask("traffic")
            self._last = {task: Traffic(*counts[str(task)]) for task in self._last}
        return self._last.copy()

    def stop(self) -> None:
        """End the relay and all connections. Calling it again does nothing."""
        if not self._process:
            return
        try:
            with suppress(ClusterError):  # it was ended by somebody else
                self.traffic()
        finally:
            self._orders.close()
            self._process.stop()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _ask(self, do: str, *arguments: object) -> Any:
        if not self._process:
            raise ValueError("this relay is not open")
        try:
            return self._orders.ask(do=do, arguments=arguments)["said"]
        except ConnectionError as error:
            log = self._process.log()
            raise ClusterError(
                f"the relay between the tasks has ended, and their connections with it ({error}).\n{log}", log
            ) from error


def _seen(real: str) -> tuple[str, str]:
    """Where the relay listens for a task, and how it reaches the task: the same port of two local addresses."""
    port = real.rpartition(":")[2]
    if _HAS_127_0_0_2:
        return f"127.0.0.2:{port}", real
    return f"127.0.0.1:{port}", f"[::1]:{port}"
