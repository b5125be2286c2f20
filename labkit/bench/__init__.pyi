from . import payload, results, wire
from .breakdown import phases
from .comparison import compare
from .distance import DistantServer
from .images import image_files
from .load import closed_loop, open_loop
from .message_size import predicted_bytes
from .relay import CountingRelay
from .targets import GrpcTarget, RestTarget

__all__ = [
    "CountingRelay",
    "DistantServer",
    "GrpcTarget",
    "RestTarget",
    "closed_loop",
    "compare",
    "image_files",
    "open_loop",
    "payload",
    "phases",
    "predicted_bytes",
    "results",
    "wire",
]
