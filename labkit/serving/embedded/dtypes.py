"""TensorFlow's data types: number, name in messages, numpy type, field of a TensorProto."""

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from labkit.serving.embedded.status import invalid_argument


@dataclass(frozen=True)
class DataType:
    """One of TensorFlow's types (tensorflow/core/framework/types.proto).

    Attributes:
        number: its value in the `DataType` enum.
        name: the name that TensorFlow's messages use.
        numpy: the numpy type; strings are objects of type bytes.
        field: the typed field that a TensorProto keeps its values in.
    """

    number: int
    name: str
    numpy: np.dtype
    field: str


STRING = 7

_TYPES = [
    DataType(1, "float", np.dtype(np.float32), "float_val"),
    DataType(2, "double", np.dtype(np.float64), "double_val"),
    DataType(3, "int32", np.dtype(np.int32), "int_val"),
    DataType(4, "uint8", np.dtype(np.uint8), "int_val"),
    DataType(5, "int16", np.dtype(np.int16), "int_val"),
    DataType(6, "int8", np.dtype(np.int8), "int_val"),
    DataType(STRING, "string", np.dtype(object), "string_val"),
    DataType(8, "complex64", np.dtype(np.complex64), "scomplex_val"),
    DataType(9, "int64", np.dtype(np.int64), "int64_val"),
    DataType(10, "bool", np.dtype(np.bool_), "bool_val"),
    DataType(14, "bfloat16", np.dtype(ml_dtypes.bfloat16), "half_val"),
    DataType(17, "uint16", np.dtype(np.uint16), "int_val"),
    DataType(18, "complex128", np.dtype(np.complex128), "dcomplex_val"),
    DataType(19, "half", np.dtype(np.float16), "half_val"),
    DataType(22, "uint32", np.dtype(np.uint32), "uint32_val"),
    DataType(23, "uint64", np.dtype(np.uint64), "uint64_val"),
]
_BY_NUMBER = {data_type.number: data_type for data_type in _TYPES}
_BY_NUMPY = {data_type.numpy: data_type for data_type in _TYPES}
_BY_NAME = {data_type.name: data_type for data_type in _TYPES}


def data_type(number: int) -> DataType:
    """The type with that number.

    Raises:
        StatusError: INVALID_ARGUMENT, its values cannot travel (a resource handle, a variant, a quantised type).
    """
    try:
        return _BY_NUMBER[number]
    except KeyError:
        raise invalid_argument(f"Tensors of data type number {number} cannot be sent or received") from None


def for_messages(number: int) -> DataType:
    """The same, also for a type whose values cannot travel: there only number and name mean something."""
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    from tensorflow.core.framework.types_pb2 import DataType as Numbers

    name = Numbers.Name(number).removeprefix("DT_").lower() if number in Numbers.values() else str(number)
    return DataType(number, name, np.dtype("V"), "")


def of(array: np.ndarray) -> DataType:
    """The type of a numpy array of one of the numpy types above."""
    return _BY_NUMPY[array.dtype]


def named(name: str) -> DataType:
    """The type with that name in messages, as ``float``; KeyError for one whose values cannot travel."""
    return _BY_NAME[name]
