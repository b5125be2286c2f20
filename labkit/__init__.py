"""Scaffolding for the labs: real model servers, clients and measurements on one machine.

The public names are loaded on first use, so that ``import labkit`` costs milliseconds and imports no TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.serving import GrpcClient, ModelServer, RestClient, serve

__version__ = "0.1.0"
__all__ = ["GrpcClient", "ModelServer", "RestClient", "serve"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("labkit.serving"), name)
    raise AttributeError(f"module 'labkit' has no attribute {name!r}; its public names are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
