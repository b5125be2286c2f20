"""Clients that know what the answer has to be: every question differs, so an answer that was meant for another shows.

A client's `ask` returns `ANSWERED`, or in words what came instead.
"""

import http.client
import itertools
import json
from typing import Any

import grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from soak.target import Target

ANSWERED = "answered"
_FLOAT = 1
_numbers = itertools.count(1)


def _next_rows(count: int) -> list[float]:
    """Numbers that no other question has, for a day or so: all are whole and well below 2**24, so floats are exact."""
    first = next(_numbers) * count % 8_000_000
    return [float(first + row) for row in range(count)]


def float_tensor(request: PredictRequest, name: str, shape: list[int], values: bytes | list[float]) -> None:
    """Put an input into `request`: numbers, or the bytes of them."""
    tensor = request.inputs[name]
    tensor.dtype = _FLOAT
    for size in shape:
        tensor.tensor_shape.dim.add().size = size
    if isinstance(values, bytes):
        tensor.tensor_content = values
    else:
        tensor.float_val.extend(values)


class Client:
    """Asks `soak.models.Numbered` for predictions.

    Attributes:
        versions: the version that answered whenever it was another than before.
        deadline: seconds until a gRPC call gives up; None for never.
        pause: seconds between two questions.
    """

    deadline: float | None = 60.0
    pause: float = 0.0

    def __init__(self, target: Target, rows: int = 3) -> None:
        self.target = target
        self.versions: list[int] = []
        self._rows = rows

    def ask(self) -> str:
        """One question: `ANSWERED`, or what came instead."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave."""
        raise NotImplementedError

    def _judge(self, x: list[float], y: list[float], v: list[float], claimed: float | None) -> str:
        version = v[0] if v else -1.0
        if len(y) != len(x) or set(v) != {version} or [a - b for a, b in zip(y, x, strict=True)] != v:
            return f"mixed up: {x} became {y}, version {v}"
        if claimed is not None and claimed != version:
            return f"mixed up: version {version} answered as version {claimed}"
        if not self.versions or self.versions[-1] != version:
            self.versions.append(int(version))
        return ANSWERED


class RestClient(Client):
    """Over REST, on one connection for as long as it holds."""

    def __init__(self, target: Target, rows: int = 3) -> None:
        super().__init__(target, rows)
        self._connection = target.connection()
        self._path = f"/v1/models/{target.model}:predict"

    def ask(self) -> str:
        x = _next_rows(self._rows)
        try:
            status, answer = self._post({"instances": [[value] for value in x]})
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next question opens it again
            return f"connection: {type(error).__name__}"
        if status != 200:
            return f"{status}: {answer.get('error')}"
        rows = answer["predictions"]
        return self._judge(x, [row["y"][0] for row in rows], [row["v"][0] for row in rows], None)

    def _post(self, body: Any) -> tuple[int, Any]:
        self._connection.request("POST", self._path, json.dumps(body))
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def close(self) -> None:
        self._connection.close()


class GrpcClient(Client):
    """Over gRPC, on a channel of its own."""

    def __init__(self, target: Target, rows: int = 3) -> None:
        super().__init__(target, rows)
        self._channel = target.channel()
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def ask(self) -> str:
        x = _next_rows(self._rows)
        request = PredictRequest()
        request.model_spec.name = self.target.model
        float_tensor(request, "x", [len(x), 1], x)
        try:
            answer = self._stub.Predict(request, timeout=self.deadline)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        outputs = answer.outputs
        return self._judge(
            x, list(outputs["y"].float_val), list(outputs["v"].float_val), answer.model_spec.version.value
        )

    def close(self) -> None:
        self._channel.close()
