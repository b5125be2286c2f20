"""Batches to write, the forms that can carry them, and what it means to arrive."""

import base64
import gzip

import ml_dtypes
import numpy as np
from hypothesis.extra import numpy as arrays_of

from labkit.bench import payload

JSON_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool")
NOT_IN_JSON = ("float16", ml_dtypes.bfloat16, "uint16", "complex64", "complex128")
DTYPES = (*JSON_DTYPES, *NOT_IN_JSON)
MANY_BYTES = np.array([b"\x89PNG\xff\x00", b"", b"null"], object)
TEXT = np.array([["naïve", "plain"], ["", 'a"b\\c\n']], object)


def texts(values):
    if isinstance(values, list):
        return [texts(value) for value in values]
    return base64.b64decode(values["b64"]) if isinstance(values, dict) else values


def plain(body):
    """The bytes without their gzip, if they have one."""
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def written(inputs, signature_name=None):
    """The forms of `all_forms` that can carry the inputs."""
    kept = {measured.name for measured in payload.measure(inputs)}
    return [form for form in payload.all_forms(signature_name=signature_name) if form.name in kept]


def same_bits(left, right):
    assert left.dtype == right.dtype
    assert left.shape == right.shape
    kind = right.dtype.kind
    if kind in "fc" or right.dtype == ml_dtypes.bfloat16:  # NaN is NaN, whichever its bits; -0.0 is not 0.0
        left, right = (np.where(np.isnan(a), np.full_like(a, np.nan), a) for a in (left, right))
    if kind == "O":
        assert left.tolist() == right.tolist()
    else:
        assert np.ascontiguousarray(left).tobytes() == np.ascontiguousarray(right).tobytes()


def values_of(dtype, shape):
    if dtype == ml_dtypes.bfloat16:
        return arrays_of.arrays(np.uint16, shape).map(lambda bits: bits.view(ml_dtypes.bfloat16))
    return arrays_of.arrays(dtype, shape)
