"""Slow links between the tasks of a cluster on one machine, by the kernel: network namespaces and traffic shaping.

    with Namespaces({"ps": 50}) as links:
        addresses = links.open([Task("ps", 0), Task("worker", 0)])
        subprocess.Popen(links.command(Task("ps", 0), ["python", "train.py"]), env=...)
        links.traffic()[Task("ps", 0)].received_bytes

Every task gets a network of its own: a virtual cable leads from it to a bridge, and both ends of the cable let out so
many Mbit/s. The links are those of `labkit.cluster.links`, which says more on them and works everywhere; this works on
Linux, as root or as a plain user, unless the machine forbids it. A task in there reaches the others and nobody else:
not this notebook, not the internet, and nobody reaches it.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from labkit import processes
from labkit.cluster import namespace_process
from labkit.cluster.links import Limits, Traffic
from labkit.cluster.spec import Task
from labkit.errors import ClusterError, EnvironmentProblem, ProcessError

_START_SECONDS = 30.0
_PORT = 2222  # nobody else listens in a task's own network


def available() -> str | None:
    """Why this machine cannot do it; None if it can. Makes a small one to see."""
    try:
        with Namespaces({"worker": 10}) as links:
            links.open([Task("worker", 0)])
    except EnvironmentProblem as problem:
        return str(problem)
    return None


class Namespaces:
    """Slow links by the kernel. A context manager.

    It counts what goes over the virtual cables: with the headers of TCP, IP and Ethernet, some 66 bytes for each packet
    of 9,000, and with TCP's acknowledgements, one for two packets or fewer.
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        """Nothing is there yet.

        Args:
            limits: Mbit/s by type of task or by task; see `labkit.cluster.links.Limits`.

        Raises:
            ValueError: they are none.
        """
        self._limits = Limits(limits)
        self._process: processes.ManagedProcess | None = None
        self._inside: dict[Task, int] = {}
        self._last: dict[Task, Traffic] = {}

    def open(self, tasks: Iterable[Task]) -> dict[Task, str]:
        """Make the networks.

        Args:
            tasks: all of the cluster's that have a link.

        Returns:
            ``host:port`` of each task, as all tasks are to see it and as it is to listen itself.

        Raises:
            EnvironmentProblem: this machine cannot do it; the message says why.
            ValueError: a limit is of none of these tasks.
        """
        if self._process:
            raise ValueError("these networks are open already; make others for another cluster")
        _needs("unshare", "nsenter", "ip", "tc")
        tasks = list(tasks)
        hosts = {task: f"10.77.{number // 250}.{number % 250 + 1}" for number, task in enumerate(tasks)}
        rows = [[f"{hosts[task]}/16", rate and rate * 1e6 / 8] for task, rate in self._limits.of(tasks).items()]
        script = [sys.executable, "-P", namespace_process.__file__, json.dumps(rows)]
        self._last = {}
        command = ["unshare", "--user", "--map-root-user", "--net", *script]
        try:
            self._process = processes.start(command, name="networks")
            ready = self._process.wait_for_log(r"^ready (.*)\n", _START_SECONDS)
            self._inside = dict(zip(tasks, json.loads(ready[1]), strict=True))
        except ProcessError as error:
            self.stop()
            raise EnvironmentProblem(
                "this machine does not let us give tasks networks of their own; labkit.cluster.links.Relays needs no "
                f"rights. {error}"
            ) from error
        except BaseException:  # Ctrl-C
            self.stop()
            raise
        self._last = dict.fromkeys(tasks, Traffic(0, 0))
        return {task: f"{host}:{_PORT}" for task, host in hosts.items()}

    def know(self, task: Task, pid: int) -> None:
        """Nothing to do: who is in a task's network is that task. (`Relays` have to be told.)"""

    def entrance(self, task: Task) -> tuple[str, str]:
        """The files that stand for the task's namespaces, for `labkit.network_namespace.enter`; good until `stop`."""
        if not self._process:
            raise ValueError("these networks are not open")
        if task not in self._inside:
            raise ValueError(f"there is no {task} here; there are {', '.join(map(str, self._inside))}")
        folder = f"/proc/{self._process.pid}"
        return f"{folder}/ns/user", f"{folder}/fd/{self._inside[task]}"

    def command(self, task: Task, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the task's network, as the process that is started."""
        user, network = self.entrance(task)
        return ["nsenter", f"--user={user}", f"--net={network}", "--preserve-credentials", "--", *argv]

    def traffic(self) -> dict[Task, Traffic]:
        """What went over each task's link since `open`; after `stop`, until then.

        Raises:
            ClusterError: somebody ended the networks.
        """
        if self._process and self._last:
            try:
                lines = Path(f"/proc/{self._process.pid}/net/dev").read_text(encoding="utf-8").splitlines()
            except OSError as error:
                raise ClusterError(f"the tasks' networks have ended: {error}", self._process.log()) from error
            counts = {name.strip(): rest.split() for name, _, rest in (line.partition(":") for line in lines)}
            for number, task in enumerate(self._last):
                received, sent = counts[f"p{number}"][0], counts[f"p{number}"][8]  # by the switch, so not by the task
                self._last[task] = Traffic(int(received), int(sent))
        return self._last.copy()

    def stop(self) -> None:
        """Let the networks go; tasks that still run in there are cut off. Calling it again does nothing."""
        if not self._process:
            return
        with suppress(ClusterError):  # somebody else ended them
            self.traffic()
        self._process.stop()
        self._process, self._inside = None, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _needs(*programs: str) -> None:
    """Raises EnvironmentProblem: this is not Linux, or a program is missing."""
    if sys.platform != "linux":
        raise EnvironmentProblem("tasks get networks of their own on Linux only; use labkit.cluster.links.Relays")
    if missing := [name for name in programs if not shutil.which(name)]:
        raise EnvironmentProblem(
            f"{', '.join(missing)} is missing, which gives tasks networks of their own. Install util-linux and "
            "iproute2, or use labkit.cluster.links.Relays"
        )
