"""Worker pools for a custom job of Vertex AI.

https://docs.cloud.google.com/vertex-ai/docs/training/distributed-training
"""

import base64
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labkit.cluster.elsewhere import job
from labkit.cluster.spec import ClusterSpec

# The script travels in the container's arguments, in base64: it has no $, which would stand for a variable there.
_START = (
    "import base64, os, sys; name, text, *arguments = sys.argv[1:]; "
    "open(name, 'wb').write(base64.b64decode(text)); "
    "os.execv(sys.executable, [sys.executable, '-u', name, *arguments])"
)
_ARGUMENT_BYTES = 128 * 1024  # of one argument on Linux, MAX_ARG_STRLEN


def vertex(
    spec: ClusterSpec,
    script: str | os.PathLike[str],
    *,
    image: str,
    machine_type: str = "n1-standard-4",
    machine_types: Mapping[str, str] | None = None,
    accelerator_type: str | None = None,
    accelerator_count: int = 1,
    arguments: Iterable[object] = (),
    env: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The ``worker_pool_specs`` of an ``aiplatform.CustomJob``.

    Vertex AI sets ``TF_CONFIG`` itself: pool 0 is the chief, 1 the workers, 2 the parameter servers, 3 the evaluator.
    Pool 0 has one machine always. A spec without a chief gives it the first worker, which is the chief then: the script
    sees ``chief`` 0 and one worker less.

    Args:
        spec: which tasks there are.
        script: path of the Python script; its text becomes part of the job.
        image: the container image; it has ``python3`` and TensorFlow.
        machine_type: the machines, as in https://docs.cloud.google.com/vertex-ai/docs/training/configure-compute
        machine_types: other ones for some types of tasks, as ``{"ps": "n1-highmem-8"}``.
        accelerator_type: a GPU for chief, workers and evaluator, as ``NVIDIA_TESLA_T4``.
        accelerator_count: how many of it each of them gets.
        arguments: arguments for the script.
        env: further environment variables.

    Raises:
        ValueError: a value does not fit, or the script is no Python file or too long.
    """
    machine_types = dict(machine_types or {})
    pools = {"chief": 1, "worker": spec.worker - (0 if spec.chief else 1), "ps": spec.ps, "evaluator": spec.evaluator}
    if strange := [each for each in machine_types if each not in pools]:
        raise ValueError(f"machine_types has {', '.join(map(repr, strange))}; its keys are of {', '.join(pools)}")
    if not image or image != image.strip():
        raise ValueError(f"image is {image!r}; a container image is needed")
    if accelerator_count < 1:
        raise ValueError(f"accelerator_count is {accelerator_count}; 1 or more is needed")
    container = _container(script, image, arguments, env or {})
    found: list[dict[str, Any]] = []
    for kind, count in pools.items():
        machine: dict[str, Any] = {"machine_type": machine_types.get(kind, machine_type)}
        if accelerator_type and kind != "ps":
            machine |= {"accelerator_type": accelerator_type, "accelerator_count": accelerator_count}
        found.append({"machine_spec": machine, "replica_count": count, "container_spec": container} if count else {})
    while not found[-1]:  # An empty pool keeps the place of one; after the last it has none to keep.
        found.pop()
    return found


def _container(
    script: str | os.PathLike[str], image: str, arguments: Iterable[object], env: Mapping[str, str]
) -> dict[str, Any]:
    text = base64.b64encode(job.script_text(script).encode()).decode()
    if len(text) >= _ARGUMENT_BYTES:  # there is a zero behind it
        most = (_ARGUMENT_BYTES - 1) // 4 * 3
        raise ValueError(f"{script} is too long to travel with the job, {most} bytes at most; put it into the image")
    container: dict[str, Any] = {
        "image_uri": image,
        "command": ["python3", "-c", _START],
        "args": [Path(script).name, text, *job.words(arguments)],
    }
    if env:
        container["env"] = [{"name": key, "value": str(value)} for key, value in env.items()]
    return container
