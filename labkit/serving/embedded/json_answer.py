"""REST answers: tensors to JSON text, number by number as TensorFlow Serving writes them (util/json_tensor.cc).

A float is the shorter of six digits and, where these would not give the same number back, nine (seventeen for a
double); a whole number keeps a ``.0``. NaN and infinities are bare words, which strict JSON does not have.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import orjson

from labkit.serving.embedded import dtypes
from labkit.serving.embedded.status import StatusError, invalid_argument

_INDENT = "    "
_FEW = 64
_SLICE = 16_384
_SINGLE = struct.Struct("f")
_POWERS = np.array([10.0**power for power in range(-4, 6)])


def predictions(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The answer to a request in row form: ``{"predictions": [...]}``, an element per row of the outputs.

    Raises:
        StatusError: INVALID_ARGUMENT, the outputs do not share their first dimension, or JSON cannot carry their type.
    """
    rows = _common_rows(outputs)
    if not rows:
        return b'{\n    "predictions": []\n}'
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        text = _one_line(iter(_texts(name, array)), array.shape)
        return _encoded(f'{{\n{_INDENT}"predictions": {text[:-1]}\n{_INDENT}]\n}}')
    columns = {name: iter(_texts(name, array)) for name, array in outputs.items()}
    objects = []
    for _ in range(rows):
        members = [
            f"{_INDENT * 3}{_quoted(name)}: {_one_line(texts, outputs[name].shape[1:])}"
            for name, texts in columns.items()
        ]
        objects.append(f"{_INDENT * 2}{{\n" + ",\n".join(members) + f"\n{_INDENT * 2}}}")
    return _encoded(f'{{\n{_INDENT}"predictions": [\n' + ",\n".join(objects) + f"\n{_INDENT}]\n}}")


def outputs(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The answer to a request in columnar form: ``{"outputs": ...}``, one tensor bare, several by name.

    Raises:
        StatusError: INVALID_ARGUMENT, JSON cannot carry their type.
    """
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        text = _many_lines(iter(_texts(name, array)), array.shape, 1)
    else:
        members = [
            f"{_INDENT * 2}{_quoted(name)}: {_many_lines(iter(_texts(name, array)), array.shape, 2)}"
            for name, array in arrays.items()
        ]
        text = "{\n" + ",\n".join(members) + f"\n{_INDENT}}}"
    return _encoded(f'{{\n{_INDENT}"outputs": {text}\n}}')


def classifications(labels: list[list[bytes]], scores: list[list[float]]) -> bytes:
    """The answer to a classify request: ``{"results": [[["label", score], ...], ...]}``, a list for each example.

    Args:
        labels: the labels of each example's classes.
        scores: their scores, single-precision numbers.
    """
    names = [[_quoted(label.decode("utf-8", "surrogateescape")) for label in row] for row in labels]
    numbers = iter(_float_texts(np.array(scores, np.float32).reshape(-1)))
    rows = ["[" + ", ".join([f"[{name}, {next(numbers)}]" for name in row]) + "]" for row in names]
    return _encoded(f'{{\n{_INDENT}"results": [{", ".join(rows)}\n{_INDENT}]\n}}')


def regressions(values: np.ndarray) -> bytes:
    """The answer to a regress request: ``{"results": [value, ...]}``, for `values` of shape [n]."""
    return _encoded(f'{{\n{_INDENT}"results": [{", ".join(_float_texts(values))}]\n}}')


def document(value: Any, indent: int = 4) -> bytes:
    """Any other answer: an error, a status, metadata. Bytes of a request that it quotes are replaced if not UTF-8."""
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "replace")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # bytes that are not UTF-8 leave as they came


def _common_rows(outputs: Mapping[str, np.ndarray]) -> int:
    rows = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if rows is not None and len(array) != rows:
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}")
        rows = len(array)
    return rows or 0


def _one_line(texts: Iterator[str], shape: tuple[int, ...]) -> str:
    """A nested list on one line."""
    if not shape:
        return next(texts)
    if len(shape) == 1:
        return "[" + ", ".join(islice(texts, shape[0])) + "]"
    return "[" + ", ".join([_one_line(texts, shape[1:]) for _ in range(shape[0])]) + "]"


def _many_lines(texts: Iterator[str], shape: tuple[int, ...], level: int) -> str:
    """A nested list with every element on a line of its own."""
    if not shape:
        return next(texts)
    if not shape[0]:
        return "[]"
    start = f"\n{_INDENT * (level + 1)}"
    inside = ",".join([start + _many_lines(texts, shape[1:], level + 1) for _ in range(shape[0])])
    return f"[{inside}\n{_INDENT * level}]"


def _texts(name: str, array: np.ndarray) -> list[str]:
    """Every element of `array` as JSON text, in order."""
    data_type = dtypes.of(array)
    flat = array.reshape(-1)
    if data_type.number == dtypes.STRING:
        return [_string(name, value) for value in flat]
    if data_type.name in ("float", "double"):
        return _float_texts(flat)
    if data_type.name == "bool":
        return ["true" if value else "false" for value in flat.tolist()]
    if flat.dtype.kind in "iu" and data_type.name != "uint16":
        return list(map(str, flat.tolist()))
    raise _not_json(data_type)


def _not_json(data_type: dtypes.DataType) -> StatusError:
    return invalid_argument(f"Failed to write JSON value for tensor type: {data_type.name}")


def _float_texts(flat: np.ndarray) -> list[str]:
    texts: list[str] = []
    for start in range(0, flat.size, _SLICE):  # not all in one call, which would let no other thread run meanwhile
        texts += _slice_texts(flat[start : start + _SLICE])
    return texts


def _slice_texts(flat: np.ndarray) -> list[str]:
    if flat.dtype != np.float32 or flat.size <= _FEW:  # numpy's preparations cost more than a few numbers do
        return _each_text(flat)
    with np.errstate(invalid="ignore"):  # a NaN of the kind that signals
        numbers = flat.astype(np.float64)
    size = np.abs(numbers)
    plain = (size >= _POWERS[0]) & (size < 999_999) | (numbers == 0)
    listed = orjson.dumps(_decimals(np.where(plain, numbers, 0.0)), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    texts = listed[1:-1].split(",")
    for place, text in zip(np.flatnonzero(~plain).tolist(), _each_text(flat[~plain]), strict=True):
        texts[place] = text
    return texts


def _decimals(numbers: np.ndarray) -> np.ndarray:
    """Of singles between 0.0001 and 999,999, the doubles whose shortest digits are the six, or nine, to be written.

    The products have at most 52 bits, so nothing is rounded but what is meant to be.
    """
    exponents = np.searchsorted(_POWERS, np.abs(numbers), side="right") - 5
    scale = 10.0 ** (5 - np.maximum(exponents, -4))
    six = np.rint(numbers * scale) / scale
    scale *= 1000
    nine = np.rint(numbers * scale) / scale
    return np.where(six.astype(np.float32) == numbers.astype(np.float32), six, nine)


def _each_text(flat: np.ndarray) -> list[str]:
    values, single = flat.tolist(), flat.dtype == np.float32
    shorts = [f"{value:.6g}" for value in values]
    read_back = list(map(float, shorts))
    if single and flat.size <= _FEW:
        same = [_as_single(number) == value for number, value in zip(read_back, values, strict=True)]
    else:
        same = (np.array(read_back, np.float64).astype(flat.dtype) == flat).tolist()
    digits = ".9g" if single else ".17g"
    return [
        _as_float(short if exact else format(value, digits))
        for short, exact, value in zip(shorts, same, values, strict=True)
    ]


def _as_single(value: float) -> float:
    return _SINGLE.unpack(_SINGLE.pack(value))[0]


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _as_float(text: str) -> str:
    if "." in text or "e" in text:
        return text
    return _NOT_FINITE.get(text) or text + ".0"


def _string(name: str, value: bytes) -> str:
    if name.endswith("_bytes"):
        return f'{{ "b64": "{base64.b64encode(value).decode()}" }}'
    return _quoted(value.decode("utf-8", "surrogateescape"))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
