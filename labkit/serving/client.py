"""Clients for anything that speaks TensorFlow Serving's protocols.

They do what the labs first write out in plain `requests` and `grpc`: build the request, send it, and turn the answer
into numpy arrays, and an error into a `RequestError` with its status.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import orjson
import requests

from labkit.errors import RequestError

Inputs = Any
"""An array-like for a signature with one input, or a mapping from input names to array-likes."""

_HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True)
class VersionStatus:
    """One version as the server reports it.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error_code: OK, or why it failed to load.
        error_message: the same in words.
    """

    version: int
    state: str
    error_code: str
    error_message: str


class RestClient:
    """TensorFlow Serving's REST API for one model. Keeps its connection open between calls; a context manager."""

    def __init__(self, url: str, model_name: str, *, timeout: float = 60.0) -> None:
        """Nothing is sent yet.

        Args:
            url: scheme, host and port, such as ``http://127.0.0.1:8501``.
            model_name: the model's name on that server.
            timeout: seconds to wait for an answer.
        """
        self.url = url.rstrip("/")
        self.model_name = model_name
        self.timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between a notebook and its own machine

    def predict(
        self,
        inputs: Inputs,
        *,
        form: str = "row",
        signature_name: str | None = None,
        version: int | None = None,
    ) -> Any:
        """Ask the model: an array for one output, a dict of arrays by name for several.

        Args:
            inputs: an array, or a dict of arrays by input name; the first dimension is the batch.
            form: ``row`` sends ``instances`` and gets ``predictions``, ``columnar`` sends ``inputs`` and gets
                ``outputs``.
            signature_name: the signature, by default ``serving_default``.
            version: the version, by default the newest.

        Raises:
            RequestError: the server refused, or could not be reached.
            ValueError: `form` is neither, or the inputs of a row request have no common batch size.
        """
        if form not in ("row", "columnar"):
            raise ValueError(f"form is 'row' or 'columnar', got {form!r}")
        body = {"instances": _rows(inputs)} if form == "row" else {"inputs": _columns(inputs)}
        if signature_name is not None:
            body["signature_name"] = signature_name
        answer = self._json("POST", self._path(version) + ":predict", _encode(body))
        if form == "columnar":
            return _arrays(answer["outputs"])
        predictions = answer["predictions"]
        if predictions and isinstance(predictions[0], dict) and predictions[0].keys() != {"b64"}:
            return {name: _array([row[name] for row in predictions]) for name in predictions[0]}
        return _array(predictions)

    def status(self, version: int | None = None) -> list[VersionStatus]:
        """The state of the model's versions, newest first.

        Raises:
            RequestError: the server has no such model or version, or could not be reached.
        """
        answer = self._json("GET", self._path(version))
        return [
            VersionStatus(
                int(entry["version"]), entry["state"], entry["status"]["error_code"], entry["status"]["error_message"]
            )
            for entry in answer["model_version_status"]
        ]

    def metadata(self, version: int | None = None) -> dict[str, Any]:
        """The server's metadata answer: `model_spec`, and under `metadata` the signatures.

        Raises:
            RequestError: the model is not served, or the server could not be reached.
        """
        return self._json("GET", self._path(version) + "/metadata")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> "RestClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _path(self, version: int | None) -> str:
        name = requests.utils.quote(self.model_name, safe="")
        return f"{self.url}/v1/models/{name}" + ("" if version is None else f"/versions/{version}")

    def _json(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            response = self._session.request(method, url, data=body, headers=headers, timeout=self.timeout)
        except requests.Timeout as error:
            raise RequestError("DEADLINE_EXCEEDED", f"No answer from {self.url} after {self.timeout:g} s") from error
        except requests.ConnectionError as error:
            raise RequestError("UNAVAILABLE", f"No server answers at {self.url}: {error}") from error
        if response.status_code != 200:
            code = _HTTP_CODES.get(response.status_code, "UNKNOWN")
            raise RequestError(code, _error_text(response), response.status_code)
        return json.loads(response.content.decode("utf-8", "surrogateescape"))


class GrpcClient:
    """TensorFlow Serving's gRPC API for one model. A context manager; `close` ends its channel."""

    def __init__(self, address: str, model_name: str, *, timeout: float = 60.0) -> None:
        """Nothing is sent yet; messages of any size pass (gRPC's own limit would be 4 MiB).

        Args:
            address: host and port, such as ``127.0.0.1:8500``.
            model_name: the model's name on that server.
            timeout: seconds until a call gives up; the server stops its run then, too.
        """
        self.address = address
        self.model_name = model_name
        self.timeout = timeout
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=[*unlimited, ("grpc.enable_http_proxy", 0)])

    def predict(self, inputs: Inputs, *, signature_name: str | None = None, version: int | None = None) -> Any:
        """Ask the model: an array for one output, a dict of arrays by name for several.

        Args:
            inputs: a dict of numpy arrays by input name, sent as they are. For one array without a name, or plain
                lists, the server is first asked for the signature's names and types.
            signature_name: the signature, by default ``serving_default``.
            version: the version, by default the newest.

        Raises:
            RequestError: the server refused, or could not be reached.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._address(request.model_spec, version)
        request.model_spec.signature_name = signature_name or ""
        for name, array in self._named_arrays(inputs, signature_name, version).items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._call("PredictionService/Predict", request, predict_pb2.PredictResponse)
        arrays = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
        return next(iter(arrays.values())) if len(arrays) == 1 else arrays

    def status(self, version: int | None = None) -> list[VersionStatus]:
        """The state of the model's versions, newest first.

        Raises:
            RequestError: the server has no such model or version, or could not be reached.
        """
        from tensorflow_serving.apis import get_model_status_pb2 as pb2

        request = pb2.GetModelStatusRequest()
        self._address(request.model_spec, version)
        response = self._call("ModelService/GetModelStatus", request, pb2.GetModelStatusResponse)
        codes = {status.value[0]: status.name for status in grpc.StatusCode}
        return [
            VersionStatus(
                entry.version,
                pb2.ModelVersionStatus.State.Name(entry.state),
                codes[entry.status.error_code],
                entry.status.error_message,
            )
            for entry in response.model_version_status
        ]

    def metadata(self, version: int | None = None) -> dict[str, Any]:
        """The signatures by name, each a SignatureDef message.

        Raises:
            RequestError: the model is not served, or the server could not be reached.
        """
        from tensorflow_serving.apis import get_model_metadata_pb2 as pb2

        request = pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request.model_spec, version)
        response = self._call("PredictionService/GetModelMetadata", request, pb2.GetModelMetadataResponse)
        signatures = pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return dict(signatures.signature_def)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> "GrpcClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _address(self, model_spec: Any, version: int | None) -> None:
        model_spec.name = self.model_name
        if version is not None:
            model_spec.version.value = version

    def _named_arrays(self, inputs: Inputs, signature_name: str | None, version: int | None) -> dict[str, np.ndarray]:
        """Arrays by input name. What is no array yet takes the type that the signature declares."""
        if isinstance(inputs, Mapping) and all(isinstance(value, np.ndarray) for value in inputs.values()):
            return dict(inputs)
        import tensorflow as tf

        signatures = self.metadata(version)
        signature_name = signature_name or "serving_default"
        if signature_name not in signatures:
            raise RequestError("FAILED_PRECONDITION", f'Serving signature key "{signature_name}" not found.')
        declared = signatures[signature_name].inputs
        if not isinstance(inputs, Mapping):
            if len(declared) != 1:
                raise ValueError(
                    f"Signature {signature_name} has the inputs {sorted(declared)}: pass a dict with an array for each."
                )
            inputs = dict.fromkeys(declared, inputs)
        types = {name: tf.dtypes.as_dtype(info.dtype).as_numpy_dtype for name, info in declared.items()}
        return {
            name: value if isinstance(value, np.ndarray) else np.array(value, types.get(name))
            for name, value in inputs.items()
        }

    def _call(self, method: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            f"/tensorflow.serving.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise RequestError(error.code().name, error.details() or "") from error


def _rows(inputs: Inputs) -> Any:
    if not isinstance(inputs, Mapping):
        return _plain(inputs)
    columns = {name: _plain(value) for name, value in inputs.items()}
    if scalars := [name for name, column in columns.items() if not isinstance(column, list | np.ndarray)]:
        raise ValueError(f"Every input of a row request is a list with an element a row; {scalars} are not lists")
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"Every input of a row request needs the same number of rows, got {sizes}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns(inputs: Inputs) -> Any:
    return {name: _plain(value) for name, value in inputs.items()} if isinstance(inputs, Mapping) else _plain(inputs)


def _plain(value: Any) -> Any:
    """What JSON can carry of an array-like; bytes become ``{"b64": ...}``."""
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind not in "SOU":
        return np.ascontiguousarray(value)
    return _with_base64(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)


def _with_base64(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_with_base64(element) for element in value]
    if isinstance(value, bytes):
        return {"b64": b64encode(value).decode()}
    return value


def _encode(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY, default=_not_json)


def _not_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"JSON cannot carry a {type(value).__name__}")


def _arrays(outputs: Any) -> Any:
    if isinstance(outputs, dict) and outputs.keys() != {"b64"}:
        return {name: _array(value) for name, value in outputs.items()}
    return _array(outputs)


def _array(values: Any) -> np.ndarray:
    def decoded(value: Any) -> Any:
        if isinstance(value, list):
            return [decoded(element) for element in value]
        return b64decode(value["b64"]) if isinstance(value, dict) else value

    array = np.array(values)
    return np.array(decoded(values), object) if array.dtype.kind == "O" else array


def _error_text(response: requests.Response) -> str:
    try:
        return response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
