"""Manifests: Kubernetes' and Kubeflow's published models take them, and what a pod runs gets its TF_CONFIG."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubeflow_trainer_api import models

from labkit.cloud.local.container_arguments import expand
from labkit.cluster.elsewhere import kubeflow, kubernetes, to_yaml
from labkit.cluster.spec import ClusterSpec, Task

SPEC = ClusterSpec(chief=1, worker=2, ps=1, evaluator=1)
MODELS = {
    "ConfigMap": models.IoK8sApiCoreV1ConfigMap,
    "JobSet": models.JobsetV1alpha2JobSet,
    "TrainingRuntime": models.TrainerV1alpha1TrainingRuntime,
    "TrainJob": models.TrainerV1alpha1TrainJob,
}
SCRIPT = """
import json, os, sys
found = {name: os.environ.get(name) for name in ("TF_CONFIG", "COLOUR")}

print(json.dumps({**found, "arguments": sys.argv[1:], "name": os.path.basename(__file__)}))
"""
ARGUMENTS = ["--steps", 100, "a b", "$(JOB_COMPLETION_INDEX)", "it's $HOME"]
OPTIONS = {
    "name": "penguins",
    "image": "tensorflow/tensorflow:2.21.0",
    "arguments": ARGUMENTS,
    "resources": {"worker": {"cpu": 4, "memory": "8Gi", "nvidia.com/gpu": 1}},
    "env": {"COLOUR": "$(JOB_COMPLETION_INDEX) is red"},
    "claim": "results",
}


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "train.py"
    file.write_text(SCRIPT)
    return file


def is_valid(manifest):
    """Whether the published model reads the whole manifest: what it does not know, it leaves out."""
    try:
        return MODELS[manifest["kind"]].from_dict(manifest).to_dict() == manifest
    except ValueError:
        return False


@pytest.mark.parametrize("write", [kubernetes, kubeflow])
def test_manifests_are_valid(script, write):
    manifests = write(SPEC, script, **OPTIONS)
    assert all(map(is_valid, manifests))
    assert len({(each["kind"], each["metadata"]["name"]) for each in manifests}) == len(manifests)


def test_the_published_models_refuse_what_they_do_not_know_and_other_types(script):
    for path, value in (
        (["spec", "network", "subDomain"], "penguins"),
        (["spec", "successPolicy", "operator"], None),
        (["spec", "failurePolicy", "maxRestarts"], "3"),
        (["spec", "replicatedJobs", 0, "template", "spec", "completions"], "1"),
        (["spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "container"], []),
    ):
        (_, job_set) = kubernetes(SPEC, script, **OPTIONS)
        *parents, last = path
        part = job_set
        for each in parents:
            part = part[each]
        part[last] = value
        assert not is_valid(job_set), path


def pods(manifests):
    """Each pod's task and container, as Kubernetes makes them of a JobSet."""
    for each in manifests[1]["spec"]["replicatedJobs"]:
        job = each["template"]["spec"]
        assert each["replicas"] == 1
        assert job["completionMode"] == "Indexed"
        assert job["completions"] == job["parallelism"]
        for index in range(job["completions"]):
            yield Task(each["name"], index), job["template"]["spec"]["containers"][0]


def run(container, index, files, folder):
    """What the container's command writes, with the ConfigMap's files in `folder` and not where they are mounted."""
    for name, text in files.items():
        (folder / name).write_text(text)
    (mount,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "script"]
    given = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": str(index)}
    own = {each["name"]: expand(each["value"], given) for each in container["env"]}
    words = [expand(word, given | own).replace(mount, str(folder)) for word in container["command"] + container["args"]]
    done = subprocess.run(words, env=given | own, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def started(script, tmp_path):
    """What each pod's script found, by task."""
    manifests = kubernetes(SPEC, script, **OPTIONS)
    folder = tmp_path / "mounted"
    folder.mkdir()
    return {task: run(container, task.index, manifests[0]["data"], folder) for task, container in pods(manifests)}


def test_each_pod_finds_its_tf_config_and_arguments(started):
    hosts = {
        Task("chief", 0): "penguins-chief-0-0.penguins:2222",
        Task("worker", 0): "penguins-worker-0-0.penguins:2222",
        Task("worker", 1): "penguins-worker-0-1.penguins:2222",
        Task("ps", 0): "penguins-ps-0-0.penguins:2222",
    }
    assert tuple(started) == SPEC.tasks
    for task, found in started.items():
        assert json.loads(found["TF_CONFIG"]) == json.loads(SPEC.tf_config(task, hosts))
        assert found["arguments"] == [str(each) for each in ARGUMENTS]
        assert found["COLOUR"] == OPTIONS["env"]["COLOUR"]
        assert found["name"] == "train.py"


def test_host_names_follow_from_what_the_job_set_says(script):
    (_, job_set) = manifests = kubernetes(SPEC, script, **OPTIONS | {"port": 3000})
    domain = job_set["spec"]["network"]["subdomain"]
    (_, container), *_ = pods(manifests)
    text = container["command"][2]
    for task in SPEC.training_tasks:
        # https://jobset.sigs.k8s.io: <jobset>-<replicated job>-<job index>-<pod index>.<subdomain>
        assert f'"{job_set["metadata"]["name"]}-{task.type}-0-{task.index}.{domain}:3000"' in text


@pytest.mark.parametrize(
    ("spec", "deciding"),
    [
        (ClusterSpec(worker=2), ["worker"]),
        (ClusterSpec(chief=1, worker=2, evaluator=1), ["chief", "worker"]),
        (ClusterSpec(chief=1, worker=2, ps=1), ["chief"]),
        (ClusterSpec(worker=2, ps=1), ["worker"]),
    ],
)
def test_servers_and_evaluators_do_not_decide_when_the_job_has_ended(script, spec, deciding):
    (_, job_set) = kubernetes(spec, script, name="train", image="image")
    assert job_set["spec"]["successPolicy"] == {"operator": "All", "targetReplicatedJobs": deciding}
    assert set(deciding) <= {each["name"] for each in job_set["spec"]["replicatedJobs"]}


def test_one_failed_pod_starts_all_again_as_often_as_asked(script):
    manifests = kubernetes(SPEC, script, **OPTIONS | {"restarts": 7})
    assert manifests[1]["spec"]["failurePolicy"] == {"maxRestarts": 7}
    for each in manifests[1]["spec"]["replicatedJobs"]:
        assert each["template"]["spec"]["backoffLimit"] == 0
        assert each["template"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_a_type_of_task_gets_its_resources_and_all_get_the_volume(script):
    manifests = kubernetes(SPEC, script, **OPTIONS)
    containers = {task.type: container for task, container in pods(manifests)}
    assert containers["worker"]["resources"]["limits"] == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert "resources" not in containers["chief"]
    for each, container in zip(manifests[1]["spec"]["replicatedJobs"], containers.values(), strict=True):
        volumes = {volume["name"]: volume for volume in each["template"]["spec"]["template"]["spec"]["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "results"
        assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
        assert volumes["script"]["configMap"]["name"] == manifests[0]["metadata"]["name"]


def test_kubeflow_runs_the_same_job_set_under_the_train_jobs_name(script):
    _, runtime, train_job = kubeflow(SPEC, script, **OPTIONS)
    (config_map, job_set) = kubernetes(SPEC, script, **OPTIONS)
    assert kubeflow(SPEC, script, **OPTIONS)[0] == config_map
    assert runtime["spec"]["template"]["spec"] == job_set["spec"]
    assert train_job["metadata"]["name"] == job_set["metadata"]["name"]
    assert train_job["spec"]["runtimeRef"]["kind"] == runtime["kind"]
    assert train_job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]


def test_yaml_says_the_same_and_the_script_can_be_read_in_it(script):
    manifests = kubeflow(SPEC, script, **OPTIONS)
    before = copy.deepcopy(manifests)
    text = to_yaml(manifests)
    assert list(yaml.safe_load_all(text)) == manifests == before
    assert "  train.py: |" in text
    assert "\n    import json, os, sys\n    found" in text
    assert "&id" not in text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "Penguins"}, "name is 'Penguins'; lower-case"),
        ({"name": "1st"}, "a letter first"),
        ({"name": "penguins-"}, "no '-' last"),
        ({"name": "p" * 60}, "with 60 characters; with this cluster 43 is the most"),
        ({"image": ""}, "image is ''"),
        (
            {"resources": {"workers": {"cpu": 1}}},
            "resources has 'workers'; its keys are of chief, worker, ps, evaluator",
        ),
        ({"restarts": -1}, "restarts is -1; 0 or more"),
        ({"port": 80}, "port is 80; a number from 1024 to 65535"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_here(script, changed, words):
    with pytest.raises(ValueError, match=words):
        kubernetes(SPEC, script, **OPTIONS | changed)


def test_the_longest_name_that_is_allowed_fits_into_63_characters(script):
    (_, job_set) = kubernetes(SPEC, script, **OPTIONS | {"name": "p" * 43})
    assert max(len(f"{job_set['metadata']['name']}-{task.type}-0-{task.index}-abcde") for task in SPEC.tasks) == 63


def test_a_script_that_cannot_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.py', which is no file"):
        kubernetes(SPEC, tmp_path / "nowhere.py", **OPTIONS)
    (tmp_path / "wrong.py").write_text("def train(:\n")
    with pytest.raises(ValueError, match=r"wrong\.py is no Python that can run: invalid syntax"):
        kubernetes(SPEC, tmp_path / "wrong.py", **OPTIONS)
    (tmp_path / "long.py").write_text(f"x = '{'1' * 1024 * 1024}'")
    with pytest.raises(ValueError, match="1048582 bytes, more than a ConfigMap holds"):
        kubernetes(SPEC, tmp_path / "long.py", **OPTIONS)
    (tmp_path / "my train.py").write_text("pass")
    with pytest.raises(ValueError, match=r"the script is 'my train\.py'; a ConfigMap takes letters, digits"):
        kubernetes(SPEC, tmp_path / "my train.py", **OPTIONS)


def test_arguments_are_a_list(script):
    with pytest.raises(TypeError, match=r"arguments is '--steps 100'; a list is needed"):
        kubernetes(SPEC, script, **OPTIONS | {"arguments": "--steps 100"})
