"""A program for Ray, run for real on two nodes of a Ray on this machine."""

import ast
import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys

import psutil
import pytest

from labkit.cluster.elsewhere import ray
from labkit.cluster.spec import ClusterSpec

from ..lacking import lacking

# Ray alone starts in some 10 s, and on a machine with much else to do in 60.
pytestmark = pytest.mark.timeout(300)

# Two workers add their numbers, and the evaluator never ends.
REDUCE = """
import json, os, sys, time
config = json.loads(os.environ["TF_CONFIG"])
print("found", json.dumps([config, sys.argv[1:], os.getpid(), os.environ["RAY_RAYLET_PID"]]))
task = config["task"]
while task["type"] == "evaluator":
    time.sleep(1)
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()


@tf.function
def step():
    def each():
        return tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(10.0 ** task["index"]))

    return strategy.run(each)


print("replicas", strategy.num_replicas_in_sync, "sum", float(strategy.experimental_local_results(step())[0]), end="")
"""
FAIL = """
import json, os, sys, time
print("pid", os.getpid(), flush=True)
while json.loads(os.environ["TF_CONFIG"])["task"]["type"] == "worker":
    open(sys.argv[1], "w").close()
    time.sleep(1)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.1)
sys.exit("the data is missing")
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Three programs that have run side by side: what each wrote, and its exit status."""
    if importlib.util.find_spec("ray") is None:
        lacking("Ray is not installed: uv pip install 'labkit[ray]'")
    folder = tmp_path_factory.mktemp("ray")
    programs = {
        "reduce": (ClusterSpec(worker=2, evaluator=1), REDUCE, {"cpus": 0.2, "arguments": ["--steps", 100]}),
        "fail": (ClusterSpec(chief=1, worker=1), FAIL, {"cpus": 0.2, "arguments": [folder / "worker"]}),
        "wide": (ClusterSpec(worker=2), "", {"cpus": 7, "place_seconds": 0.5}),
    }
    with two_nodes() as address:
        running = {}
        for name, (spec, text, options) in programs.items():
            (folder / f"{name}.py").write_text(text)
            (folder / f"{name}_on_ray.py").write_text(ray(spec, folder / f"{name}.py", **options))
            running[name] = subprocess.Popen(
                [sys.executable, folder / f"{name}_on_ray.py"],
                env={**os.environ, "RAY_ADDRESS": address},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        try:
            yield {name: (process.communicate(timeout=200)[0], process.returncode) for name, process in running.items()}
        finally:
            for process in running.values():
                process.kill()


@contextlib.contextmanager
def two_nodes():
    """A Ray of two nodes on this machine; gives its address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "60")  # not 30: other tests run beside this one
        from ray.cluster_utils import Cluster

        few = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False}
        cluster = Cluster(initialize_head=True, head_node_args={**few, "include_dashboard": False, "no_monitor": True})
        try:
            cluster.add_node(**few)
            yield cluster.address
        finally:
            cluster.shutdown()


def found(output, name):
    """What a task of the first program has said of itself."""
    return json.loads(re.search(rf"^{name}: found (.*)$", output, re.MULTILINE)[1])


def is_gone(pid):
    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_two_workers_on_two_nodes_train_together(ended):
    output, status = ended["reduce"]
    assert status == 0, output
    for index in range(2):
        assert f"\nworker {index}: replicas 2 sum 11.0\n" in output
    assert found(output, "worker 0")[3] != found(output, "worker 1")[3]  # the raylets, one a node


def test_each_task_finds_its_tf_config_and_arguments(ended):
    output, _ = ended["reduce"]
    spec = ClusterSpec(worker=2, evaluator=1)
    workers = found(output, "evaluator 0")[0]["cluster"]["worker"]
    assert len(set(workers)) == 2
    assert all(re.fullmatch(r"[\d.]+:\d+", address) for address in workers)
    for task in spec.tasks:
        config, arguments, *_ = found(output, str(task))
        assert config == json.loads(spec.tf_config(task, dict(zip(spec.training_tasks, workers, strict=True))))
        assert arguments == ["--steps", "100"]


def test_what_never_ends_by_itself_is_ended(ended):
    assert is_gone(found(ended["reduce"][0], "evaluator 0")[2])


def test_a_task_that_fails_ends_the_others_and_says_why(ended):
    output, status = ended["fail"]
    assert status == 1, output
    assert "\nchief 0: the data is missing\n" in f"\n{output}"
    assert "chief 0 ended with exit status 1" in output
    assert is_gone(int(re.search(r"^worker 0: pid (\d+)$", output, re.MULTILINE)[1]))


def test_a_cluster_for_which_there_is_no_place_is_said_and_not_waited_for(ended):
    output, status = ended["wide"]
    assert status == 1, output
    assert re.search(r"No place for all tasks within 0\.5 s\. Needed: .*'CPU': 7.* There is: \{.*'CPU': 2\.0", output)


def test_the_program_needs_ray_only_and_holds_the_script(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("print('''it's \\n \"here\"''')\n")
    program = ast.parse(ray(ClusterSpec(worker=1), script))
    imported = {name.name for each in ast.walk(program) if isinstance(each, ast.Import) for name in each.names}
    imported |= {each.module for each in ast.walk(program) if isinstance(each, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - sys.stdlib_module_names == {"ray"}
    assert script.read_text() in {each.value for each in ast.walk(program) if isinstance(each, ast.Constant)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cpus": -1}, "cpus is -1; 0 or more"),
        ({"gpus": -1}, "gpus is -1; 0 or more"),
        ({"place_seconds": 0}, "place_seconds is 0; more than 0"),
        ({"arguments": "--steps"}, "arguments is '--steps'; a list is needed"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, options, words):
    script = tmp_path / "train.py"
    script.touch()
    with pytest.raises((ValueError, TypeError), match=words):
        ray(ClusterSpec(worker=2), script, **options)
