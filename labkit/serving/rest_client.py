"""A client for TensorFlow Serving's REST API, whichever server speaks it.

It does what the labs first write out in plain `requests`: build the request, send it, and turn the answer into numpy
arrays, and an error into a `RequestError` with its status.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import requests

from labkit.errors import RequestError
from labkit.serving.version_status import VersionStatus, one_version

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
        inputs: Any,
        *,
        form: str = "row",
        signature_name: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> Any:
        """Ask the model: an array for one output, a dict of arrays by name for several.

        Args:
            inputs: an array, or a dict of arrays by input name; the first dimension is the batch.
            form: ``row`` sends ``instances`` and gets ``predictions``, ``columnar`` sends ``inputs`` and gets
                ``outputs``.
            signature_name: the signature, by default ``serving_default``.
            version: the version, by default the newest.
            label: the name of a version in the server's configuration, in place of `version`.

        Raises:
            RequestError: the server refused, or could not be reached.
            ValueError: `form` is neither, the inputs of a row request have no common batch size, or both `version` and
                `label` are given.
        """
        if form not in ("row", "columnar"):
            raise ValueError(f"form is 'row' or 'columnar', got {form!r}")
        body = {"instances": _rows(inputs)} if form == "row" else {"inputs": _columns(inputs)}
        if signature_name is not None:
            body["signature_name"] = signature_name
        answer = self._json("POST", self._path(version, label) + ":predict", _encode(body))
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

    def metadata(self, version: int | None = None, label: str | None = None) -> dict[str, Any]:
        """The server's metadata answer: `model_spec`, and under `metadata` the signatures.

        Raises:
            RequestError: the model is not served, or the server could not be reached.
        """
        return self._json("GET", self._path(version, label) + "/metadata")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> "RestClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _path(self, version: int | None, label: str | None = None) -> str:
        one_version(version, label)
        path = f"{self.url}/v1/models/{_quoted(self.model_name)}"
        if label is not None:
            return f"{path}/labels/{_quoted(label)}"
        return path if version is None else f"{path}/versions/{version}"

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


def _quoted(name: str) -> str:
    return requests.utils.quote(name, safe="")


def _rows(inputs: Any) -> Any:
    if not isinstance(inputs, Mapping):
        return _plain(inputs)
    columns = {name: _plain(value) for name, value in inputs.items()}
    if scalars := [name for name, column in columns.items() if not isinstance(column, list | np.ndarray)]:
        raise ValueError(f"Every input of a row request is a list with an element a row; {scalars} are not lists")
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"Every input of a row request needs the same number of rows, got {sizes}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns(inputs: Any) -> Any:
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
    text = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY, default=_not_json)
    # orjson writes NaN and infinities as null; TensorFlow Serving reads them as bare words, as Python's json has them.
    return json.dumps(body, default=_not_json).encode() if b"null" in text else text


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
