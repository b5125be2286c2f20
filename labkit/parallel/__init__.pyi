from .compression import TopK, to_float16, wire_bytes
from .history import History, Recorder
from .parameter_servers import ParameterServers, serve
from .rules import drop_over, keep_all, scale_down
from .training import train

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
