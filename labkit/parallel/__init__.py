"""Training on many devices and machines, with the parts in plain sight: parameter servers, staleness, compression.

The public names are loaded on first use, so that importing this costs milliseconds and imports no TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.parallel.compression import TopK, to_float16, wire_bytes
    from labkit.parallel.history import History, Recorder
    from labkit.parallel.parameter_servers import ParameterServers, serve
    from labkit.parallel.rules import drop_over, keep_all, scale_down
    from labkit.parallel.training import train

_MODULES = {
    "History": "history",
    "ParameterServers": "parameter_servers",
    "Recorder": "history",
    "TopK": "compression",
    "drop_over": "rules",
    "keep_all": "rules",
    "scale_down": "rules",
    "serve": "parameter_servers",
    "to_float16": "compression",
    "train": "training",
    "wire_bytes": "compression",
}
__all__ = [
    "History",
    "ParameterServers",
    "Recorder",
    "TopK",
    "drop_over",
    "keep_all",
    "scale_down",
    "serve",
    "to_float16",
    "train",
    "wire_bytes",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"labkit.parallel.{_MODULES[name]}"), name)
    raise AttributeError(
        f"module 'labkit.parallel' has no attribute {name!r}; its public names are {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
