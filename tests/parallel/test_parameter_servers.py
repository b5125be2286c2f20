"""labkit.parallel.parameter_servers: what each task of one real cluster saw, step by step."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from labkit.cluster import ClusterSpec, LocalCluster
from labkit.errors import ClusterError
from labkit.parallel.tf_config import read_tf_config
from labkit.waiting import wait_until

SCRIPT = Path(__file__).with_name("choreography.py")


@pytest.fixture(scope="module")
def saw():
    """What every task of a cluster saw; at the end one of its two servers is killed."""
    with LocalCluster(ClusterSpec(chief=1, worker=2, ps=2), SCRIPT) as cluster:

        def wrote(task, index, path):
            wait_until(lambda: (cluster.folder / path).exists() or cluster.state(task, index).startswith("failed"))
            assert (cluster.folder / path).exists(), cluster.log(task, index)
            return json.loads((cluster.folder / path).read_text())

        tasks = {
            f"{task}_{index}": wrote(task, index, f"{task}-{index}.json")
            for task, index in (("chief", 0), ("worker", 0), ("worker", 1))
        }
        saved = dict(np.load(cluster.folder / "saved.npz"))
        files = [path.name for path in cluster.folder.iterdir()]
        cluster.kill("ps", 1)
        yield SimpleNamespace(**tasks, saved=saved, files=files, lost=wrote("worker", 1, "lost.json"))


def test_the_chief_fills_the_variables(saw):
    assert saw.chief_0["first"] == {"version": 0, "a": [[1.0] * 3] * 2, "b": [0.0] * 4, "c": 0.0}


def test_a_push_updates_all_variables_at_once_and_counts(saw):
    assert saw.worker_0["fresh"] == {"version": 1, "a": [[0.5] * 3] * 2, "b": [-0.5] * 4, "c": -0.5, "staleness": 0}


def test_staleness_is_the_number_of_updates_since_the_pull(saw):
    assert saw.worker_0["stale"]["staleness"] == 1
    assert saw.worker_0["stale"]["b"] == [-1.0] * 4


def test_a_dropped_gradient_changes_neither_variables_nor_version(saw):
    assert saw.worker_0["dropped"] == {**saw.worker_0["stale"], "staleness": 2}
    assert saw.worker_0["kept"]["staleness"] == 1
    assert saw.worker_0["kept"]["b"] == [-1.5] * 4


def test_a_scaled_gradient_counts_less(saw):
    assert saw.worker_0["scaled"]["staleness"] == 1
    assert saw.worker_0["scaled"]["b"] == [-1.75] * 4
    assert saw.worker_0["scaled"]["version"] == 4


def test_float16_gradients_are_made_whole_on_the_server(saw):
    assert saw.worker_0["half"]["c"] == pytest.approx(-1.75 - float(np.float16(0.1)), abs=1e-7)
    assert saw.worker_0["half"]["c"] != pytest.approx(-1.85, abs=1e-6)


def test_the_chief_takes_the_average_of_those_who_came(saw):
    assert saw.chief_0["together"]["used"] == [0, 1]
    assert saw.chief_0["together"]["version"] == 6
    assert saw.chief_0["together"]["b"] == pytest.approx(np.subtract(saw.worker_0["half"]["b"], 2.0))


def test_a_late_gradient_is_dropped_by_the_servers(saw):
    assert saw.worker_1["late"]["staleness"] == 1
    assert saw.worker_0["in time"]["staleness"] == 0
    assert saw.chief_0["late"]["used"] == [0]
    assert saw.chief_0["late"]["a"] == pytest.approx(np.subtract(saw.chief_0["together"]["a"], 4.0))


def test_what_was_saved_can_be_restored(saw):
    assert saw.saved["version"] == saw.chief_0["saved"] == saw.chief_0["restored"].pop("returned") == 5
    assert saw.saved["variables/a"].tolist() == saw.worker_0["half"]["a"]
    assert saw.chief_0["restored"] == {key: value for key, value in saw.worker_0["half"].items() if key != "staleness"}
    assert not [name for name in saw.files if name.endswith(".writing")]


def test_a_sparse_gradient_updates_its_entries_only(saw):
    change = np.subtract(saw.chief_0["restored"]["a"], saw.worker_1["sparse"]["a"])
    np.testing.assert_allclose(change, [[0, -2, 0], [0, 0, 1]], atol=1e-6)


def test_variables_can_cross_the_link_as_float16(saw):
    assert saw.worker_1["half"] == np.float16(saw.worker_1["sparse"]["a"]).tolist() != saw.worker_1["sparse"]["a"]


def test_gradients_that_never_come_are_reported(saw):
    assert "1 workers' gradients are needed and did not come" in saw.chief_0["nobody"]


def test_a_lost_server_is_reported_in_words(saw):
    assert saw.lost.startswith("A parameter server is gone")
    assert "Start it again" in saw.lost


@pytest.mark.parametrize("config", ["{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'])
def test_a_cluster_without_servers_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ClusterError, match="a cluster with a ps task is needed"):
        read_tf_config()


def test_a_learner_can_read_it():
    """Lab 11 shows the source; the module is read, not imported, for it would import TensorFlow."""
    source = (Path(__file__).parents[2] / "labkit/parallel/parameter_servers.py").read_text()
    for function in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)):
        documented = isinstance(function.body[0], ast.Expr) and len(function.body) > 1
        lines = function.end_lineno - (function.body[0].end_lineno if documented else function.lineno)
        assert lines < 25, function.name
