"""Ask for a model server, get a running one, and talk to it.

Loaded on first use: the embedded server's process lives in this package too and must not import the clients.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.serving.grpc_client import GrpcClient
    from labkit.serving.rest_client import RestClient
    from labkit.serving.server import ModelServer, serve
    from labkit.serving.version_status import VersionStatus

_HOMES = {
    "GrpcClient": "grpc_client",
    "ModelServer": "server",
    "RestClient": "rest_client",
    "VersionStatus": "version_status",
    "serve": "server",
}
__all__ = ["GrpcClient", "ModelServer", "RestClient", "VersionStatus", "serve"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"labkit.serving.{_HOMES[name]}"), name)
    raise AttributeError(
        f"module 'labkit.serving' has no attribute {name!r}; its public names are {', '.join(__all__)}"
    )
