"""What a server makes of the wire forms of a batch: the same, whichever it is."""

from dataclasses import dataclass

import grpc
import numpy as np
import pytest
import requests

import labkit
from labkit.bench import images, payload, wire
from labkit.bench.relay import CountingRelay

from .batches import JSON_DTYPES, MANY_BYTES, TEXT, same_bits, texts, written


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


@dataclass(frozen=True)
class RelayedServer:
    """Where to ask a server by way of a relay."""

    rest_url: str
    grpc_address: str


def asked(server, form, inputs, dtype):
    """What the server, or a relay to it, answers to the bytes of a form: its one output as an array of `dtype`."""
    if form.protocol == "REST":
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if form.gzip else {})
        url = f"{server.rest_url}/v1/models/model:predict"
        answer = requests.post(url, form.encode(inputs), headers=headers, timeout=60)
        assert answer.status_code == 200, (form.name, answer.text)
        return np.array(texts(answer.json()["predictions" if "rows" in form.name else "outputs"]), dtype)
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


@pytest.mark.parametrize("rows", [1, 300])
def test_what_travels_has_the_size_that_encode_says(server, rows):
    x = np.random.default_rng(6).integers(0, 10, (rows, 20)).astype(np.float32)
    for form in forms_for("echo_float32", {"x": x}):
        with CountingRelay(server.rest_url if form.protocol == "REST" else server.grpc_address) as relay:
            asked(RelayedServer(relay.url, relay.address), form, {"x": x}, "float32")
            (connection,) = relay.connections
            parts = wire.parts(connection)
        name = "body" if form.protocol == "REST" else "message"
        travelled = wire.total(parts, direction="sent", name=name)
        # gRPC brings a zlib of its own, which need not be Python's to the byte.
        assert travelled == pytest.approx(len(form.encode({"x": x})), rel=0.01 if form.gzip else 0), form.name
