"""The bodies of TensorFlow Serving's REST API: numpy arrays to JSON, and its answers back to numpy arrays."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from labkit.errors import RequestError

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


def predict_body(inputs: Any, *, form: str = "row", signature_name: str | None = None) -> bytes:
    """The body of a ``:predict`` request; numbers have the fewest digits that their type can be read back from.

    Args:
        inputs: an array, or a dict of arrays by input name; the first dimension is the batch.
        form: ``row`` writes ``instances``, ``columnar`` writes ``inputs``.
        signature_name: the signature; None leaves it out.

    Raises:
        ValueError: `form` is neither, or the inputs of a row request have no common batch size.
        TypeError: JSON cannot carry an input.
    """
    if form not in ("row", "columnar"):
        raise ValueError(f"form is 'row' or 'columnar', got {form!r}")
    body = {"instances": _rows(inputs)} if form == "row" else {"inputs": _columns(inputs)}
    if signature_name is not None:
        body["signature_name"] = signature_name
    return _encode(body)


def predict_answer(content: bytes) -> Any:
    """What the answer to a ``:predict`` request holds: an array for one output, a dict of arrays by name for several.

    Raises:
        KeyError: it holds neither ``predictions`` nor ``outputs``.
        ValueError: it is not JSON.
    """
    answer = json_object(content)
    if "outputs" in answer:
        return _arrays(answer["outputs"])
    predictions = answer["predictions"]
    if predictions and isinstance(predictions[0], dict) and predictions[0].keys() != {"b64"}:
        return {name: _array([row[name] for row in predictions]) for name in predictions[0]}
    return _array(predictions)


def json_object(content: bytes) -> dict[str, Any]:
    """The JSON object in an answer; bare ``NaN`` and ``Infinity`` are numbers, and text need not be UTF-8.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(content)  # twice as fast, and stricter
    except orjson.JSONDecodeError:
        return json.loads(content.decode("utf-8", "surrogateescape"))


def request_error(status: int, content: bytes) -> RequestError:
    """What an answer with another HTTP status than 200 says."""
    try:
        message = json_object(content)["error"]
    except (ValueError, KeyError, TypeError):
        message = content[:500].decode("utf-8", "replace")
    return RequestError(_HTTP_CODES.get(status, "UNKNOWN"), str(message), status)


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
    return json.dumps(body, default=_not_json).encode() if b"null" in text and not _finite(body) else text


def _finite(body: dict[str, Any]) -> bool:
    try:
        json.dumps(body, default=_not_json, allow_nan=False)
    except ValueError:
        return False
    return True


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
