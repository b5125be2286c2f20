"""What a cluster's tasks can come to that nobody should wait for: each check raises `ClusterError` in words."""

from collections.abc import Collection

from labkit.cluster.task_process import TaskProcess
from labkit.errors import ClusterError

_LAST_LINES = 20
_LAST_CHARACTERS = 2000


def check_for_crashes(tasks: Collection[TaskProcess]) -> None:
    """Nobody among `tasks` has ended badly by itself.

    Raises:
        ClusterError: somebody has; the message ends with the last lines that it printed.
    """
    for task in tasks:
        if task.crashed():
            log = task.log()
            lines = "\n".join(log.strip().splitlines()[-_LAST_LINES:])
            raise ClusterError(f"{task.task} {task.state()}. Its last lines:\n{lines or 'It printed nothing.'}", log)


def check_for_a_standstill(awaited: Collection[TaskProcess], restarts: int) -> None:
    """Those that are still waited for can still end well.

    Args:
        awaited: they.
        restarts: how many times lost tasks will be started again.

    Raises:
        ClusterError: one was not started or was stopped, or all were killed.
    """
    if stopped := [str(task.task) for task in awaited if task.stopped]:
        raise ClusterError(f"{', '.join(stopped)} was not started, or was stopped; call `start`, or `restart`")
    if not restarts and all(task.taken_away for task in awaited):
        names = ", ".join(f"{task.task} ({task.state()})" for task in awaited)
        raise ClusterError(f"{names} will not go on by itself; call `restart`, or `wait` with `restarts`")


def check_for_missing_peers(tasks: Collection[TaskProcess], timeout: float) -> None:
    """Nobody waits for somebody who never came. (A script need not open its port; then nobody waits.)

    Args:
        tasks: those that know each other.
        timeout: how many seconds after its start a task may take to open its port.

    Raises:
        ClusterError: somebody has not come, while others have and none has printed a step or a loss.
    """
    come = [task for task in tasks if task.has_come()]  # all are looked at: who comes now may be gone later
    if not any(task.running for task in come) or any(task.progress() != (None, None) for task in tasks):
        return
    if late := [task for task in tasks if task.running and task not in come and task.seconds() > timeout]:
        raise missing_peers(late, tasks, timeout)


def missing_peers(missing: Collection[TaskProcess], tasks: Collection[TaskProcess], seconds: float) -> ClusterError:
    """The error that says that `missing` of `tasks` had not opened their ports after so many seconds."""
    names = ", ".join(str(task.task) for task in missing)
    waiting = ", ".join(str(task.task) for task in tasks if task.running and task not in missing)
    logs = [(task, task.log()) for task in missing]
    lines = "\n".join(f"{task.task} ({task.state()}):\n{log.strip()[-_LAST_CHARACTERS:]}" for task, log in logs)
    return ClusterError(
        f"{names} had not opened a port after {seconds:g} s. Waiting for it: {waiting or 'nobody'}. What it printed:\n"
        f"{lines}",
        logs[0][1],
    )


def not_done(tasks: Collection[TaskProcess], seconds: float) -> ClusterError:
    """The error that says how far each of `tasks` was after so many seconds."""
    steps = [(task, task.progress()[0]) for task in tasks]
    lines = [f"{task.task}  {task.state()}, {'no step' if step is None else f'step {step}'}" for task, step in steps]
    return ClusterError("\n".join([f"The cluster was not done after {seconds:g} s:", *lines]))
