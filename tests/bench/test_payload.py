"""The wire forms of a batch: what they hold, how many bytes they are."""

import base64
import gzip
import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from labkit.bench import payload

from ..serving.fuzz.profile import fuzzed
from .batches import DTYPES, JSON_DTYPES, MANY_BYTES, TEXT, plain, same_bits, texts, values_of, written


def decoded(form, inputs):
    """What a reader finds in a form's bytes: arrays by input name, of the dtypes of `inputs`."""
    read = _from_message if form.protocol == "gRPC" else _from_json
    return read(plain(form.encode(inputs)), inputs)


def _from_json(body, inputs):
    document = json.loads(body)
    values = document.get("instances", document.get("inputs"))
    if len(inputs) == 1:
        columns = dict.fromkeys(inputs, values)
    elif "instances" in document:
        columns = {name: [row[name] for row in values] for name in inputs}
    else:
        columns = values
    return {name: _column(column, inputs[name]) for name, column in columns.items()}


def _column(values, like):
    if like.dtype == object:
        return np.array(texts(values), object)
    if isinstance(values[0], dict):
        raw = b"".join(base64.b64decode(row["b64"]) for row in values)
        return np.frombuffer(raw, like.dtype.newbyteorder("<")).reshape(like.shape)
    return np.array(values, np.float64 if like.dtype.kind == "f" else like.dtype).astype(like.dtype)


def _from_message(body, inputs):
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    request = PredictRequest.FromString(body)
    found = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    for name, like in inputs.items():
        if like.dtype == object and isinstance(like.flat[0], str):
            found[name] = np.array([value.decode() for value in found[name].flat], object).reshape(like.shape)
    return found


def named(forms):
    return {form.name: form for form in forms}


@pytest.fixture(scope="module")
def batch():
    """20 rows of 100 float32 between 0 and 1."""
    return {"x": np.random.default_rng(0).random((20, 100), np.float32)}


SHAPES = arrays_of.array_shapes(min_dims=1, max_dims=4, max_side=5)


@st.composite
def one_input(draw, dtypes=DTYPES, shapes=SHAPES):
    return {"x": draw(values_of(np.dtype(draw(st.sampled_from(dtypes))), draw(shapes)))}


# What is in the bytes


@fuzzed
@given(one_input())
def test_every_exact_form_decodes_to_the_same_bits(inputs):
    forms = [form for form in written(inputs) if form.exact]
    assert {form.protocol for form in forms} >= {"gRPC"}
    for form in forms:
        same_bits(decoded(form, inputs)["x"], inputs["x"])


@fuzzed
@given(one_input(dtypes=("float32", "float64")), st.integers(0, 12))
def test_rounded_forms_are_within_half_of_the_last_decimal(inputs, decimals):
    for form in (payload.json_rows(decimals), payload.json_columns(decimals)):
        assert not form.exact
        found, x = decoded(form, inputs)["x"], inputs["x"]
        finite = np.isfinite(x)
        np.testing.assert_array_equal(found[~finite], x[~finite])
        found, x = found[finite].astype(np.float64), x[finite].astype(np.float64)
        of_the_type = np.finfo(inputs["x"].dtype).eps * np.abs(x)
        assert (np.abs(found - x) <= 0.5 * 10.0**-decimals + of_the_type).all()


def test_rounded_forms_write_no_more_decimals():
    x = np.array([15.889988761234, -0.25, 1e-9, 7], np.float64)
    assert payload.json_rows(2).encode({"x": x}) == b'{"instances":[15.89,-0.25,0.0,7.0]}'
    assert payload.json_columns(0).encode({"x": x.astype(np.float32)}) == b'{"inputs":[16.0,-0.0,0.0,7.0]}'


def test_every_dtype_is_in_the_forms_that_can_carry_it():
    for dtype in DTYPES:
        x = np.ones((2, 3), dtype)
        names = {form.name for form in written({"x": x}) if not form.gzip}
        plain_json = {name for name in names if name.startswith("JSON") and name != "JSON rows, base64"}
        assert {"JSON rows, base64", "TensorProto, typed fields", "TensorProto, tensor_content"} <= names
        assert bool(plain_json) == (dtype in JSON_DTYPES), dtype
        assert ("JSON rows, 3 decimals" in names) == (dtype in ("float32", "float64"))


@pytest.mark.parametrize("strings", [MANY_BYTES, TEXT, np.array([b"ab", b"c"]), np.array(["é", "c"])])
def test_strings_travel_as_they_are(strings):
    like = strings.astype(object)
    forms = written({"x": strings})
    assert {form.name for form in forms if not form.gzip} == {
        "JSON rows, Python's json",
        "JSON rows, shortest digits",
        "JSON columns, Python's json",
        "JSON columns, shortest digits",
        "TensorProto, typed fields",
        "TensorProto, tensor_content",
    }
    for form in forms:
        body = plain(form.encode({"x": strings}))
        read = _from_message if form.protocol == "gRPC" else _from_json
        assert read(body, {"x": like})["x"].tolist() == strings.tolist()


def test_several_inputs_are_named_in_every_row_or_once():
    inputs = {
        "age": np.array([1.5, 2.5], np.float32),
        "sizes": np.array([[1, 2], [3, 4]]),
        "in": np.array([True, False]),
    }
    for digits in ("python", "shortest", 1):
        rows = json.loads(payload.json_rows(digits).encode(inputs))
        assert rows == {
            "instances": [{"age": 1.5, "sizes": [1, 2], "in": True}, {"age": 2.5, "sizes": [3, 4], "in": False}]
        }
        columns = json.loads(payload.json_columns(digits).encode(inputs))
        assert columns == {"inputs": {"age": [1.5, 2.5], "sizes": [[1, 2], [3, 4]], "in": [True, False]}}
    for form in written(inputs):
        for name, array in decoded(form, inputs).items():
            same_bits(array, inputs[name])


def test_the_signature_and_the_model_are_said():
    inputs = {"x": np.float32([1])}
    for form in payload.all_forms("penguins", signature_name="weigh"):
        body = plain(form.encode(inputs))
        if form.protocol == "REST":
            assert json.loads(body)["signature_name"] == "weigh"
            assert b"penguins" not in body  # the address says it
        else:
            assert b"penguins" in body and b"weigh" in body
    for form in payload.all_forms("penguins"):
        assert b"signature_name" not in form.write(inputs)


def test_pythons_json_is_what_requests_sends():
    x = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    sent = requests.Request("POST", "http://localhost", json={"instances": x.tolist()}).prepare().body
    assert payload.json_rows("python").encode({"x": x}) == sent
    assert len(payload.json_rows("shortest").encode({"x": x})) < 0.7 * len(sent)


def test_numbers_that_are_not_finite_are_bare_words():
    x = np.array([[np.nan], [np.inf], [-np.inf]], np.float32)
    for digits in ("python", "shortest", 2):
        assert b"[[NaN], [Infinity], [-Infinity]]" in payload.json_rows(digits).encode({"x": x})


def test_the_word_null_changes_no_numbers():
    x = {"x": np.float32([0.1]), "null": np.array(["null"], object)}
    assert payload.json_rows().encode(x) == b'{"instances":[{"x":0.1,"null":"null"}]}'
    assert payload.json_columns().encode(x) == b'{"inputs":{"x":[0.1],"null":["null"]}}'


def test_the_one_float32_whose_shortest_digits_a_double_spoils():
    x = np.array([0x15AE43FD], np.uint32).view(np.float32)
    body = payload.json_rows("shortest").encode({"x": x})
    assert body == b'{"instances":[7.038531e-26]}'
    text, right, wrong = (
        Fraction("7.038531e-26"),
        *(Fraction(float(y)) for y in (x[0], np.nextafter(x[0], np.float32(1)))),
    )
    assert abs(text - right) < abs(text - wrong)
    assert Fraction(float(np.float32(float("7.038531e-26")))) == wrong
    same_bits(decoded(payload.json_rows("python"), {"x": x})["x"], x)


def test_neither_byte_order_nor_layout_of_an_array_is_seen():
    x = np.random.default_rng(2).integers(-9, 9, (4, 6)).astype(np.float32)
    for form in payload.all_forms():
        for other in (x.astype(">f4"), np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
            assert form.encode({"x": other}) == form.encode({"x": x}), form.name


# Compression


def test_gzip_holds_what_the_plain_form_wrote(batch):
    for form in payload.all_forms():
        assert form.gzip == form.name.endswith(", gzip")
        if not form.gzip:
            compressed = form.compressed()
            assert (compressed.gzip, compressed.protocol, compressed.exact) == (True, form.protocol, form.exact)
            assert gzip.decompress(compressed.encode(batch)) == form.encode(batch) == compressed.write(batch)
            assert compressed.compressed() == compressed


def test_grpc_does_not_send_a_gzip_that_is_larger():
    one = {"x": np.float32([1])}
    for form in payload.all_forms():
        compressed = form.compressed().encode(one)
        assert compressed.startswith(b"\x1f\x8b") == (form.protocol == "REST"), form.name
        assert plain(compressed) == form.write(one)


def test_the_same_batch_gives_the_same_bytes(batch):
    for form in payload.all_forms():
        assert form.encode(batch) == form.encode({"x": batch["x"].copy()})
        if form.gzip:
            assert form.encode(batch)[4:8] == bytes(4)  # where gzip has the time of day
    many = {f"feature_{number}": np.float32([number]) for number in range(20)}
    for form in (payload.tensor_fields("m"), payload.tensor_content("m")):
        assert form.encode(many) == form.encode(dict(reversed(many.items())))


# Sizes


def test_the_ranking_of_a_batch_of_floats(batch):
    size = {measured.name: measured.bytes for measured in payload.measure(batch)}
    assert (
        size["TensorProto, tensor_content"]
        < size["JSON rows, base64"]
        < size["JSON rows, 3 decimals"]
        < size["JSON rows, shortest digits"]
        < size["JSON rows, Python's json"]
    )
    assert size["TensorProto, typed fields"] == size["TensorProto, tensor_content"]
    assert size["JSON rows, Python's json"] > 4 * size["TensorProto, tensor_content"]
    for name in ("JSON rows, Python's json", "JSON rows, shortest digits", "JSON rows, 3 decimals"):
        assert size[f"{name}, gzip"] < 0.6 * size[name]
    assert size["TensorProto, tensor_content, gzip"] > 0.8 * size["TensorProto, tensor_content"]


def test_typed_fields_are_small_for_small_integers_and_large_for_negative_ones():
    fields, content = payload.tensor_fields("m"), payload.tensor_content("m")
    small, negative = {"x": np.full(1000, 3, np.int32)}, {"x": np.full(1000, -3, np.int32)}
    assert len(fields.encode(small)) < 0.3 * len(content.encode(small))
    assert len(fields.encode(negative)) > 2.4 * len(content.encode(negative))


def test_measure_says_what_encode_gives(batch):
    several = {"x": batch["x"], "n": np.arange(20)}
    forms = named(payload.all_forms())
    measured = payload.measure(several)
    assert [each.name for each in measured] == list(forms)
    for each in measured:
        form = forms[each.name]
        assert each.bytes == len(form.encode(several))
        assert each.bytes_per_value == each.bytes / (20 * 100 + 20)
        assert (each.protocol, each.exact) == (form.protocol, form.exact)
    (only,) = payload.measure(batch, [payload.json_rows(1)])
    assert only.name == "JSON rows, 1 decimal" and not only.exact


def test_tensorflow_is_imported_when_a_grpc_form_is_made_and_no_sooner():
    program = (
        "import sys; from labkit.bench import images, message_size, payload; import numpy as np\n"
        "x = {'x': np.zeros((2, 3), np.float32)}\n"
        "payload.json_rows().encode(x), message_size.predicted_bytes(x, 'm')\n"
        "assert 'tensorflow' not in sys.modules\n"
        "payload.tensor_content('m')\n"
        "assert 'tensorflow' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
