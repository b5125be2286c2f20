"""Ask for a model server, get a running one, and talk to it.

Loaded on first use: the embedded server's process lives in this package too and must not import the clients.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.serving.client import GrpcClient, RestClient, VersionStatus
    from labkit.serving.server import ModelServer, serve

_HOMES = {"GrpcClient": "client", "RestClient": "client", "VersionStatus": "client", "ModelServer": "server"}
__all__ = ["GrpcClient", "ModelServer", "RestClient", "VersionStatus", "serve"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"labkit.serving.{_HOMES.get(name, 'server')}"), name)
    raise AttributeError(
        f"module 'labkit.serving' has no attribute {name!r}; its public names are {', '.join(__all__)}"
    )
