"""TensorFlow's C API (tensorflow/c/c_api.h) through ctypes: the few calls a model server needs, and tensors.

The shared library comes with the `tensorflow` wheel. It is never opened with RTLD_GLOBAL: its BoringSSL would then
collide with Python's OpenSSL.
"""

import ctypes
import itertools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import EnvironmentProblem
from labkit.serving.embedded import dtypes, protos
from labkit.serving.embedded.status import Code, StatusError

_LIBRARIES = {"linux": "libtensorflow_cc.so.2", "darwin": "libtensorflow_cc.2.dylib"}
_POINTER = ctypes.c_void_p
_INT64S = ctypes.POINTER(ctypes.c_int64)
_FEW_BYTES = 4096
_SIZE_OF_TSTRING = 24  # sizeof(TF_TString), tensorflow/core/platform/ctstring_internal.h
_DEALLOCATOR = ctypes.CFUNCTYPE(None, _POINTER, ctypes.c_size_t, _POINTER)


class Output(ctypes.Structure):
    """TF_Output: one output of one operation of a graph."""

    _fields_ = (("operation", _POINTER), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """TF_Buffer: a serialised protobuf message on its way in or out."""

    _fields_ = (("data", _POINTER), ("length", ctypes.c_size_t), ("deallocator", _POINTER))


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "TF_NewStatus": (_POINTER, []),
    "TF_DeleteStatus": (None, [_POINTER]),
    "TF_GetCode": (ctypes.c_int, [_POINTER]),
    "TF_Message": (ctypes.c_char_p, [_POINTER]),
    "TF_NewBuffer": (_POINTER, []),
    "TF_DeleteBuffer": (None, [_POINTER]),
    "TF_NewBufferFromString": (_POINTER, [ctypes.c_char_p, ctypes.c_size_t]),
    "TF_NewGraph": (_POINTER, []),
    "TF_DeleteGraph": (None, [_POINTER]),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, ctypes.c_char_p]),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_SetConfig": (None, [_POINTER, ctypes.c_char_p, ctypes.c_size_t, _POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        [_POINTER, _POINTER, ctypes.c_char_p, _POINTER, ctypes.c_int, _POINTER, _POINTER, _POINTER],
    ),
    "TF_CloseSession": (None, [_POINTER, _POINTER]),
    "TF_DeleteSession": (None, [_POINTER, _POINTER]),
    "TF_SessionRun": (
        None,
        [
            *(_POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_int),
            *(_POINTER, _POINTER, ctypes.c_int, _POINTER, ctypes.c_int, _POINTER, _POINTER),
        ],
    ),
    "TF_AllocateTensor": (_POINTER, [ctypes.c_int, _INT64S, ctypes.c_int, ctypes.c_size_t]),
    "TF_NewTensor": (
        _POINTER,
        [ctypes.c_int, _INT64S, ctypes.c_int, _POINTER, ctypes.c_size_t, _DEALLOCATOR, _POINTER],
    ),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorType": (ctypes.c_int, [_POINTER]),
    "TF_NumDims": (ctypes.c_int, [_POINTER]),
    "TF_Dim": (ctypes.c_int64, [_POINTER, ctypes.c_int]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_TensorByteSize": (ctypes.c_size_t, [_POINTER]),
    "TF_StringInit": (None, [_POINTER]),
    "TF_StringCopy": (None, [_POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "TF_StringDealloc": (None, [_POINTER]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
    "TF_StringGetSize": (ctypes.c_size_t, [_POINTER]),
}
# Calls that may take long let other Python threads run meanwhile; for the others that would cost more than the call.
_SLOW = {"TF_LoadSessionFromSavedModel", "TF_SessionRun", "TF_CloseSession", "TF_DeleteSession", "TF_DeleteGraph"}


class _Library:
    """The opened library: each function of `_SIGNATURES` as an attribute."""

    def __init__(self, path: Path) -> None:
        slow = ctypes.CDLL(str(path))
        quick = ctypes.PyDLL(str(path), handle=slow._handle)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(slow if name in _SLOW else quick, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(f"{name} is not among the functions that c_api.py declares")


def library_path() -> Path:
    """The file that holds the C API.

    Raises:
        EnvironmentProblem: this platform's wheel does not carry one (Windows), or it is not where it should be.
    """
    name = _LIBRARIES.get(sys.platform)
    if name is None:
        raise EnvironmentProblem(f"The tensorflow wheel for {sys.platform} carries no library with the C API.")
    path = protos.tensorflow_folder() / name
    if not path.exists():
        raise EnvironmentProblem(f"{path} is missing; the C API is expected there in the tensorflow wheel.")
    return path


_library: _Library | None = None


def library() -> _Library:
    """The library, opened at the first call (0.3 s)."""
    global _library
    if _library is None:
        _library = _Library(library_path())
    return _library


class Status:
    """A TF_Status for the length of a `with` block; raises on leaving it when the call inside failed.

    Every thread keeps one for as long as calls succeed: some of them leave an earlier error standing.
    """

    _of_thread = threading.local()

    def __enter__(self) -> int:
        if not getattr(self._of_thread, "pointer", None):
            self._of_thread.pointer = library().TF_NewStatus()
        return self._of_thread.pointer

    def __exit__(self, kind: object, *exc: object) -> None:
        api, pointer = library(), self._of_thread.pointer
        if code := api.TF_GetCode(pointer):
            message = api.TF_Message(pointer).decode(errors="replace")
            api.TF_DeleteStatus(pointer)
            self._of_thread.pointer = None
            if kind is None:
                raise StatusError(Code(code), message)


def to_tensor(array: np.ndarray) -> int:
    """A new TF_Tensor with a copy of `array`; the caller deletes it."""
    data_type = dtypes.of(array)
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    if data_type.number == dtypes.STRING:
        return _string_tensor(array, shape)
    tensor = library().TF_AllocateTensor(data_type.number, shape, array.ndim, array.nbytes)
    if array.nbytes > _FEW_BYTES:
        array = array if array.flags.c_contiguous else array.copy()
        ctypes.memmove(library().TF_TensorData(tensor), array.ctypes.data, array.nbytes)
    elif array.nbytes:  # copied twice, which is quicker than asking numpy for an address
        ctypes.memmove(library().TF_TensorData(tensor), array.tobytes(), array.nbytes)
    return tensor


def to_array(tensor: int) -> np.ndarray:
    """A copy of a TF_Tensor as a numpy array."""
    api = library()
    data_type = dtypes.data_type(api.TF_TensorType(tensor))
    shape = [api.TF_Dim(tensor, axis) for axis in range(api.TF_NumDims(tensor))]
    data = api.TF_TensorData(tensor)
    if data_type.number != dtypes.STRING:
        return np.frombuffer(ctypes.string_at(data, api.TF_TensorByteSize(tensor)), data_type.numpy).reshape(shape)
    array = np.empty(shape, data_type.numpy)
    flat = array.reshape(-1)
    for index in range(flat.size):
        flat[index] = _bytes_at(data + index * _SIZE_OF_TSTRING)
    return array


def _bytes_at(tstring: int) -> bytes:
    api = library()
    return ctypes.string_at(api.TF_StringGetDataPointer(tstring), api.TF_StringGetSize(tstring))


# String tensors are handed over with a deallocator, not copied: TensorFlow may keep them after the run (an output that
# is its input), so only its last user knows when their memory is free.
_strings: dict[int, ctypes.Array[Any]] = {}
_ids = itertools.count(1)


@_DEALLOCATOR
def _free_strings(data: int | None, length: int, key: int) -> None:
    for offset in range(0, length if data else 0, _SIZE_OF_TSTRING):
        library().TF_StringDealloc((data or 0) + offset)
    _strings.pop(key, None)


def _string_tensor(array: np.ndarray, shape: ctypes.Array[Any]) -> int:
    api, length = library(), array.size * _SIZE_OF_TSTRING
    memory = ctypes.create_string_buffer(max(length, 1))
    start = ctypes.addressof(memory)
    for index, value in enumerate(array.reshape(-1)):
        api.TF_StringInit(start + index * _SIZE_OF_TSTRING)
        api.TF_StringCopy(start + index * _SIZE_OF_TSTRING, value, len(value))
    key = next(_ids)
    _strings[key] = memory
    return api.TF_NewTensor(dtypes.STRING, shape, array.ndim, start, length, _free_strings, key)
