"""Clients of every kind for one server: predictions large and small, other calls, wrong ones, operators, leavers."""

import itertools
import json
from pathlib import Path

import grpc
import numpy as np
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.apis import model_service_pb2_grpc as model_service
from tensorflow_serving.apis import prediction_service_pb2_grpc as prediction_service

from soak.models import Numbered
from soak.questions import ANSWERED, Client, GrpcClient, RestClient, float_tensor
from soak.swaps import Operator
from soak.target import Target
from soak.vanishing import VANISHING

_CLASSIFY = {"signature_name": "classify"}
_LARGE_ROWS = 20_000
_PACE = 0.02  # of clients that ask for predictions: a busy server, and a machine on which others can work, too


class OtherRestCalls(RestClient):
    """Status, metadata and classify; and requests that have to be refused, each with its status."""

    def ask(self) -> str:
        for method, path, body, wanted in self._requests():
            self._connection.request(method, f"/v1/models{path}", body)
            response = self._connection.getresponse()
            response.read()
            if response.status != wanted:
                return f"{method} {path} {body!r} is answered with {response.status} instead of {wanted}"
        return ANSWERED

    def _requests(self) -> list[tuple[str, str, str | None, int]]:
        name = f"/{self.target.model}"
        return [
            ("GET", name, None, 200),
            ("GET", f"{name}/metadata", None, 200),
            ("POST", f"{name}:classify", json.dumps({**_CLASSIFY, "examples": [{"x": 1.5}, {"x": 2.5}]}), 200),
            ("POST", f"{name}:predict", '{"instances": [[1.0], [2.0, 3.0]]}', 400),
            ("POST", f"{name}:predict", '{"instances": [', 400),
            ("POST", f"{name}:predict", json.dumps({"signature_name": "none", "instances": [[1.0]]}), 400),
            ("POST", f"{name}:classify", json.dumps({**_CLASSIFY, "examples": [{"y": 1.5}]}), 400),
            ("POST", "/nobody:predict", '{"instances": [[1.0]]}', 404),
            ("POST", f"{name}/versions/987654:predict", '{"instances": [[1.0]]}', 404),
            ("DELETE", name, None, 400),
        ]


class OtherGrpcCalls(GrpcClient):
    """The same over gRPC."""

    def ask(self) -> str:
        models = model_service.ModelServiceStub(self._channel)
        predictions = prediction_service.PredictionServiceStub(self._channel)
        calls = [
            (models.GetModelStatus, get_model_status_pb2.GetModelStatusRequest(), "OK"),
            (predictions.GetModelMetadata, self._metadata_request(), "OK"),
            (predictions.Classify, self._classify_request(), "OK"),
            (predictions.Predict, predict_pb2.PredictRequest(), "INVALID_ARGUMENT"),  # no inputs
            (predictions.Predict, self._impossible_request(), "INVALID_ARGUMENT"),
        ]
        for call, request, wanted in calls:
            request.model_spec.name = self.target.model
            if (code := self._code(call, request)) != wanted:
                return f"{type(request).__name__} is answered with {code} instead of {wanted}"
        return ANSWERED

    def _code(self, call: grpc.UnaryUnaryMultiCallable, request: object) -> str:
        try:
            call(request, timeout=self.deadline)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    @staticmethod
    def _metadata_request() -> get_model_metadata_pb2.GetModelMetadataRequest:
        return get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])

    @staticmethod
    def _classify_request() -> classification_pb2.ClassificationRequest:
        request = classification_pb2.ClassificationRequest()
        request.model_spec.signature_name = "classify"
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(1.5)
        return request

    @staticmethod
    def _impossible_request() -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest()
        float_tensor(request, "x", [1 << 40], [1.0])
        return request


class LargeGrpcClient(GrpcClient):
    """One megabyte at a time, of which the sum is wanted."""

    def ask(self) -> str:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self.target.model, "total"
        float_tensor(request, "x", [1 << 18], np.full(1 << 18, 0.5, np.float32).tobytes())
        try:
            answer = self._stub.Predict(request, timeout=self.deadline)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        total = answer.outputs["y"].float_val[0]
        return ANSWERED if total == 1 << 17 else f"the sum is {total} instead of {1 << 17}"


class Leaver(Client):
    """Leaves in the middle, each time of something else."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._ways = itertools.cycle(VANISHING.values())

    def ask(self) -> str:
        next(self._ways)(self.target)
        return ANSWERED

    def close(self) -> None:
        pass


class Releaser(Client):
    """Brings a new version each time and takes the old one away, through reloads of the configuration."""

    def __init__(self, target: Target, base: Path, model: Numbered) -> None:
        super().__init__(target)
        self._operator = Operator(target, base, model)
        self._newest = max(int(folder.name) for folder in base.iterdir())

    def ask(self) -> str:
        self._operator.swap(self._newest, self._newest + 1)
        self._newest += 1
        return ANSWERED

    def close(self) -> None:
        self._operator.close()


def clients(target: Target, base: Path, model: Numbered) -> list[Client]:
    """One or two of each kind, each at its own pace."""
    paced = {
        _PACE: [RestClient(target), RestClient(target), GrpcClient(target), GrpcClient(target)],
        10 * _PACE: [RestClient(target, _LARGE_ROWS), LargeGrpcClient(target)],
        5 * _PACE: [OtherRestCalls(target), OtherGrpcCalls(target)],
        0.5: [Leaver(target)],
        5.0: [Releaser(target, base, model)],
    }
    for pause, group in paced.items():
        for client in group:
            client.pause = pause
    return [client for group in paced.values() for client in group]
