"""The size of a PredictRequest from protocol buffers' rules, without making one."""

import numpy as np

from labkit.bench.inputs import Inputs, encoded_strings, named_arrays
from labkit.serving.embedded import dtypes

_TWO_BYTE_TAGS = ("uint32_val", "uint64_val")  # fields 16 and 17; a tag of one byte holds numbers up to 15


def predicted_bytes(inputs: Inputs, model_name: str, *, content: bool = True, signature_name: str | None = None) -> int:
    """The size of the PredictRequest that `payload.tensor_content`, or `payload.tensor_fields`, writes, to the byte.

    A field is a tag, here mostly of one byte, and a value. Text, messages and lists of numbers have their length in
    front. Lengths and whole numbers are varints, a byte for every seven bits; a negative number always takes ten.
    Fields without a value are left out. https://protobuf.dev/programming-guides/encoding/ has the rules.

    Args:
        inputs: the batch.
        model_name: the model's name.
        content: with `tensor_content`, or else with typed fields.
        signature_name: the signature; None leaves it out.

    Raises:
        ValueError: no message can carry the inputs.
    """
    size = _with_length(sum(_with_length(len(name.encode())) for name in (model_name, signature_name) if name))
    for name, array in named_arrays(inputs).items():
        size += _with_length(_with_length(len(name.encode())) + _with_length(_tensor(array, content)))
    return size


def _with_length(length: int) -> int:
    """A field with `length` bytes of value: tag, length, value."""
    return 1 + _varint(length) + length


def _varint(number: int) -> int:
    return max(1, -(-number.bit_length() // 7))


def _tensor(array: np.ndarray, content: bool) -> int:
    dtype = 2  # a tag, and a number under 128
    dimensions = [1 + _varint(length) if length else 0 for length in array.shape]
    shape = _with_length(sum(map(_with_length, dimensions))) if dimensions else 0
    return dtype + shape + (_values(array, content) if array.size else 0)


def _values(array: np.ndarray, content: bool) -> int:
    data_type = dtypes.of(array)
    if data_type.number == dtypes.STRING:
        return sum(_with_length(len(value)) for value in encoded_strings(array).flat)
    if content:
        return _with_length(array.nbytes)
    more_tag = 1 if data_type.field in _TWO_BYTE_TAGS else 0
    fixed_width = array.dtype.kind in "fc" and data_type.field != "half_val"
    return _with_length(array.nbytes if fixed_width else _varints(array)) + more_tag


def _varints(array: np.ndarray) -> int:
    """The bytes of all numbers as varints. Negative ones are extended to 64 bits, half floats are their bits."""
    if array.dtype.itemsize == 2 and array.dtype.kind not in "iu":
        array = np.ascontiguousarray(array).view(np.uint16)
    values = array if array.dtype == np.uint64 else array.astype(np.int64).view(np.uint64)
    return array.size + sum(int(np.count_nonzero(values >= np.uint64(1 << bits))) for bits in range(7, 64, 7))
