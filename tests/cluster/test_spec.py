"""labkit.cluster.spec: which tasks there are, and what TensorFlow reads of them."""

import json
from typing import Any

import pytest

from labkit.cluster import ClusterSpec, Task


def addresses(spec: ClusterSpec) -> dict[Task, str]:
    return {task: f"{task.type}-{task.index}:2222" for task in spec.training_tasks}


def test_tensorflow_reads_the_same_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    spec = ClusterSpec(chief=1, worker=2, ps=1, evaluator=1)
    for task in spec.tasks:
        monkeypatch.setenv("TF_CONFIG", spec.tf_config(task, addresses(spec)))
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        assert (resolver.task_type, resolver.task_id) == task
        assert resolver.cluster_spec().as_dict() == {
            "chief": ["chief-0:2222"],
            "worker": ["worker-0:2222", "worker-1:2222"],
            "ps": ["ps-0:2222"],
        }


def test_the_evaluator_knows_the_others_and_they_do_not_know_of_it() -> None:
    spec = ClusterSpec(worker=1, evaluator=1)
    assert [str(task) for task in spec.tasks] == ["worker 0", "evaluator 0"]
    assert [str(task) for task in spec.training_tasks] == ["worker 0"]
    config = json.loads(spec.tf_config(Task("evaluator", 0), addresses(spec)))
    assert config == {"cluster": {"worker": ["worker-0:2222"]}, "task": {"type": "evaluator", "index": 0}}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "a cluster needs a chief or a worker"),
        ({"ps": 2}, "a cluster needs a chief or a worker"),
        ({"chief": 2}, "chief is 2; a cluster has one chief at most"),
        ({"worker": 1, "evaluator": 2}, "evaluator is 2; a cluster has one evaluator at most"),
        ({"worker": -1}, "worker is -1; a number of tasks is needed, 0 or more"),
        ({"worker": "2"}, "worker is '2'; a number of tasks is needed"),
        ({"chief": True}, "chief is True; a number of tasks is needed"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(counts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterSpec(**counts)


def test_who_is_not_there_has_no_configuration() -> None:
    spec = ClusterSpec(worker=2)
    with pytest.raises(ValueError, match="there is no ps 0 in this cluster; there are worker 0, worker 1"):
        spec.tf_config(Task("ps", 0), addresses(spec))
    with pytest.raises(ValueError, match="addresses has none for worker 1"):
        spec.tf_config(Task("worker", 0), {Task("worker", 0): "127.0.0.1:1"})
