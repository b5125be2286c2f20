"""Manifests for Kubernetes: a JobSet, by itself or by way of Kubeflow Trainer.

JobSet: https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/
Kubeflow Trainer: https://www.kubeflow.org/docs/components/trainer/operator-guides/runtime/
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labkit.cluster.elsewhere import job
from labkit.cluster.spec import TYPES, ClusterSpec
from labkit.errors import needs_extra

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, which services and so JobSets must follow
_LABEL_LENGTH = 63
_KEY = re.compile(r"[-._a-zA-Z0-9]+")  # of a ConfigMap
_CONFIG_MAP_BYTES = 1024 * 1024
_FOLDER = "/etc/labkit"


def kubernetes(
    spec: ClusterSpec,
    script: str | os.PathLike[str],
    *,
    name: str,
    image: str,
    arguments: Iterable[object] = (),
    resources: Mapping[str, Mapping[str, object]] | None = None,
    env: Mapping[str, str] | None = None,
    claim: str | None = None,
    restarts: int = 3,
    port: int = 2222,
) -> list[dict[str, Any]]:
    """A ConfigMap with the script and a JobSet (``jobset.x-k8s.io/v1alpha2``) that runs it, for ``kubectl apply``.

    Each type of task is an Indexed Job, and the pods find each other by host names that stay the same when a pod is
    replaced. When a pod fails, all start again, since a group that trains together does not take in a new member.

    Args:
        spec: which tasks there are.
        script: path of the Python script.
        name: the JobSet's name, and the beginning of its pods' names.
        image: the container image; it has ``sh``, ``python3`` and TensorFlow.
        arguments: arguments for the script.
        resources: what each pod of a type gets, as ``{"worker": {"cpu": 4, "memory": "8Gi", "nvidia.com/gpu": 1}}``.
        env: further environment variables.
        claim: a PersistentVolumeClaim that all pods mount at ``/data``, for checkpoints and results.
        restarts: how often all tasks are started again before the JobSet has failed.
        port: the port that all tasks listen on, each in its own pod.

    Raises:
        ValueError: a name is none that Kubernetes takes, a value does not fit, or the script is no Python file.
    """
    _check(spec, name, image, resources or {}, restarts)
    job.check_port(port)
    text, file = job.script_text(script), Path(script).name
    if not _KEY.fullmatch(file):
        raise ValueError(f"the script is {file!r}; a ConfigMap takes letters, digits, '-', '_' and '.': rename it")
    if len(text.encode()) > _CONFIG_MAP_BYTES - 1024:
        raise ValueError(f"{script} has {len(text.encode())} bytes, more than a ConfigMap holds; put it into the image")
    addresses = {task: f"{name}-{task.type}-0-{task.index}.{name}:{port}" for task in spec.training_tasks}
    cluster = job.addresses_of(spec, addresses)
    program = [f"{_FOLDER}/{file}", *job.words(arguments)]
    jobs = []
    for kind in TYPES:
        if count := getattr(spec, kind):
            container = _container(cluster, kind, program, image, (resources or {}).get(kind, {}), env or {}, port)
            jobs.append(_replicated_job(kind, count, _pod(container, f"{name}-script", claim)))
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-script"}}
    job_set = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {
            "network": {"enableDNSHostnames": True, "subdomain": name},
            "successPolicy": {"operator": "All", "targetReplicatedJobs": list(spec.deciding_types)},
            "failurePolicy": {"maxRestarts": restarts},
            "replicatedJobs": jobs,
        },
    }
    return [{**config_map, "data": {file: text}}, job_set]


def kubeflow(spec: ClusterSpec, script: str | os.PathLike[str], **options: Any) -> list[dict[str, Any]]:
    """The same for Kubeflow Trainer: the ConfigMap, a TrainingRuntime around the JobSet, and a TrainJob that runs it.

    Trainer 2 has no runtime for TensorFlow, and its TFJob of version 1 is no longer developed
    (https://github.com/kubeflow/trainer/issues/2699). Its plain runtime makes the JobSet as it stands here, under
    the TrainJob's name.

    Args:
        spec: which tasks there are.
        script: path of the Python script.
        options: those of `kubernetes`.

    Raises:
        ValueError: as `kubernetes`.
    """
    config_map, job_set = kubernetes(spec, script, **options)
    name = job_set["metadata"]["name"]
    kind = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "metadata": {"name": name}}
    runtime = {**kind, "kind": "TrainingRuntime", "spec": {"template": {"spec": job_set["spec"]}}}
    reference = {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": name}
    return [config_map, runtime, {**kind, "kind": "TrainJob", "spec": {"runtimeRef": reference}}]


def to_yaml(manifests: Iterable[Mapping[str, Any]]) -> str:
    """The manifests as one YAML text, for ``kubectl apply -f``."""
    with needs_extra("labkit.cluster.elsewhere.to_yaml", "cluster"):
        import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as such, so that a script can still be read."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Dumper, value: str) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump_all(list(manifests), Dumper=Dumper, sort_keys=False, width=120)


def _container(
    cluster: dict[str, list[str]],
    kind: str,
    program: list[str],
    image: str,
    resources: Mapping[str, object],
    env: Mapping[str, str],
    port: int,
) -> dict[str, Any]:
    # Kubernetes tells a pod its number in JOB_COMPLETION_INDEX. The single quotes end around it, so that sh puts it in.
    config = f'{{"cluster": {json.dumps(cluster)}, "task": {{"type": "{kind}", "index": \'"$JOB_COMPLETION_INDEX"\'}}}}'
    container: dict[str, Any] = {
        "name": kind,
        "image": image,
        "command": ["sh", "-c", f"export TF_CONFIG='{config}'\nexec python3 -u \"$@\"\n", "sh"],
        "args": [_literally(word) for word in program],
        "ports": [{"containerPort": port, "protocol": "TCP"}],
        "volumeMounts": [{"name": "script", "mountPath": _FOLDER, "readOnly": True}],
    }
    if env:
        container["env"] = [{"name": key, "value": _literally(value)} for key, value in env.items()]
    if resources:
        container["resources"] = {"limits": {key: str(value) for key, value in resources.items()}}
    return container


def _literally(word: str) -> str:
    """A word that Kubernetes leaves as it is: it takes $(NAME) for a variable, and $$ for $."""
    return str(word).replace("$", "$$")


def _pod(container: dict[str, Any], config_map: str, claim: str | None) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": "script", "configMap": {"name": config_map}}]
    if claim:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
        container["volumeMounts"].append({"name": "data", "mountPath": "/data"})
    return {"restartPolicy": "Never", "containers": [container], "volumes": volumes}


def _replicated_job(kind: str, count: int, pod: dict[str, Any]) -> dict[str, Any]:
    # One failed pod fails its Job, which is what the JobSet's failure policy looks at.
    indexed = {"completionMode": "Indexed", "completions": count, "parallelism": count, "backoffLimit": 0}
    return {"name": kind, "replicas": 1, "template": {"spec": {**indexed, "template": {"spec": pod}}}}


def _check(spec: ClusterSpec, name: str, image: str, resources: Mapping[str, Any], restarts: int) -> None:
    if not _LABEL.fullmatch(name):
        raise ValueError(
            f"name is {name!r}; lower-case letters, digits and '-' are needed, a letter first, no '-' last (RFC 1035)"
        )
    # Kubernetes adds six characters to the name of each pod.
    longest = max((f"{name}-{task.type}-0-{task.index}-abcde" for task in spec.tasks), key=len)
    if len(longest) > _LABEL_LENGTH:
        most = len(name) - (len(longest) - _LABEL_LENGTH)
        raise ValueError(f"name is {name!r} with {len(name)} characters; with this cluster {most} is the most")
    if not image or image != image.strip():
        raise ValueError(f"image is {image!r}; a container image is needed, as in tensorflow/tensorflow:2.21.0")
    if strange := [each for each in resources if each not in TYPES]:
        raise ValueError(f"resources has {', '.join(map(repr, strange))}; its keys are of {', '.join(TYPES)}")
    if restarts < 0:
        raise ValueError(f"restarts is {restarts}; 0 or more is needed")
