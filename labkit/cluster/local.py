"""A TensorFlow cluster on this machine: every task a process of its own, with gRPC between them.

    with LocalCluster(ClusterSpec(chief=1, worker=2), "train.py") as cluster:
        cluster.wait(timeout=60)
        print(cluster.log("chief"))

The tasks know nothing of labkit. They get `TF_CONFIG`, as on any platform, and how far they are is read from what they
print: ``step 20 loss 0.43``.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from labkit import processes, show
from labkit.cluster import failures
from labkit.cluster.live import LiveView
from labkit.cluster.ports import Port
from labkit.cluster.program import Program, script
from labkit.cluster.spec import TYPES, ClusterSpec, Task
from labkit.cluster.task_process import TaskProcess
from labkit.errors import ClusterError, needs_extra

if TYPE_CHECKING:
    import pandas

    from labkit.cluster.links import Relays
    from labkit.cluster.namespaces import Namespaces

_LOOK_SECONDS = 0.02
_LOOK_FOR_PEERS_SECONDS = 0.25  # it takes a millisecond for each task
_END_SECONDS = 2.0


class LocalCluster:
    """Tasks that run until they end, `stop`, the end of the ``with`` block, or the end of this Python process.

    Attributes:
        spec: which tasks there are.
        script: what each of them runs.
        folder: where they run; what they write with a relative path is here. It is removed at the end, unless it was
            given.
        addresses: ``host:port`` of each task but the evaluator.
        links: as they were given; their `traffic` says what went over them.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        program: Program,
        arguments: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
        links: "Relays | Namespaces | None" = None,
        peers_timeout: float = 60.0,
        gpu: bool = False,
    ) -> None:
        """Nothing runs yet; a ``with`` block or `start` starts it.

        Args:
            spec: how many tasks of each type.
            program: what each task runs: the path of a script, a function without arguments, or several functions, of
                which the last is called. Functions are written to a script, which is all that they can see: ``tf``,
                ``np``, ``keras``, each other, and what they import.
            arguments: the script's command line.
            env: environment variables on top of this process's own.
            folder: the tasks' working folder; None: a new one.
            links: how the tasks reach each other, if not at this machine's speed. They are opened here, and stopped at
                the end.
            peers_timeout: seconds after which a task that never came is an error, if the others wait for it.
            gpu: whether tasks may see GPUs; starting takes longer then.

        Raises:
            FileNotFoundError: there is no such script.
            TypeError: `program` is neither a path nor functions.
            ValueError: a function uses names that the script would not know.
        """
        self.spec = spec
        self._tasks: dict[Task, TaskProcess] = {}
        self._at_the_end = ExitStack()
        with ExitStack() as undo:
            scratch = Path(tempfile.mkdtemp(prefix="cluster-", dir=processes.folder()))
            undo.callback(shutil.rmtree, scratch, ignore_errors=True)
            self.folder = Path(folder or scratch).absolute()
            self.folder.mkdir(parents=True, exist_ok=True)
            self.script = script(program, scratch)
            ports = {task: undo.enter_context(closing(Port())) for task in spec.training_tasks}
            self.addresses = {task: port.address for task, port in ports.items()}
            self.links = links
            if links is not None:
                self.addresses = links.open(self.addresses)
                undo.callback(links.stop)
            self._tasks = {task: self._process(task, arguments, dict(env or {}), gpu) for task in spec.tasks}
            self._at_the_end = undo.pop_all()
        self._peers_timeout = peers_timeout
        self._planned: list[tuple[TaskProcess, int]] = []
        self._over = False

    def _process(self, task: Task, arguments: Sequence[str], env: Mapping[str, str], gpu: bool) -> TaskProcess:
        environment = {**env, "TF_CONFIG": self.spec.tf_config(task, self.addresses)}
        port = int(self.addresses[task].rpartition(":")[2]) if task in self.addresses else None
        entrance = self.links.entrance(task) if self.links is not None and port else None
        return TaskProcess(task, [str(self.script), *arguments], environment, self.folder, port, entrance, gpu)

    def start(self) -> Self:
        """Start all tasks that were not started yet, and return at once.

        Raises:
            ClusterError: the cluster was stopped.
            ProcessError: one could not be started; none is left running.
        """
        self._need_not_over()
        try:
            for task in self._tasks.values():
                if not task.log_paths():
                    self._start(task)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all tasks. Calling it again does nothing."""
        self._over = True
        with self._at_the_end:
            _end(self._tasks.values())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __del__(self) -> None:
        # Not here: garbage is collected anywhere, also while this thread holds a lock that `stop` needs.
        with suppress(Exception):  # the interpreter may be half gone, and the constructor may have failed
            if not self._over:
                threading.Thread(target=self.stop, daemon=True).start()

    def log(self, type: str, index: int = 0) -> str:
        """All that a task has printed, over all its starts."""
        return self._one(type, index).log()

    def state(self, type: str, index: int = 0) -> str:
        """What a task is doing, in words: ``running``, ``finished``, ``failed (exit status 1)``, ``killed`` ..."""
        return self._one(type, index).state()

    def step(self, type: str, index: int = 0) -> int:
        """The last step that a task has printed, 0 before that."""
        return self._one(type, index).progress()[0] or 0

    def pid(self, type: str, index: int = 0) -> int:
        """The process id of a task."""
        return self._one(type, index).pid

    def table(self) -> "pandas.DataFrame":
        """Every task: its state, the last step and loss that it printed, and the memory that it holds."""
        with needs_extra("LocalCluster.table", "cluster"):
            import pandas  # noqa: F401  # show.table would ask for all that labs need
        rows = []
        for task in self._tasks.values():
            step, loss = task.progress()
            numbers = ["" if step is None else str(step), "" if loss is None else f"{loss:.4g}"]
            rows.append([str(task.task), task.state(), *numbers, show.size(task.memory())])
        return show.table(rows, ["task", "state", "step", "loss", "memory"])

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until every task but the evaluator has opened its port, or has ended well.

        Raises:
            ClusterError: a task crashed, or did not come in time.
        """
        tasks, deadline = self._tasks.values(), time.monotonic() + timeout
        while missing := [task for task in tasks if not task.has_come()]:
            failures.check_for_crashes(tasks)
            if time.monotonic() > deadline:
                raise failures.missing_peers(missing, tasks, timeout)
            time.sleep(_LOOK_SECONDS)

    def wait(self, *types: str, timeout: float | None = None, restarts: int = 0, stream: bool = False) -> None:
        """Wait until all tasks of these types have ended well, and show meanwhile how far each is.

        Tasks that `kill` is to end at a step are ended meanwhile.

        Args:
            types: as in ``"chief", "evaluator"``. Without any: chief and workers; if there are a chief and parameter
                servers, the chief alone, for then workers serve it and do not end. An evaluator may look for
                checkpoints for ever, so it is waited for only by name.
            timeout: seconds; None: as long as it takes.
            restarts: how many times all tasks that train are started again when one of them crashed or was killed, as
                platforms do it; the script has to begin where its last checkpoint was. An evaluator is started alone.
            stream: whether what the tasks print is shown as it comes, each line with its task's name.

        Raises:
            ClusterError: a task crashed; a task never came and the others wait for it; all that are still waited for
                were killed, and nobody started them again; or the time is over.
            ValueError: there is no such type, or no task of it.
        """
        awaited = [task for task in self._tasks.values() if task.task.type in (types or self.spec.deciding_types)]
        if unknown := [each for each in types if each not in TYPES]:
            raise ValueError(f"there is no task type {unknown[0]!r}; there are {', '.join(TYPES)}")
        if not awaited:
            raise ValueError(
                f"there is no {' or '.join(types)} in this cluster; there are {', '.join(map(str, self.spec.tasks))}"
            )
        start = time.monotonic()
        next_look = 0.0
        with LiveView(self._tasks.values(), self.table, stream) as view:
            while left := [task for task in awaited if task.is_awaited()]:
                self._kill_as_planned(view)
                if not restarts:
                    failures.check_for_crashes(self._tasks.values())
                elif self._restarted():
                    restarts -= 1
                failures.check_for_a_standstill(left, restarts)
                if time.monotonic() > next_look:
                    trains = [task for task in self._tasks.values() if task.task in self.addresses]
                    failures.check_for_missing_peers(trains, self._peers_timeout)
                    next_look = time.monotonic() + _LOOK_FOR_PEERS_SECONDS
                if timeout is not None and time.monotonic() - start > timeout:
                    raise failures.not_done(self._tasks.values(), timeout)
                view.update()
                time.sleep(_LOOK_SECONDS)
            for task, step in self._planned:
                view.say(f"{task.task} was not killed at step {step}: it is at step {task.progress()[0] or 0}")

    def kill(self, type: str, index: int = 0, *, at_step: int | None = None) -> None:
        """End a task without warning (SIGKILL). Its connections are closed, unlike those of a machine without power.

        Args:
            type: of the task.
            index: of the task.
            at_step: not now, but while `wait` waits, once the task has printed that it is at this step; once only.
        """
        task = self._one(type, index)
        if at_step is None:
            task.kill()
        else:
            self._planned.append((task, at_step))

    def preempt(self, type: str, index: int = 0) -> None:
        """Ask a task to end (SIGTERM), as a cloud does before it takes a machine away."""
        self._one(type, index).preempt()

    def pause(self, type: str, index: int = 0) -> None:
        """Let a task hang: it stays, and does nothing until `resume`."""
        self._one(type, index).pause()

    def resume(self, type: str, index: int = 0) -> None:
        """Let a task that was paused go on."""
        self._one(type, index).resume()

    def restart(self, type: str, index: int = 0) -> None:
        """End a task, if it still runs, and start it anew with the same address."""
        task = self._one(type, index)
        self._need_not_over()
        _end([task])
        self._start(task)

    def _need_not_over(self) -> None:
        if self._over:
            raise ClusterError("this cluster was stopped, and its ports are given back; make another LocalCluster")

    def _start(self, task: TaskProcess) -> None:
        task.start()
        if self.links is not None and task.task in self.addresses:
            self.links.know(task.task, task.pid)

    def _one(self, type: str, index: int) -> TaskProcess:
        if (task := Task(type, index)) in self._tasks:
            return self._tasks[task]
        raise ValueError(f"there is no {task} in this cluster; there are {', '.join(map(str, self.spec.tasks))}")

    def _kill_as_planned(self, view: LiveView) -> None:
        for task, step in list(self._planned):
            reached = task.progress()[0]
            if reached is not None and reached >= step:
                with suppress(ClusterError):  # it has just ended by itself
                    task.kill()
                    self._planned.remove((task, step))
                    view.say(f"{task.task} is killed at step {reached}")

    def _restarted(self) -> bool:
        """Whether a task was lost, and those that depend on it were started again."""
        lost = [task for task in self._tasks.values() if task.crashed() or task.taken_away]
        if any(task.task in self.addresses for task in lost):
            lost += [task for task in self._tasks.values() if task.task in self.addresses and task not in lost]
        _end(lost)
        for task in lost:
            self._start(task)
        return bool(lost)


def _end(tasks: Iterable[TaskProcess]) -> None:
    """End tasks: all are asked at the same moment, and what is still there after a while is ended by force."""
    tasks = list(tasks)
    with ExitStack() as certainly:  # all of it is done, even if some of it fails or is interrupted
        for task in tasks:
            certainly.callback(task.stop)
        asked = [task for task in tasks if task.ask_to_end()]
        deadline = time.monotonic() + _END_SECONDS
        while any(task.running for task in asked) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
