"""What a task is told about its cluster."""

import json
import os

from labkit.errors import ClusterError


def read_tf_config() -> tuple[dict[str, list[str]], str, int]:
    """The cluster's addresses by type of task, this task's type and its index.

    Raises:
        ClusterError: ``TF_CONFIG`` is not set, or names no parameter server.
    """
    config = json.loads(os.environ.get("TF_CONFIG", "{}"))
    if not config.get("cluster", {}).get("ps"):
        raise ClusterError(
            f"TF_CONFIG is {os.environ.get('TF_CONFIG')!r}; a cluster with a ps task is needed. Start this program in "
            "every task of one, as labkit.cluster.LocalCluster(ClusterSpec(worker=2, ps=1), ...) does"
        )
    return config["cluster"], config["task"]["type"], config["task"]["index"]
