"""A TensorFlow cluster: on this machine, with failures on demand, or described for a platform that has many."""

from labkit.cluster.local import LocalCluster
from labkit.cluster.program import write_script
from labkit.cluster.spec import ClusterSpec, Task
from labkit.cluster.tensorboard import TensorBoard

__all__ = ["ClusterSpec", "LocalCluster", "Task", "TensorBoard", "write_script"]
