"""Measure what a request costs: bytes on the wire, latency, throughput, and where the time goes.

    from labkit import bench

    rest = bench.RestTarget(f"{server.rest_url}/v1/models/penguins:predict")
    bench.closed_loop(rest, {"x": batch}, clients=8).latency(99)

`bench.payload` has the ways to write a batch, `bench.wire` says what the bytes on a connection are, `bench.results`
saves what was measured and loads it again. The public names are loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
