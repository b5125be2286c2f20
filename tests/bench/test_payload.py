"""The wire forms of a batch: what they hold, what a server makes of them, how many bytes they are."""

import base64
import gzip
import io
import json
import subprocess
import sys
from fractions import Fraction

import grpc
import ml_dtypes
import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import labkit
from labkit.bench import images, message_size, payload
from labkit.errors import EnvironmentProblem

from ..serving.fuzz.profile import fuzzed

JSON_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool")
NOT_IN_JSON = ("float16", ml_dtypes.bfloat16, "uint16", "complex64", "complex128")
DTYPES = (*JSON_DTYPES, *NOT_IN_JSON)
MANY_BYTES = np.array([b"\x89PNG\xff\x00", b"", b"null"], object)
TEXT = np.array([["naïve", "plain"], ["", 'a"b\\c\n']], object)


def decoded(form, inputs):
    """What a reader finds in a form's bytes: arrays by input name, of the dtypes of `inputs`."""
    body = form.encode(inputs)
    if form.gzip:
        body = gzip.decompress(body)
    read = _from_message if form.protocol == "gRPC" else _from_json
    return read(body, inputs)


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
        return np.array(_texts(values), object)
    if isinstance(values[0], dict):
        raw = b"".join(base64.b64decode(row["b64"]) for row in values)
        return np.frombuffer(raw, like.dtype.newbyteorder("<")).reshape(like.shape)
    return np.array(values, np.float64 if like.dtype.kind == "f" else like.dtype).astype(like.dtype)


def _texts(values):
    if isinstance(values, list):
        return [_texts(value) for value in values]
    return base64.b64decode(values["b64"]) if isinstance(values, dict) else values


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


@pytest.fixture(scope="module")
def batch():
    """20 rows of 100 float32 between 0 and 1."""
    return {"x": np.random.default_rng(0).random((20, 100), np.float32)}


def values_of(dtype, shape):
    if dtype == ml_dtypes.bfloat16:
        return arrays_of.arrays(np.uint16, shape).map(lambda bits: bits.view(ml_dtypes.bfloat16))
    return arrays_of.arrays(dtype, shape)


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
        error = np.abs(found[finite].astype(np.float64) - x[finite].astype(np.float64))
        assert (error <= 0.5 * 10.0**-decimals + np.spacing(np.abs(x[finite])).astype(np.float64)).all()


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
        body = gzip.decompress(form.encode({"x": strings})) if form.gzip else form.encode({"x": strings})
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
        body = gzip.decompress(form.encode(inputs)) if form.gzip else form.encode(inputs)
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


def test_the_same_batch_gives_the_same_bytes(batch):
    shuffled = {"b": batch["x"], "a": batch["x"], "c": batch["x"]}
    for form in payload.all_forms():
        assert form.encode(shuffled) == form.encode({name: array.copy() for name, array in shuffled.items()})
        if form.gzip:
            assert form.encode(batch)[4:8] == bytes(4)  # where gzip has the time of day
        if form.protocol == "gRPC":
            assert form.encode(shuffled) == form.encode(dict(sorted(shuffled.items())))


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
    assert only.name == "JSON rows, 1 decimals" and not only.exact


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


# What cannot be written


@pytest.mark.parametrize("dtype", NOT_IN_JSON)
def test_json_refuses_what_tensorflow_serving_does_not_read(dtype):
    for form in (payload.json_rows("python"), payload.json_rows(), payload.json_columns(), payload.json_columns(2)):
        with pytest.raises(
            ValueError, match=f"input 'x' is {np.dtype(dtype)}, .* does not read from JSON: send it over"
        ):
            form.encode({"x": np.zeros(2, dtype)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.array(1, np.float32)}, r"one row or more, .* \{'x': \(\)\}"),
        ({"x": np.float32([])}, r"one row or more, .* \{'x': \(0,\)\}"),
        ({"x": np.float32([1]), "y": np.float32([1, 2])}, r"as many of each input; .* \{'x': \(1,\), 'y': \(2,\)\}"),
        ({"x": np.float32([1]), "y": np.float32([])}, "as many of each input"),
        ({"x": np.float32([[1]]), "y": np.array(1, np.float32)}, "as many of each input"),
    ],
)
def test_rows_need_a_batch(inputs, message):
    for form in (payload.json_rows("python"), payload.json_rows(), payload.json_rows(2), payload.json_base64()):
        with pytest.raises(ValueError, match=message):
            form.encode(inputs)


def test_json_refuses_shapes_that_lists_do_not_show():
    for form in (payload.json_columns(), payload.json_rows("python")):
        with pytest.raises(
            ValueError, match=r"'x' has the shape \(0, 4\), of which JSON's lists show no more than a 0"
        ):
            form.encode({"x": np.zeros((0, 4), np.float32)})
    assert payload.json_columns().encode({"x": np.zeros((2, 0), np.float32)}) == b'{"inputs":[[],[]]}'


def test_other_refusals_say_what_was_passed():
    x = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=r"the inputs \['x'\] are text, not numbers with raw bytes"):
        payload.json_base64().encode({"x": TEXT})
    with pytest.raises(ValueError, match=r"nothing can be rounded in 'x' \(int64\), 'y' \(object\)"):
        payload.json_rows(2).encode({"x": np.arange(2), "y": TEXT})
    for digits in ("longest", -1, 18, 2.0, True):
        with pytest.raises(ValueError, match=f"'shortest', 'python' or a number from 0 to 17, got {digits!r}"):
            payload.json_rows(digits)
    for form in (payload.json_rows(), payload.tensor_content("m")):
        for inputs in (x, {}, None):
            with pytest.raises(ValueError, match="wanted is a mapping from input name to array"):
                form.encode(inputs)
        with pytest.raises(ValueError, match="input 'x' is a list, wanted is a numpy array"):
            form.encode({"x": [1.0]})
        with pytest.raises(ValueError, match=r"objects with \['NoneType', 'int'\] in it, wanted are bytes or str"):
            form.encode({"x": np.array([1, None, "a"], object)})
        with pytest.raises(ValueError, match=r"input 'x' is datetime64\[s\], which TensorFlow has no type for"):
            form.encode({"x": np.array([0], "datetime64[s]")})
    for form in (payload.json_rows(), payload.tensor_fields("m")):
        with pytest.raises(ValueError, match="surrogates not allowed"):
            form.encode({"x": np.array(["\ud800"], object)})


def test_measure_refuses_what_it_cannot_measure(batch):
    with pytest.raises(ValueError, match=r"no values, only the shapes \[\(0, 4\)\]"):
        payload.measure({"x": np.zeros((0, 4))})
    with pytest.raises(ValueError, match="does not read from JSON"):
        payload.measure({"x": np.zeros(1, np.float16)}, [payload.json_rows()])


# Images


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 7, 1), (2, 5, 7, 3), (2, 5, 7, 4)])
def test_a_png_keeps_every_pixel(shape):
    from PIL import Image

    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    files = images.image_files(pixels)
    for file, image in zip(files, pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), np.squeeze(image))


def test_a_jpeg_is_smaller_the_less_quality_is_asked_for():
    from PIL import Image

    pixels = np.add.outer(np.arange(64, dtype=np.uint8), np.arange(64, dtype=np.uint8))[np.newaxis]
    good, poor = (images.image_files(pixels, "JPEG", quality)[0] for quality in (95, 10))
    assert good.startswith(b"\xff\xd8\xff")
    assert len(poor) < len(good) < pixels.size
    assert np.abs(np.asarray(Image.open(io.BytesIO(good))).astype(int) - pixels[0]).max() <= 4


def test_what_is_no_image_is_refused():
    for wrong in (np.zeros((2, 4, 4), np.float32), np.zeros((4, 4), np.uint8), np.zeros((1, 4, 4, 2), np.uint8)):
        with pytest.raises(ValueError, match=rf"{wrong.dtype} of shape .*; for PNG they are uint8 \[n, h, w\]"):
            images.image_files(wrong)
    with pytest.raises(ValueError, match=r"for JPEG .* c one of \(1, 3\)"):
        images.image_files(np.zeros((1, 4, 4, 4), np.uint8), "JPEG")
    with pytest.raises(ValueError, match="got 'GIF' and 95"):
        images.image_files(np.zeros((1, 4, 4), np.uint8), "GIF")
    with pytest.raises(ValueError, match="got 'JPEG' and 0"):
        images.image_files(np.zeros((1, 4, 4), np.uint8), "JPEG", 0)


def test_without_pillow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(EnvironmentProblem, match="pip install pillow"):
        images.image_files(np.zeros((1, 4, 4), np.uint8))


# What a server makes of them


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """echo_DTYPE gives back its input, raw_DTYPE what it decodes, `sum` a + b, `pixels` the sum of an image file's."""
    import tensorflow as tf

    base = tmp_path_factory.mktemp("payload") / "model"

    def signature(function, **inputs):
        specs = {name: tf.TensorSpec(None, dtype, name) for name, dtype in inputs.items()}
        return tf.function(function).get_concrete_function(**specs)

    def raw(dtype):
        return lambda x: {"y": tf.io.decode_raw(x, dtype)}

    def pixels(x):
        def total(file):
            return tf.reduce_sum(tf.cast(tf.io.decode_image(file), tf.int64))

        return {"y": tf.map_fn(total, x, fn_output_signature=tf.int64)}

    signatures = {f"echo_{dtype}": signature(lambda x: {"y": tf.identity(x)}, x=dtype) for dtype in JSON_DTYPES}
    signatures["echo_float16"] = signature(lambda x: {"y": tf.identity(x)}, x="float16")
    signatures["echo_string"] = signature(lambda x: {"y_bytes": tf.identity(x)}, x="string")
    signatures |= {f"raw_{dtype}": signature(raw(dtype), x="string") for dtype in ("float32", "int64")}
    signatures["sum"] = signature(lambda a, b: {"y": a + b}, a="float32", b="float32")
    signatures["pixels"] = signature(pixels, x="string")
    tf.saved_model.save(tf.Module(), str(base / "1"), signatures)
    with labkit.serve(base, name="model") as server:
        yield server


def asked(server, form, inputs, dtype):
    """The server's answer to the bytes of a form, its one output as an array of `dtype`."""
    if form.protocol == "REST":
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if form.gzip else {})
        url = f"{server.rest_url}/v1/models/model:predict"
        answer = requests.post(url, form.encode(inputs), headers=headers, timeout=60)
        assert answer.status_code == 200, (form.name, answer.text)
        return np.array(_texts(answer.json()["predictions" if "rows" in form.name else "outputs"]), dtype)
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    compression = grpc.Compression.Gzip if form.gzip else None
    with grpc.insecure_channel(server.grpc_address, compression=compression) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        answer = PredictResponse.FromString(predict(form.write(inputs), timeout=60))
    (output,) = answer.outputs.values()
    array = tf.make_ndarray(output)
    assert array.dtype == dtype
    return array


def forms_for(signature_name, inputs):
    """The forms for a signature that takes the inputs as they are."""
    forms = written(inputs, signature_name)
    return [form for form in forms if "base64" not in form.name]


@pytest.mark.parametrize("dtype", [*JSON_DTYPES, "float16"])
def test_a_server_reads_the_same_numbers_in_every_form(server, dtype):
    if dtype.startswith("float"):
        limits = np.finfo(dtype)
        x = np.array([[0.1, -0.0, np.nan, np.inf], [limits.max, limits.smallest_subnormal, -1 / 3, -np.inf]], dtype)
    elif dtype == "bool":
        x = np.array([[True, False], [False, False]])
    else:
        limits = np.iinfo(dtype)
        x = np.array([[limits.min, limits.max], [0, 7]], dtype)
    forms = forms_for(f"echo_{dtype}", {"x": x})
    assert len(forms) == {"float16": 4, "float32": 14, "float64": 14}.get(dtype, 12)
    for form in forms:
        answer = asked(server, form, {"x": x}, dtype)
        if form.exact:
            same_bits(answer, x)
        else:
            np.testing.assert_allclose(answer, x, atol=0.0005)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_a_server_decodes_raw_bytes(server, dtype):
    x = np.random.default_rng(4).integers(-(2**40), 2**40, (3, 5)).astype(dtype)
    form = payload.json_base64(signature_name=f"raw_{dtype}")
    for each in (form, form.compressed()):
        np.testing.assert_array_equal(asked(server, each, {"x": x}, dtype), x)


def test_a_server_reads_several_inputs_in_every_form(server):
    a, b = np.random.default_rng(5).random((2, 4, 3), np.float32)
    forms = forms_for("sum", {"a": a, "b": b})
    assert len(forms) == 14
    for form in forms:
        np.testing.assert_allclose(
            asked(server, form, {"a": a, "b": b}, "float32"), a + b, atol=0 if form.exact else 0.001
        )


@pytest.mark.parametrize("strings", [MANY_BYTES, TEXT])
def test_a_server_reads_the_same_strings_in_every_form(server, strings):
    expected = [value.encode() if isinstance(value, str) else value for value in strings.flat]
    for form in forms_for("echo_string", {"x": strings}):
        answer = asked(server, form, {"x": strings}, object)
        assert (answer.shape, answer.ravel().tolist()) == (strings.shape, expected), form.name


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_server_decodes_image_files(server, format):
    pixels = np.full((3, 8, 6, 3), [[[[10]]], [[[100]]], [[[200]]]], np.uint8)
    files = {"x": np.array(images.image_files(pixels, format), object)}
    forms = forms_for("pixels", files)
    assert {form.protocol for form in forms} == {"REST", "gRPC"}
    for form in forms:
        np.testing.assert_allclose(asked(server, form, files, "int64"), pixels.sum((1, 2, 3)), rtol=0.02)


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
