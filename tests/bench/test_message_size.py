"""The size of a PredictRequest from first principles is its size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from labkit.bench import message_size, payload

from ..serving.fuzz.profile import fuzzed
from .batches import DTYPES, MANY_BYTES, TEXT, values_of

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ANY_SHAPE = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


@st.composite
def some_inputs(draw):
    inputs = draw(st.dictionaries(NAMES, st.sampled_from(DTYPES), min_size=1, max_size=3))
    return {name: draw(values_of(np.dtype(dtype), draw(ANY_SHAPE))) for name, dtype in inputs.items()}


@fuzzed
@given(some_inputs(), NAMES, st.none() | NAMES)
def test_the_size_of_a_message_can_be_worked_out(inputs, model_name, signature_name):
    for content, form in ((True, payload.tensor_content), (False, payload.tensor_fields)):
        size = message_size.predicted_bytes(inputs, model_name, content=content, signature_name=signature_name)
        assert size == len(form(model_name, signature_name=signature_name).encode(inputs))


@pytest.mark.parametrize("rows", [1, 10, 31, 32, 127, 128, 4096, 100_000])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "uint32", "uint64", "float16", "bool"])
def test_also_where_lengths_take_another_byte(rows, dtype):
    x = np.random.default_rng(rows).integers(0, 2**31, rows).astype(np.uint32).view(np.int32) - 2**30
    inputs = {"x": x.astype(dtype) if dtype != "float16" else x.view(np.float16)}
    for content, form in ((True, payload.tensor_content), (False, payload.tensor_fields)):
        assert message_size.predicted_bytes(inputs, "m", content=content) == len(form("m").encode(inputs))


def test_the_size_of_a_message_of_strings():
    for strings in (MANY_BYTES, TEXT, np.array([], object)):
        size = message_size.predicted_bytes({"x": strings}, "m")
        assert size == len(payload.tensor_content("m").encode({"x": strings}))
