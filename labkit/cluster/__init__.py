"""A TensorFlow cluster: on this machine, with failures on demand, or described for a platform that has many."""

from labkit.cluster.local import LocalCluster
from labkit.cluster.program import write_script
from labkit.cluster.spec import ClusterSpec, Task

__all__ = ["ClusterSpec", "LocalCluster", "Task", "write_script"]
