"""Checks of lab 13, Run a TensorFlow cluster."""

import re
from typing import Any

from labkit.checks import exercise, is_number
from labkit.cluster import LocalCluster
from labkit.cluster.spec import TYPES

_ROLES = {"chief": ["d:2222"], "worker": ["a:2222", "b:2222"], "ps": ["c:2222"]}
_CHECKPOINT, _APART, _AGAIN = 4, 3 * 3600, 120  # seconds


@exercise(
    "13.1",
    hints=(
        "There are two keys: who there is, and who I am. Print `everybody.tf_config(...)` and look at it again.",
        "Every type has a list, also if it has one member. The index counts within the type, and begins with 0.",
    ),
)
def _config(answer: Any) -> str | None:
    if not isinstance(answer, dict):
        return f"a dictionary is asked for; yours is of type {type(answer).__name__}"
    if not {"cluster", "task"} <= set(answer):
        return f"the keys are {', '.join(map(repr, answer)) or 'none'}; TensorFlow reads two others"
    cluster, task = answer["cluster"], answer["task"]
    if not isinstance(cluster, dict) or not all(isinstance(each, list | tuple) for each in cluster.values()):
        return "the cluster maps each type to a list of addresses"
    return _wrong_roles(cluster) or _wrong_task(cluster["worker"], task)


def _wrong_roles(cluster: dict[Any, Any]) -> str | None:
    if unknown := [each for each in cluster if each not in TYPES]:
        return f"TensorFlow knows no type {unknown[0]!r}"
    if "evaluator" in cluster:
        return "there is no evaluator here"
    if any(":" not in str(address) for addresses in cluster.values() for address in addresses):
        return "an address needs its port"
    if {each: sorted(map(str, addresses)) for each, addresses in cluster.items()} != _ROLES:
        return "some machine has another role than the exercise says, or none"
    return None


def _wrong_task(workers: Any, task: Any) -> str | None:
    if not isinstance(task, dict) or set(task) != {"type", "index"}:
        return "the task is a dictionary with a type and an index"
    if task["type"] != "worker":
        return f"a worker's TF_CONFIG is asked for, not one for {task['type']!r}"
    index = task["index"]
    if isinstance(index, bool) or not isinstance(index, int):
        return f"the index is {index!r}; it has to be a whole number"
    if index == len(workers):
        return "the index counts from 0"
    if not 0 <= index < len(workers):
        return "the index counts within the type, and there are two workers"
    return None if workers[index] == "b:2222" else "this is the TF_CONFIG of the worker on a"


@exercise(
    "13.2",
    hints=(
        "Write down what an hour costs: checkpoints in an hour × 4 s, and failures in an hour × half the time between.",
        "With t between checkpoints and M between failures the cost is 4 / t + t / (2 M). Where is it least? The two "
        "minutes are lost whatever t is.",
    ),
)
def _between(answer: Any) -> str | None:
    if not is_number(answer):
        return f"a number of seconds is asked for; yours is of type {type(answer).__name__}"
    square = 2 * _CHECKPOINT * _APART
    if abs(answer - square**0.5) < 15:
        return None
    said = {
        (square / 2) ** 0.5: "a failure costs half the time between two checkpoints, not all of it",
        (square / 60) ** 0.5: "the time between failures has to be in seconds, as the others",
        (square / 3600) ** 0.5: "the time between failures has to be in seconds, as the others",
        (2 * (_CHECKPOINT + _AGAIN) * _APART) ** 0.5: "starting again costs two minutes however often one saves",
        5 * square**0.5: "that is in steps; seconds are asked for",
        square: "that is the square of a time",
        _APART / 2: "that would lose much at each failure, to save a few checkpoints",
    }
    for value, sentence in said.items():
        if abs(answer - value) < 0.02 * value:
            return sentence
    return f"another time costs less than {answer:.0f} s"


@exercise(
    "13.3",
    hints=(
        "Look at part 4: start, wait until a step was printed, kill, wait. What is new is who starts it again.",
        "`wait` takes `restarts`. Without it, it raises `ClusterError` when the others lose their peer.",
    ),
)
def _recovered(answer: Any) -> str | None:
    if not isinstance(answer, LocalCluster):
        return f"a LocalCluster is asked for; yours is of type {type(answer).__name__}"
    spec = answer.spec
    if (spec.chief, spec.worker, spec.ps) != (1, 2, 0):
        return f"it has {', '.join(map(str, spec.tasks))}; a chief and two workers are asked for"
    if answer.state("worker", 1) == "killed":
        return "worker 1 was killed, and nobody has started it again"
    log = answer.log("worker", 1)
    before, restored, _ = log.partition("restored")
    if restored and not _last_step(before):
        return "the folder was not new: worker 1 began from a checkpoint"
    # By all that it printed: who was started again behind the last checkpoint has no step left to print.
    step, state = _last_step(answer.log("chief")), answer.state("chief")
    if step < 100 or state != "finished":
        return f"the chief is at step {step}, and {state}"
    if _last_step(before) < 60:
        return "worker 1 was killed before it had done 60 steps"
    return None if restored else "worker 1 was never started again from a checkpoint"


def _last_step(log: str) -> int:
    return max(map(int, re.findall(r"\bstep (\d+) ", log)), default=0)
