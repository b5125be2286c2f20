"""The cloud in one call: a local `googleapis.com` for Google's own SDK, or the real one where a project is named.

Loaded on first use: the local cloud's process lives in this package too and must not import the session's side.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.cloud.session import Cloud, cloud

__all__ = ["Cloud", "cloud"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("labkit.cloud.session"), name)
    raise AttributeError(f"module 'labkit.cloud' has no attribute {name!r}; its public names are {', '.join(__all__)}")
