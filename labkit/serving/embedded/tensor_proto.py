"""TensorProto to numpy array and back, by the rules of TensorFlow's C++ `Tensor::FromProto`.

Those differ from Python's `tf.make_ndarray`: too few values repeat the last one, too many are ignored, and integers
out of range wrap.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from labkit.serving.embedded import dtypes
from labkit.serving.embedded.status import StatusError, invalid_argument

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto

_MOST_DIMENSIONS = 64  # numpy's; TensorFlow has 254
_MOST_BYTES = 1 << 31  # nothing larger fits into one message
_MOST_REPEATED_BYTES = 1 << 28  # ours: a few bytes on the wire must not become gigabytes of memory
# Numbers with a fixed width lie in the message as they do in memory, so they are moved as one block.
_FIXED_WIDTH: dict[str, tuple[int, np.dtype]] = {"float_val": (5, np.dtype("<f4")), "double_val": (6, np.dtype("<f8"))}
_LENGTH_DELIMITED = 2
_WORTH_A_BLOCK = 64
_LONGEST_VARINT_SHIFT = 28  # lengths are 32-bit numbers
_STRING_BYTES = 256  # what a string counts for, with its object and the time to hand it over


def to_array(name: str, proto: "TensorProto") -> np.ndarray:
    """The values of `proto`, the input called `name`, as an array that may share memory with it.

    Raises:
        StatusError: INVALID_ARGUMENT `tensor parsing error`: an unknown type, an impossible shape, or content of the
            wrong length.
    """
    try:
        data_type = dtypes.data_type(proto.dtype)
    except StatusError as error:
        raise _parsing_error(name, f"data type number {proto.dtype} is not one that can be sent") from error
    shape = _shape(name, proto, data_type)
    if data_type.number == dtypes.STRING:
        return _strings(name, proto, shape)
    size = math.prod(shape)
    if content := proto.tensor_content:  # looked at once: every look copies the bytes
        if len(content) != size * data_type.numpy.itemsize:
            raise _parsing_error(
                name,
                f"tensor_content has {len(content)} bytes, a {data_type.name} tensor of shape {shape} "
                f"has {size * data_type.numpy.itemsize}",
            )
        return np.frombuffer(content, data_type.numpy).reshape(shape)
    return _filled(_typed_values(proto, data_type), size, data_type.numpy).reshape(shape)


def _shape(name: str, proto: "TensorProto", data_type: dtypes.DataType) -> tuple[int, ...]:
    shape = tuple([dim.size for dim in proto.tensor_shape.dim])
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise _parsing_error(name, "every dimension of its shape must be given")
    if len(shape) > _MOST_DIMENSIONS:
        raise _parsing_error(name, f"{len(shape)} dimensions, at most {_MOST_DIMENSIONS} are possible")
    size = math.prod([max(dim, 1) for dim in shape]) * _item_bytes(data_type)
    if size > _MOST_BYTES:
        raise _parsing_error(name, f"a {data_type.name} tensor of shape {list(shape)} is larger than 2 GiB")
    if size > _MOST_REPEATED_BYTES and size > 2 * proto.ByteSize():
        raise _parsing_error(name, f"far fewer values than its shape {list(shape)} has places for")
    return shape


def _item_bytes(data_type: dtypes.DataType) -> int:
    return _STRING_BYTES if data_type.number == dtypes.STRING else data_type.numpy.itemsize


def declared_bytes(protos: Iterable["TensorProto"]) -> int:
    """The memory that the tensors will take by their shapes; a short message may announce a large tensor."""
    return sum([math.prod([max(dim.size, 1) for dim in proto.tensor_shape.dim]) * 8 for proto in protos])


def _strings(name: str, proto: "TensorProto", shape: tuple[int, ...]) -> np.ndarray:
    size = math.prod(shape)
    values = list(proto.string_val)[:size]
    if proto.tensor_content:
        values = _packed_strings(name, proto.tensor_content, size)
    array = np.empty(size, object)
    array[: len(values)] = values
    array[len(values) :] = values[-1] if values else b""
    return array.reshape(shape)


def _packed_strings(name: str, content: bytes, count: int) -> list[bytes]:
    """Strings as C++ packs them into tensor_content (tensor_coding.cc): all their lengths, varints, then all bytes."""
    lengths, place = [], 0
    for _ in range(count):
        length = shift = 0
        more = True
        while more:
            if place >= len(content) or shift > _LONGEST_VARINT_SHIFT:
                raise _parsing_error(name, f"tensor_content does not hold the lengths of {count} strings")
            length |= (content[place] & 0x7F) << shift
            more = content[place] > 0x7F
            place, shift = place + 1, shift + 7
        lengths.append(length)
    if place + sum(lengths) != len(content):
        raise _parsing_error(
            name, f"tensor_content has {len(content) - place} bytes of strings, whose lengths add up to {sum(lengths)}"
        )
    values = []
    for length in lengths:
        values.append(content[place : place + length])
        place += length
    return values


def _typed_values(proto: "TensorProto", data_type: dtypes.DataType) -> np.ndarray:
    values = getattr(proto, data_type.field)
    if data_type.field in _FIXED_WIDTH and len(values) >= _WORTH_A_BLOCK:
        only = type(proto)()
        getattr(only, data_type.field).extend(values)
        return np.frombuffer(only.SerializeToString(), np.uint8)[-len(values) * data_type.numpy.itemsize :].view(
            _FIXED_WIDTH[data_type.field][1]
        )
    if data_type.field == "half_val":
        return np.array(values, np.int64).astype(np.uint16).view(data_type.numpy)
    if data_type.field in ("scomplex_val", "dcomplex_val"):
        parts = np.array(values, np.float64)
        return parts[: len(parts) // 2 * 2].view(np.complex128)
    if data_type.field == "int_val":
        return np.array(values, np.int64)
    return np.array(values, data_type.numpy)


def _filled(values: np.ndarray, size: int, numpy_type: np.dtype) -> np.ndarray:
    """`values` cut or prolonged to `size` with its last element (tensor.cc, FromProtoField)."""
    if values.size == size:
        return values.astype(numpy_type, copy=False)
    array = np.zeros(size, numpy_type)
    kept = min(values.size, size)
    with np.errstate(over="ignore"):
        array[:kept] = values[:kept].astype(numpy_type)
    if kept:
        array[kept:] = array[kept - 1]
    return array


def _parsing_error(name: str, reason: str) -> StatusError:
    return invalid_argument(f"tensor parsing error: {name} ({reason})")


def fill(proto: "TensorProto", array: np.ndarray, *, as_content: bool = False) -> None:
    """Write `array` into the empty `proto`: in its typed field, or as `tensor_content`."""
    data_type = dtypes.of(array)
    proto.dtype = data_type.number
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if data_type.number == dtypes.STRING:
        proto.string_val.extend(array.reshape(-1).tolist())
    elif as_content:
        proto.tensor_content = array.tobytes()
    elif data_type.field in _FIXED_WIDTH:
        number, little_endian = _FIXED_WIDTH[data_type.field]
        block = array.astype(little_endian, copy=False).tobytes()
        proto.MergeFromString(bytes([number << 3 | _LENGTH_DELIMITED]) + _varint(len(block)) + block)
    elif data_type.field == "half_val":
        proto.half_val.extend(array.reshape(-1).view(np.uint16).tolist())
    elif data_type.field in ("scomplex_val", "dcomplex_val"):
        flat = array.reshape(-1)
        parts = np.stack([flat.real, flat.imag], axis=-1).reshape(-1)
        getattr(proto, data_type.field).extend(parts.tolist())
    else:
        getattr(proto, data_type.field).extend(array.reshape(-1).tolist())


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
