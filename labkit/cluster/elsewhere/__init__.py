"""The same script and `ClusterSpec` on other people's machines: a description for the engine that runs it there.

Kubernetes, Vertex AI, Slurm and Ray place the tasks, start them and watch them. What is written here says how many
tasks of which type there are, and how each finds its ``TF_CONFIG``, of the same form as in `labkit.cluster`.

The job has ended well when its chief and workers have. With parameter servers and a chief it is the chief alone, since
servers never end by themselves; on Vertex AI it always is.
"""

from labkit.cluster.elsewhere.kubernetes import kubeflow, kubernetes, to_yaml
from labkit.cluster.elsewhere.ray import ray
from labkit.cluster.elsewhere.slurm import slurm
from labkit.cluster.elsewhere.vertex import vertex

__all__ = ["kubeflow", "kubernetes", "ray", "slurm", "to_yaml", "vertex"]
