"""A program for Ray. https://docs.ray.io/en/latest/cluster/running-applications/job-submission/index.html"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from labkit.cluster.elsewhere import job
from labkit.cluster.spec import ClusterSpec


def ray(
    spec: ClusterSpec,
    script: str | os.PathLike[str],
    *,
    arguments: Iterable[object] = (),
    cpus: float = 1,
    gpus: float = 0,
    env: Mapping[str, str] | None = None,
    place_seconds: float = 300,
) -> str:
    """A Python program that runs the cluster on Ray, for ``ray job submit -- python FILE``.

    It needs Ray and nothing else, labkit neither, and holds the script. Ray places one actor for each task, spread over
    its machines; each finds a free port and runs the script in a process of its own. What the tasks write, the program
    writes with their names. A task that fails ends all of them, and the program with exit status 1.

    Args:
        spec: which tasks there are.
        script: path of the Python script; the machines' Python runs it, which has TensorFlow.
        arguments: arguments for the script.
        cpus: processors that Ray keeps for each task.
        gpus: GPUs that Ray keeps for each chief, worker and evaluator.
        env: further environment variables for the script.
        place_seconds: how long to wait for a place for all tasks at once.

    Raises:
        ValueError: a value does not fit, or the script is no Python file.
    """
    for key, value in (("cpus", cpus), ("gpus", gpus)):
        if value < 0:
            raise ValueError(f"{key} is {value}; 0 or more is needed")
    if place_seconds <= 0:
        raise ValueError(f"place_seconds is {place_seconds}; more than 0 is needed")
    cluster = job.addresses_of(spec, {task: str(task) for task in spec.training_tasks})
    needs = {str(task): {"CPU": cpus, **({"GPU": gpus} if gpus and task.type != "ps" else {})} for task in spec.tasks}
    settings = {
        "tasks": [(task.type, task.index) for task in spec.tasks],
        "cluster": cluster,
        "deciding": spec.deciding_types,
        "needs": needs,
        "place_seconds": place_seconds,
        "program": [Path(script).name, *job.words(arguments)],
        "text": job.script_text(script),
        "env": {key: str(value) for key, value in (env or {}).items()},
    }
    source = Path(__file__).with_name("ray_program.py").read_text(encoding="utf-8")
    given = "\n".join(f"        {key}={value!r}," for key, value in settings.items())
    return f'{source}\n\nif __name__ == "__main__":\n    main(\n{given}\n    )\n'
