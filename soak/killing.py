"""A task of lab 13's clusters is killed in the middle of training, and the training is compared with one left alone."""

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from labkit.cluster import ClusterSpec, LocalCluster

STEPS = 200
FIRST_SAVED = 50
LATEST = 100  # the last step at which something is done to a training: it must not end first
MIRRORED = ClusterSpec(chief=1, worker=1, evaluator=1)
SERVERS = ClusterSpec(chief=1, worker=2, ps=1)
VICTIMS = (
    (MIRRORED, "chief"),
    (MIRRORED, "worker"),
    (MIRRORED, "evaluator"),
    (SERVERS, "chief"),
    (SERVERS, "worker"),
    (SERVERS, "ps"),
)
_REPEATED = {MIRRORED: 50, SERVERS: 1}  # lines of the chief from one checkpoint to the next
_LOOK_SECONDS = 0.005
_SECONDS = 90.0


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
        losses: by step, as the chief printed them; those of a step that was made again are the last ones.
        evaluated: the last step that the evaluator evaluated; 0 without one.
        repeated: how many of the chief's lines came again.
    """

    losses: dict[int, str]
    evaluated: int
    repeated: int = field(compare=False)

    @property
    def step(self) -> int:
        """The last one."""
        return max(self.losses, default=0)


def cluster(program: Path, spec: ClusterSpec, folder: str = "run") -> LocalCluster:
    """A cluster that makes `STEPS` steps of the lab's program; it is not started yet."""
    return LocalCluster(spec, program, [str(STEPS), folder])


def result(of: LocalCluster) -> Training:
    """What its logs say."""
    lines = re.findall(r"^step (\d+) loss (\S+)$", of.log("chief"), re.MULTILINE)
    losses = {int(step): loss for step, loss in lines}
    return Training(losses, of.step("evaluator") if of.spec.evaluator else 0, len(lines) - len(losses))


def wait_for_step(of: LocalCluster, step: int) -> None:
    """Until the chief has printed this step, or a later one.

    Raises:
        TimeoutError: it did not.
    """
    deadline = time.monotonic() + _SECONDS
    while of.step("chief") < step:
        if time.monotonic() > deadline:
            raise TimeoutError(f"step {step} was not reached within {_SECONDS:g} s:\n{of.table().to_string()}")
        time.sleep(_LOOK_SECONDS)


def awaited(spec: ClusterSpec) -> tuple[str, ...]:
    """Who trains, and the evaluator, which ends when it has seen the last checkpoint."""
    return (*spec.deciding_types, *["evaluator"] * spec.evaluator)


def left_alone(program: Path, spec: ClusterSpec) -> Training:
    """A training that nobody disturbs."""
    with cluster(program, spec) as running:
        running.wait(*awaited(spec), timeout=_SECONDS)
        return result(running)


def killed(program: Path, spec: ClusterSpec, role: str, step: int) -> Training:
    """A training of which the first task of type `role` is killed behind `step`.

    Those that train are started again, unless it is a worker of several whose work is handed to others.

    Raises:
        ClusterError: it did not come to its end.
    """
    with cluster(program, spec) as running:
        wait_for_step(running, step)
        running.kill(role)
        running.wait(*awaited(spec), timeout=_SECONDS, restarts=0 if (spec, role) == (SERVERS, "worker") else 1)
        return result(running)


def name(spec: ClusterSpec, role: str) -> str:
    """How a victim is called in what people read."""
    return f"{role}, {'parameter servers' if spec.ps else 'mirrored'}"


def wrong(training: Training, spec: ClusterSpec, alone: Training) -> str:
    """In words, what a disturbed training did not come to; `alone` is a mirrored one that was not."""
    if training.repeated > (most := _REPEATED[spec]):
        return f"{training.repeated} of the chief's lines came again, and not {most} at most: no checkpoint was used"
    if spec.ps:
        # A worker's step is made again if the worker dies when it has counted, and has not said so.
        fine = STEPS <= training.step < STEPS + 10
        return "" if fine else f"it ended at step {training.step} instead of {STEPS}"
    if training == alone:
        return ""
    differ = sum(training.losses.get(step) != loss for step, loss in alone.losses.items())
    return (
        f"it ended at step {training.step} instead of {alone.step}, was evaluated at {training.evaluated} instead of "
        f"{alone.evaluated}, and {differ} losses differ"
    )
