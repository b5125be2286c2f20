"""Models that are deployed, or about to be: the bond between an endpoint and the containers behind it."""

from dataclasses import dataclass

from labkit.cloud.local.replicas import Replicas


@dataclass
class Deployment:
    """One deployed model.

    Attributes:
        endpoint: its endpoint's name.
        id: its id there.
        model: the model's name, without a version.
        version_id: the model's version.
        display_name: its own.
        replicas: its containers.
        ready: whether the endpoint has it already.
    """

    endpoint: str
    id: str
    model: str
    version_id: str
    display_name: str
    replicas: Replicas
    ready: bool = False


def key(endpoint: str, deployed_model_id: str) -> str:
    """Under which a deployment is kept in the cloud's `deployments`."""
    return f"{endpoint}/deployedModels/{deployed_model_id}"
