"""What TensorFlow's threads do: each setting measured in a process of its own, and set against Amdahl's law.

The public names are loaded on first use, so that importing this costs milliseconds and imports no TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.threads.measurements import Measurement, Measurements
    from labkit.threads.measuring import measure
    from labkit.threads.speedup import amdahl, fit_parallel_share, speedup_picture

_MODULES = {
    "Measurement": "measurements",
    "Measurements": "measurements",
    "amdahl": "speedup",
    "fit_parallel_share": "speedup",
    "measure": "measuring",
    "speedup_picture": "speedup",
}
__all__ = ["Measurement", "Measurements", "amdahl", "fit_parallel_share", "measure", "speedup_picture"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"labkit.threads.{_MODULES[name]}"), name)
    raise AttributeError(
        f"module 'labkit.threads' has no attribute {name!r}; its public names are {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
