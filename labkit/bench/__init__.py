"""Measure what a request costs: bytes on the wire, latency, throughput, and where the time goes.

    from labkit import bench

    rest = bench.RestTarget(f"{server.rest_url}/v1/models/penguins:predict")
    bench.closed_loop(rest, {"x": batch}, clients=8).latency(99)

`bench.payload` has the ways to write a batch, `bench.wire` says what the bytes on a connection are, `bench.results`
saves what was measured and loads it again. The public names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.bench import payload, results, wire
    from labkit.bench.breakdown import phases
    from labkit.bench.comparison import compare
    from labkit.bench.distance import DistantServer
    from labkit.bench.images import image_files
    from labkit.bench.load import closed_loop, open_loop
    from labkit.bench.message_size import predicted_bytes
    from labkit.bench.relay import CountingRelay
    from labkit.bench.targets import GrpcTarget, RestTarget

_HOMES = {
    "CountingRelay": "relay",
    "DistantServer": "distance",
    "GrpcTarget": "targets",
    "RestTarget": "targets",
    "closed_loop": "load",
    "compare": "comparison",
    "image_files": "images",
    "open_loop": "load",
    "phases": "breakdown",
    "predicted_bytes": "message_size",
}
_MODULES = ("payload", "results", "wire")
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


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"labkit.bench.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"labkit.bench.{name}")
    raise AttributeError(f"module 'labkit.bench' has no attribute {name!r}; its public names are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
