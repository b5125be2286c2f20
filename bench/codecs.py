"""The check against theory: what the server takes to read and write a large request, beside bare libraries.

The bare codecs do the least that has to be done, in this process. REST: simdjson makes a float32 array of the body,
orjson writes the answer. gRPC: protobuf reads the message, numpy looks at its bytes, protobuf writes the answer. They
read another copy each time, as a server does: one that was read a moment ago is still in the processor's caches.
"""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import simdjson

from bench import report, servers
from bench.protocols import CONTENT, SHORTEST, targets
from bench.sizes import COLUMNS, ROWS, normal
from bench.turns import take_turns
from labkit.bench import server_metrics
from labkit.serving.embedded import dtypes

if TYPE_CHECKING:
    from labkit.bench.targets import Connection, Target

REST, GRPC = "codecs, REST", "codecs, gRPC"
SERVER, BARE = "the server", "the bare codecs"
_REQUESTS = {REST: 8, GRPC: 64}  # of one turn, a quarter of a second
_COPIES = 8


def measure_codecs(run: report.Run, work: Path, rounds: int) -> None:
    """Milliseconds of the server's decode and encode at 1000 x 784, and of the bare codecs."""
    inputs = {"x": normal(ROWS, COLUMNS)}
    with servers.alone(work / "large") as server:
        for case, target, bare in zip(
            (REST, GRPC), targets(server, (SHORTEST, CONTENT)), (_json, _protobuf), strict=True
        ):
            request = target.encode(inputs)
            with closing(target.connect()) as connection:
                answer = connection.send(request)
                codecs = bare(np.asarray(target.decode(answer), np.float32))
                sides = {
                    SERVER: partial(_of_server, server, target, connection, request, _REQUESTS[case]),
                    BARE: partial(_of_codecs, codecs, _copies(request), _REQUESTS[case]),
                }
                run.add(case, "ms", take_turns(sides, rounds))


def _copies(request: bytes) -> list[bytes]:
    return [bytes(bytearray(request)) for _ in range(_COPIES)]


def _of_server(server: servers.Server, target: "Target", connection: "Connection", request: bytes, count: int) -> float:
    protocol = target.form.protocol.upper()
    before = server_metrics.read(server.metrics_url, "m", protocol)
    for _ in range(count):
        connection.send(request)
    spent = server_metrics.read(server.metrics_url, "m", protocol).since(before)
    return 1000 * (spent.seconds["server decode"] + spent.seconds["server encode"]) / spent.requests


def _of_codecs(codecs: Callable[[bytes], bytes], requests: list[bytes], count: int) -> float:
    start = time.perf_counter()
    for request in islice(cycle(requests), count):
        codecs(request)
    return 1000 * (time.perf_counter() - start) / count


def _json(answer: np.ndarray) -> Callable[[bytes], bytes]:
    def codecs(request: bytes) -> bytes:
        numbers = simdjson.Parser().parse(request)["instances"].as_buffer(of_type="d")
        assert np.frombuffer(numbers).astype(np.float32).size == ROWS * COLUMNS
        return orjson.dumps({"predictions": answer}, option=orjson.OPT_SERIALIZE_NUMPY)

    return codecs


def _protobuf(answer: np.ndarray) -> Callable[[bytes], bytes]:
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

    response = PredictResponse()
    response.outputs["y"].dtype = dtypes.of(answer).number
    response.outputs["y"].float_val.extend(answer.ravel())

    def codecs(request: bytes) -> bytes:
        numbers = PredictRequest.FromString(request).inputs["x"].tensor_content
        assert np.frombuffer(numbers, np.float32).size == ROWS * COLUMNS
        return response.SerializeToString()

    return codecs
