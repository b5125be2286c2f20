from .placement import Placement, place
from .trace import Event, Trace, record

__all__ = ["Event", "Placement", "Trace", "place", "record"]
