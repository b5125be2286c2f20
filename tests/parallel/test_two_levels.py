"""labkit.parallel.two_levels: what the workers of two groups saw in one real cluster."""

import json
import re
from pathlib import Path

import pytest

from labkit.cluster import ClusterSpec, LocalCluster


@pytest.fixture(scope="module")
def saw():
    """Of each worker. Workers 0 and 1 have sent gradients 1 and 3, and after their step 2 and 3 have sent 5 and 7."""
    with LocalCluster(ClusterSpec(worker=4, ps=3), Path(__file__).with_name("groups.py")) as cluster:
        cluster.wait("worker", timeout=60)
        return [json.loads((cluster.folder / f"worker-{index}.json").read_text()) for index in range(4)]


def test_a_group_is_a_cluster_of_one_server_and_its_workers(saw):
    assert [each["index"] for each in saw] == [0, 1, 0, 1]
    assert all(each["cluster"] == {"ps": 1, "worker": 2} for each in saw)


def test_the_root_takes_a_step_along_the_average_of_a_group(saw):
    for each in saw[:2]:
        assert each["before"] == {"a": [1.0], "b": [0.0]}
        assert each["after"] == {"version": 1, "a": [0.0], "b": [-1.0]}


def test_a_group_gets_what_the_other_group_has_learned_with_its_own_step(saw):
    for each in saw[2:]:
        assert each["before"] == {"a": [1.0], "b": [0.0]}
        assert each["after"] == {"version": 1, "a": [-3.0], "b": [-4.0]}


def test_a_cluster_that_does_not_fit_the_groups_is_refused(saw):
    too_few, with_a_chief = saw[0]["refused"]
    assert "4 groups need ps=5" in too_few
    assert re.search(r"the cluster has .*chief=1; 2 groups need .* and no others", with_a_chief)
