"""Where TensorFlow runs something: which device, which thread, when, and what it needs there.

The public names are loaded on first use, so that importing this costs milliseconds and imports no TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.devices.placement import Placement, place
    from labkit.devices.trace import Event, Trace, record

_MODULES = {
    "Event": "trace",
    "Placement": "placement",
    "Trace": "trace",
    "place": "placement",
    "record": "trace",
}
__all__ = ["Event", "Placement", "Trace", "place", "record"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"labkit.devices.{_MODULES[name]}"), name)
    raise AttributeError(
        f"module 'labkit.devices' has no attribute {name!r}; its public names are {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
