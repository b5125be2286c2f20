"""REST predict: the ``instances`` or ``inputs`` of a request as tensors.

The rules and messages are TensorFlow Serving's (util/json_tensor.cc). A request of plain numbers takes a short way
through simdjson, which accepts only what is certainly right; everything else, errors above all, takes the long one.
"""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from labkit.serving.embedded import dtypes
from labkit.serving.embedded.json_document import shown, to_bytes, type_name
from labkit.serving.embedded.status import Code, StatusError, invalid_argument

InputTypes = Mapping[str, int]
"""The number of the data type of each of a signature's inputs, by name."""

_INT64, _UINT64 = range(-(1 << 63), 1 << 63), range(1 << 64)
_INTEGERS = {
    **dict.fromkeys(("int8", "int16", "int32", "uint8"), range(-(1 << 31), 1 << 31)),
    "int64": _INT64,
    "uint32": range(1 << 32),
    "uint64": _UINT64,
}
_MOST_DIMENSIONS = 63  # numpy has 64 (TensorFlow 254), and rows add one


def tensors(request: dict[str, Any], inputs: InputTypes) -> tuple[dict[str, np.ndarray], bool]:
    """The input tensors of a parsed predict request, and whether it was in row form.

    Args:
        request: the request's JSON object.
        inputs: the types of the signature's inputs.

    Raises:
        StatusError: INVALID_ARGUMENT, or UNIMPLEMENTED for a type that JSON cannot carry.
    """
    if "instances" in request and "inputs" in request:
        raise invalid_argument(
            f"JSON Value: {shown(request)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
            "to exist "
        )
    if "instances" in request:
        rows = request["instances"]
        if not isinstance(rows, list):
            raise invalid_argument(f"JSON Value: {shown(request)} Expecting 'instances' to be an list/array")
        if not rows:
            raise invalid_argument(f"JSON Value: {shown(request)} No values in 'instances' array")
        return _rows(rows, inputs), True
    if "inputs" in request:
        return _columns(request["inputs"], inputs), False
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def is_base64(value: Any) -> bool:
    """Whether `value` stands for bytes: an object with the one key ``b64``, and a string there."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _columns(value: Any, inputs: InputTypes) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or is_base64(value):
        if len(inputs) != 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        (name,) = inputs
        value = {name: value}
    arrays = {}
    for name, number in inputs.items():
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = _tensor(value[name], _shape(value[name]), dtypes.for_messages(number))
    return arrays


def _rows(rows: list[Any], inputs: InputTypes) -> dict[str, np.ndarray]:
    """The tensors of all rows; what is wrong is said of the first row that is wrong."""
    if _is_object(rows[0]):
        return _object_rows(rows, inputs)
    if len(inputs) != 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    ((name, number),) = inputs.items()
    column = _Column(number)
    for index, row in enumerate(rows):
        if _is_object(row):
            raise invalid_argument(f"Expecting value/list but got object at item {index} of input list")
        column.add(row, f"element: {index}")
    return {name: column.array()}


def _object_rows(rows: list[Any], inputs: InputTypes) -> dict[str, np.ndarray]:
    columns = {name: _Column(number) for name, number in inputs.items()}
    for index, row in enumerate(rows):
        if not _is_object(row):
            raise invalid_argument(f"Expecting object but got list at item {index} of input list")
        for key, value in row.items():
            if key not in columns:
                raise invalid_argument(
                    f"Failed to process element: {index} key: {key} of 'instances' list. Error: INVALID_ARGUMENT: JSON "
                    f"object: does not have named input: {key}"
                )
            columns[key].add(value, f"element: {index} key: {key}")
        if len(row) != len(inputs):
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. JSON object: {shown(row)} keys must be equal "
                f"to: {','.join(sorted(inputs))}"
            )
    return {name: column.array() for name, column in columns.items()}


def _is_object(row: Any) -> bool:
    return isinstance(row, dict) and not is_base64(row)


class _Column:
    """The values of one input, row by row; all must have the shape of the first."""

    def __init__(self, number: int) -> None:
        self._type = dtypes.for_messages(number)
        self._values: list[Any] = []
        self._shape: tuple[int, ...] = ()

    def add(self, value: Any, place: str) -> None:
        """Add the value of the next row, which errors call `place`."""
        try:
            self._check(value)
        except StatusError as error:
            raise invalid_argument(
                f"Failed to process {place} of 'instances' list. Error: {error.code.name}: {error.message}"
            ) from None
        self._values.append(value)

    def _check(self, value: Any) -> None:
        shape = _shape(value)
        _check_levels(value, shape, 0, self._type)
        if not self._values:
            self._shape = shape
        elif math.prod(shape) != math.prod(self._shape):
            raise invalid_argument(f"Expecting tensor size: {math.prod(self._shape)} but got: {math.prod(shape)}")
        elif shape != self._shape:
            raise invalid_argument(f"Expecting shape {_brackets(self._shape)} but got: {_brackets(shape)}")

    def array(self) -> np.ndarray:
        """All of them as one tensor."""
        return _fill(self._values, (len(self._values), *self._shape), self._type)


def _brackets(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _shape(value: Any) -> tuple[int, ...]:
    """The shape that the first elements of a nested list suggest."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _MOST_DIMENSIONS:
            raise invalid_argument(f"Lists are nested more than {_MOST_DIMENSIONS} levels deep")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _tensor(value: Any, shape: tuple[int, ...], data_type: dtypes.DataType) -> np.ndarray:
    _check_levels(value, shape, 0, data_type)
    return _fill(value, shape, data_type)


def _check_levels(value: Any, shape: tuple[int, ...], level: int, data_type: dtypes.DataType) -> None:
    """Check that `value` is nested as `shape` says down to its leaves, and that these are of the type."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{len(shape)}"
            )
        _check_leaf(value, data_type)
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    if level == len(shape) - 1 and data_type.name in ("float", "double") and set(map(type, value)) <= {int, float}:
        return  # a list of nothing but numbers, the common case
    for element in value:
        _check_levels(element, shape, level + 1, data_type)


def _check_leaf(value: Any, data_type: dtypes.DataType) -> None:
    name = data_type.name
    if name in ("float", "double"):
        right = type(value) in (int, float)
    elif name in _INTEGERS:
        right = type(value) is int and value in _INTEGERS[name]
    elif name == "bool":
        right = isinstance(value, bool)
    elif name == "string":
        right = isinstance(value, str | dict)
    else:
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {name}")
    if not right:
        raise invalid_argument(f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: {name}")
    if name == "string":
        string_bytes(value)


def _fill(value: Any, shape: tuple[int, ...], data_type: dtypes.DataType) -> np.ndarray:
    """An array of already checked values."""
    if not data_type.field:  # an empty list has no value that the check could refuse
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {data_type.name}")
    if data_type.number == dtypes.STRING:
        array = np.empty(math.prod(shape), object)
        array[:] = [string_bytes(leaf) for leaf in _leaves(value)]
        return array.reshape(shape)
    if data_type.name in _INTEGERS:  # in two steps, so that numbers beyond the type wrap as they do in C++
        wide = np.uint64 if data_type.name == "uint64" else np.int64
        return np.array(value, wide).astype(data_type.numpy).reshape(shape)
    with np.errstate(over="ignore"):
        return np.array(value, np.float64).astype(data_type.numpy).reshape(shape)


def _leaves(value: Any) -> Any:
    if isinstance(value, list):
        for element in value:
            yield from _leaves(element)
    else:
        yield value


def string_bytes(value: str | dict[str, Any]) -> bytes:
    """The bytes that a JSON string or ``{"b64": "..."}`` stands for.

    Raises:
        StatusError: INVALID_ARGUMENT, an object of another form, or its text is not base64.
    """
    if isinstance(value, str):
        return to_bytes(value)
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    encoded = re.sub(rb"\s", b"", to_bytes(value["b64"])).rstrip(b"=")
    try:
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise invalid_argument("Unable to base64 decode") from None
