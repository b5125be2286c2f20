"""Checks of lab 13, Run a TensorFlow cluster."""

from typing import Any

import numpy as np

from labkit.checks import exercise
from labkit.cluster import LocalCluster


@exercise(
    "13.1",
    hints=(
        "There are two keys: who there is, and who I am. Print `everybody.tf_config(...)` and look at it again.",
        "Every type has a list, also if it has one member. The index counts within the type, and begins with 0.",
    ),
)
def _config(answer: Any) -> str | None:
    if not isinstance(answer, dict):
        return f"a dictionary is asked for, not a {type(answer).__name__}"
    if set(answer) != {"cluster", "task"}:
        return f"the keys are {', '.join(map(repr, answer))}; TensorFlow reads two others"
    cluster, task = answer["cluster"], answer["task"]
    if not isinstance(cluster, dict) or not all(isinstance(each, list) for each in cluster.values()):
        return "the cluster maps each type to a list of addresses"
    if "evaluator" in cluster:
        return "there is no evaluator here"
    everybody = {address for addresses in cluster.values() for address in addresses}
    if any(":" not in str(address) for address in everybody):
        return "an address needs its port"
    if cluster != {"chief": ["d:2222"], "worker": ["a:2222", "b:2222"], "ps": ["c:2222"]}:
        return "some machine has another role than the exercise says, or none"
    if task == {"type": "worker", "index": 2}:
        return "the index counts from 0"
    return None if task == {"type": "worker", "index": 1} else "the task is not the worker on b"


@exercise(
    "13.2",
    hints=(
        "Write down what an hour costs: checkpoints in an hour × 4 s, and failures in an hour × half the time between.",
        "With t between checkpoints and M between failures the cost is 4 / t + t / (2 M). Where is it least? The two "
        "minutes are lost whatever t is.",
    ),
)
def _between(answer: Any) -> str | None:
    if isinstance(answer, bool) or not isinstance(answer, int | float | np.number):
        return f"a number of seconds is asked for, not a {type(answer).__name__}"
    if abs(answer - (2 * 4 * 3 * 3600) ** 0.5) < 15:
        return None
    if abs(answer - (4 * 3 * 3600) ** 0.5) < 5:
        return "a failure costs half the time between two checkpoints, not all of it"
    if abs(answer - (2 * 4 * 3 * 60) ** 0.5) < 2 or abs(answer - (2 * 4 * 3) ** 0.5) < 1:
        return "the time between failures has to be in seconds, as the others"
    if abs(answer - (2 * (4 + 120) * 3 * 3600) ** 0.5) < 20 or abs(answer - (2 * 4 * (3 * 3600 - 120)) ** 0.5) < 0.2:
        return "starting again costs two minutes however often checkpoints are written"
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
        return f"a LocalCluster is asked for, not a {type(answer).__name__}"
    spec = answer.spec
    if (spec.chief, spec.worker, spec.ps) != (1, 2, 0):
        return f"it has {', '.join(map(str, spec.tasks))}; a chief and two workers are asked for"
    log = answer.log("worker", 1)
    if answer.step("chief") < 100 or answer.state("chief") != "finished":
        return f"the chief is at step {answer.step('chief')}, and {answer.state('chief')}"
    if "step 60 " not in log.split("restored")[0]:
        return "worker 1 was killed before it had done 60 steps"
    if "restored" not in log:
        return "worker 1 was never started again from a checkpoint"
    return None
