"""The ways to write one batch as a request, so that their bytes can be compared.

The number 15.889988761234 is 120 bits of text, 32 as a float, 64 as a double. Add to that brackets, names, tags and
lengths: a request is mostly how it is written.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from labkit.bench.inputs import Inputs, encoded_strings, named_arrays
from labkit.serving import rest_messages
from labkit.serving.embedded import dtypes, tensor_proto

_GZIP_LEVEL = 6  # zlib's own default, and so gRPC's and most servers'
_MOST_DECIMALS = 17
_ALL_WHOLE = 2.0**53  # from here on a double has no decimals
_NOT_IN_JSON = ("half", "bfloat16", "uint16", "complex64", "complex128")  # TensorFlow Serving's JSON, that is


@dataclass(frozen=True)
class WireForm:
    """One way to write a batch as a request.

    Attributes:
        name: what tables and figures call it, such as ``JSON rows, shortest digits``.
        protocol: ``REST`` or ``gRPC``.
        write: the body of the HTTP request, or the serialized PredictRequest, not compressed; raises ValueError for
            inputs that this form cannot carry.
        exact: every bit of every number arrives at a reader that rounds as it should. TensorFlow Serving reads JSON
            with RapidJSON's fast rounding: the last bits of a double may be others there.
        gzip: `encode` compresses what `write` has written. (gRPC compresses by itself: give it what `write` writes.)
    """

    name: str
    protocol: str
    write: Callable[[Inputs], bytes]
    exact: bool
    gzip: bool = False

    def encode(self, inputs: Inputs) -> bytes:
        """The bytes that travel for the batch, without headers, and without gRPC's five bytes before a message.

        gRPC leaves a message as it is that gzip would not make smaller; over REST it is sent all the same.

        Raises:
            ValueError: this form cannot carry the inputs; the message says why.
        """
        written = self.write(inputs)
        if not self.gzip:
            return written
        compressed = gzip.compress(written, _GZIP_LEVEL, mtime=0)
        return written if self.protocol == "gRPC" and len(compressed) >= len(written) else compressed

    def compressed(self) -> "WireForm":
        """The same form with gzip. The same batch always gives the same bytes."""
        return self if self.gzip else replace(self, name=f"{self.name}, gzip", gzip=True)


@dataclass(frozen=True)
class Payload:
    """What a batch takes in one form.

    Attributes:
        name: the form's.
        protocol: the form's.
        bytes: what `WireForm.encode` gives.
        bytes_per_value: that, divided by the number of values in all inputs.
        exact: the form's.
    """

    name: str
    protocol: str
    bytes: int
    bytes_per_value: float
    exact: bool


def measure(inputs: Inputs, forms: Iterable[WireForm] | None = None) -> list[Payload]:
    """The size of a batch in each form.

    Args:
        inputs: the batch.
        forms: by default those of `all_forms` that can carry it.

    Raises:
        ValueError: there are no values in the batch, or one of the `forms` cannot carry it.
    """
    values = sum(array.size for array in named_arrays(inputs).values())
    if not values:
        raise ValueError(f"inputs hold no values, only the shapes {[a.shape for a in inputs.values()]}; pass some rows")
    payloads = []
    for form in all_forms() if forms is None else forms:
        try:
            size = len(form.encode(inputs))
        except ValueError:
            if forms is None:
                continue
            raise
        payloads.append(Payload(form.name, form.protocol, size, size / values, form.exact))
    return payloads


def all_forms(model_name: str = "model", *, signature_name: str | None = None) -> list[WireForm]:
    """Every form, first plain, then with gzip. `model_name` stands in gRPC's messages."""
    signature = {"signature_name": signature_name}
    plain = [
        json_rows("python", **signature),
        json_rows("shortest", **signature),
        json_rows(3, **signature),
        json_columns("python", **signature),
        json_columns("shortest", **signature),
        json_base64(**signature),
        tensor_fields(model_name, **signature),
        tensor_content(model_name, **signature),
    ]
    return plain + [form.compressed() for form in plain]


def json_rows(digits: str | int = "shortest", *, signature_name: str | None = None) -> WireForm:
    """REST's ``instances``: a list of rows; where there are several inputs, a list of objects that repeat their names.

    Args:
        digits: ``shortest`` writes the fewest from which the array's own type can be read back, without spaces.
            ``python`` is what `json.dumps` makes of `array.tolist()`, and so `requests.post(json=...)`: a float32
            takes the 17 digits of its double. A number rounds floats to so many decimals, and then is ``shortest``.
            With NaN or an infinity, ``shortest`` is written like ``python``. One float32 among four billion,
            7.038531e-26, is one bit off when its shortest digits are read by way of a double, as servers do.
        signature_name: the signature; None leaves it out.

    Raises:
        ValueError: there are no such `digits`.
    """
    return _json("row", digits, signature_name)


def json_columns(digits: str | int = "shortest", *, signature_name: str | None = None) -> WireForm:
    """REST's ``inputs``: each input's values in one list, each name once. The arguments are those of `json_rows`."""
    return _json("columnar", digits, signature_name)


def json_base64(*, signature_name: str | None = None) -> WireForm:
    """REST's ``instances`` with the raw bytes of a row, little-endian, in place of its numbers, as ``{"b64": ...}``.

    For a signature that takes strings and decodes them with `tf.io.decode_raw`. Text is not raw bytes: `json_rows`.
    """
    return WireForm("JSON rows, base64", "REST", partial(_write_base64, signature_name=signature_name), exact=True)


def tensor_fields(model_name: str, *, signature_name: str | None = None) -> WireForm:
    """gRPC's PredictRequest with each number an element of a typed field: ``float_val``, ``int64_val``, ..."""
    return _tensor("TensorProto, typed fields", False, model_name, signature_name)


def tensor_content(model_name: str, *, signature_name: str | None = None) -> WireForm:
    """gRPC's PredictRequest with each array's bytes as they lie in memory; strings have a typed field all the same."""
    return _tensor("TensorProto, tensor_content", True, model_name, signature_name)


def _json(form: str, digits: str | int, signature_name: str | None) -> WireForm:
    if digits == "shortest":
        named, write = "shortest digits", _write_shortest
    elif digits == "python":
        named, write = "Python's json", _write_python
    elif type(digits) is int and 0 <= digits <= _MOST_DECIMALS:
        named, write = f"{digits} decimal{'s' * (digits != 1)}", partial(_write_rounded, decimals=digits)
    else:
        raise ValueError(f"digits are 'shortest', 'python' or a number from 0 to {_MOST_DECIMALS}, got {digits!r}")
    name = f"JSON {'rows' if form == 'row' else 'columns'}, {named}"
    write = partial(write, form=form, signature_name=signature_name)
    return WireForm(name, "REST", write, exact=isinstance(digits, str))


def _write_shortest(inputs: Inputs, *, form: str, signature_name: str | None) -> bytes:
    return _body(_json_arrays(inputs, form), form, signature_name)


def _write_rounded(inputs: Inputs, *, decimals: int, form: str, signature_name: str | None) -> bytes:
    arrays = _json_arrays(inputs, form)
    if all(array.dtype.kind != "f" for array in arrays.values()):
        raise ValueError(f"nothing can be rounded in {_types(arrays)}; write it with digits='shortest'")
    return _body({name: _rounded(array, decimals) for name, array in arrays.items()}, form, signature_name)


def _rounded(array: np.ndarray, decimals: int) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    doubles = array.astype(np.float64)
    few = np.abs(doubles) < _ALL_WHOLE
    doubles[few] = np.round(doubles[few], decimals)
    return doubles.astype(array.dtype)


def _body(arrays: dict[str, np.ndarray], form: str, signature_name: str | None) -> bytes:
    given = next(iter(arrays.values())) if len(arrays) == 1 else arrays
    try:
        return rest_messages.predict_body(given, form=form, signature_name=signature_name)
    except TypeError as error:
        raise ValueError(f"JSON cannot carry this text: {error}") from error


def _write_python(inputs: Inputs, *, form: str, signature_name: str | None) -> bytes:
    columns: Any = {name: array.tolist() for name, array in _json_arrays(inputs, form).items()}
    if len(columns) == 1:
        (values,) = columns.values()
    elif form == "row":
        values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        values = columns
    body = {"instances" if form == "row" else "inputs": values}
    if signature_name is not None:
        body["signature_name"] = signature_name
    return json.dumps(body, default=_base64).encode()


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": b64encode(value).decode()}


def _write_base64(inputs: Inputs, *, signature_name: str | None) -> bytes:
    arrays = named_arrays(inputs)
    if text := [name for name, array in arrays.items() if array.dtype.kind == "O"]:
        raise ValueError(f"the inputs {text} are text, not numbers with raw bytes; json_rows writes bytes as base64")
    _check_rows(arrays)
    return _body({name: _raw_rows(array) for name, array in arrays.items()}, "row", signature_name)


def _raw_rows(array: np.ndarray) -> np.ndarray:
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    rows = np.empty(len(array), object)
    rows[:] = [row.tobytes() for row in little_endian]
    return rows


def _json_arrays(inputs: Inputs, form: str) -> dict[str, np.ndarray]:
    arrays = named_arrays(inputs)
    for name, array in arrays.items():
        if dtypes.of(array).name in _NOT_IN_JSON:
            raise ValueError(
                f"input {name!r} is {array.dtype}, which TensorFlow Serving does not read from JSON: "
                "send it over gRPC, or as another type"
            )
        if 0 in array.shape[:-1]:
            raise ValueError(f"input {name!r} has the shape {array.shape}, of which JSON's lists show no more than a 0")
    if form == "row":
        _check_rows(arrays)
    return arrays


def _check_rows(arrays: dict[str, np.ndarray]) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    firsts = {shape[:1] for shape in shapes.values()}
    if len(firsts) > 1 or firsts <= {(), (0,)}:
        raise ValueError(f"a request in rows needs one row or more, as many of each input; got the shapes {shapes}")


def _types(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name!r} ({array.dtype})" for name, array in arrays.items())


def _tensor(name: str, as_content: bool, model_name: str, signature_name: str | None) -> WireForm:
    _predict_request()  # TensorFlow is imported now, not while somebody takes the time of the first request
    write = partial(_write_tensor, as_content=as_content, model_name=model_name, signature_name=signature_name)
    return WireForm(name, "gRPC", write, exact=True)


def _predict_request() -> Any:
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    return PredictRequest()


def _write_tensor(inputs: Inputs, *, as_content: bool, model_name: str, signature_name: str | None) -> bytes:
    request = _predict_request()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature_name or ""
    for name, array in named_arrays(inputs).items():
        values = encoded_strings(array) if array.dtype.kind == "O" else array
        tensor_proto.fill(request.inputs[name], values, as_content=as_content)
    return request.SerializeToString(deterministic=True)  # the inputs in the order of their names
