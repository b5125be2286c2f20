"""Inputs for a model that only its server knows: the signature as both protocols tell it, and arrays that fit it."""

import json

import numpy as np
import pytest
from google.protobuf import any_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

import labkit
from labkit.bench import payload
from labkit.bench.random_arrays import random_array
from labkit.bench.signature_inputs import Input, over_grpc, over_rest, random_inputs
from labkit.bench.targets import GrpcTarget, RestTarget
from labkit.errors import MeasurementFailed, RequestError

from .answering import answering, answering_over_grpc

MIXED = {
    "flag": Input("bool", (-1, 1)),
    "half": Input("bfloat16", (-1, 2, 3)),
    "index": Input("int64", (-1, -1)),
    "picture": Input("uint8", (2, 4, 4)),
    "scale": Input("float", ()),
    "text": Input("string", (-1,)),
    "whatever": Input("double", None),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`mixed` has an input of each kind and gives a number; `serving_default` takes words and numbers in rows."""
    import tensorflow as tf

    base = tmp_path_factory.mktemp("signatures") / "model"

    def number(**inputs):
        return {"y": tf.add_n([tf.cast(tf.size(each), tf.float32) for each in inputs.values()])}

    def row_sums(words, x):
        return {"y": tf.reduce_sum(x, axis=1) + tf.cast(tf.strings.length(words), tf.float32)}

    mixed = {
        name: tf.TensorSpec(each.shape and [None if size < 0 else size for size in each.shape], each.type_name, name)
        for name, each in MIXED.items()
        if each.type_name not in ("float", "double")
    }
    mixed["scale"] = tf.TensorSpec([], tf.float32, "scale")
    mixed["whatever"] = tf.TensorSpec(None, tf.float64, "whatever")
    rows = {"words": tf.TensorSpec([None], tf.string, "words"), "x": tf.TensorSpec([None, 3], tf.float32, "x")}
    signatures = {
        "mixed": tf.function(number).get_concrete_function(**mixed),
        "serving_default": tf.function(row_sums).get_concrete_function(**rows),
    }
    tf.saved_model.save(tf.Module(), str(base / "1"), signatures)
    with labkit.serve(base, name="model") as server:
        yield server


def rest(server, path="/v1/models/model:predict", **options):
    return RestTarget(f"{server.rest_url}{path}", **options)


def grpc(server):
    return GrpcTarget(server.grpc_address, "model", form=payload.tensor_content("model", signature_name="mixed"))


def test_both_protocols_tell_the_same_signature(server):
    assert over_rest(rest(server), "mixed") == over_grpc(grpc(server), "model", "mixed") == MIXED
    assert over_rest(rest(server)) == {"words": Input("string", (-1,)), "x": Input("float", (-1, 3))}
    assert over_rest(rest(server, "/v1/models/model/versions/1:predict")) == over_grpc(grpc(server), "model")


def test_the_server_takes_what_was_made(server):
    shapes = {"index": (5,), "whatever": (2, 2)}
    inputs = random_inputs(MIXED, 2, shapes)
    connection = grpc(server).connect()
    answer = connection.send(grpc(server).encode(inputs))
    connection.close()
    assert grpc(server).decode(answer) == sum(array.size for array in inputs.values())
    rows = random_inputs(over_rest(rest(server)), 4)
    answers = server.rest.predict(rows)
    lengths = [len(word) for word in rows["words"]]
    np.testing.assert_allclose(answers, rows["x"].sum(axis=1) + lengths, rtol=1e-5)


def test_types_and_shapes_are_the_signatures():
    inputs = random_inputs(MIXED, 2, {"index": (5,), "whatever": ()})
    shapes = {name: array.shape for name, array in inputs.items()}
    assert shapes == {
        "flag": (2, 1), "half": (2, 2, 3), "index": (2, 5), "picture": (2, 4, 4), "scale": (), "text": (2,),
        "whatever": (2,),
    }  # fmt: skip
    types = [str(inputs[name].dtype) for name in ("flag", "half", "index", "picture", "scale", "text", "whatever")]
    assert types == ["bool", "bfloat16", "int64", "uint8", "float32", "object", "float64"]
    assert all(isinstance(word, str) and 0 < len(word) < 8 for word in inputs["text"])


def test_the_same_seed_gives_the_same_arrays():
    signature = {"x": Input("float", (-1, 3)), "words": Input("string", (-1,))}
    one, again, other = (random_inputs(signature, 8, seed=seed) for seed in (1, 1, 2))
    assert all((one[name] == again[name]).all() for name in signature)
    assert (one["x"] != other["x"]).all()


@pytest.mark.parametrize(
    ("declared", "rows", "shapes", "said"),
    [
        (Input("float", (-1, -1, 3)), 1, {}, r"float \[\?, \?, 3\]; give .*--shape x=3x3$"),
        (Input("float", (-1, -1, 3)), 1, {"x": (4,)}, "give the shape of a row that fits"),
        (Input("float", (-1, -1, 3)), 1, {"x": (4, 5)}, "give the shape of a row that fits"),
        (Input("float", None), 1, {}, "of any shape; give .*--shape x=3x4"),
        (Input("float", (8, 2)), 1, {}, r"\[8, 2\]; ask for 8 rows, not 1"),
        (Input("float", ()), 1, {"x": (3,)}, "one float for all rows"),
        (Input("float", (-1, 3)), 1, {"y": (3,)}, r"--shape is given for \['y'\]; the inputs are \['x'\]"),
        (Input("resource", ()), 1, {}, "resource, which cannot be sent"),
    ],
)
def test_shapes_that_do_not_fit(declared, rows, shapes, said):
    with pytest.raises(ValueError, match=said):
        random_inputs({"x": declared}, rows, shapes)


def test_a_signature_without_inputs():
    with pytest.raises(ValueError, match="no inputs"):
        random_inputs({}, 1)


def test_a_signature_that_is_not_there(server):
    for ask in (lambda: over_rest(rest(server), "other"), lambda: over_grpc(grpc(server), "model", "other")):
        with pytest.raises(MeasurementFailed, match=r"no signature 'other', but .*mixed, serving_default"):
            ask()


def test_a_model_that_is_not_there(server):
    with pytest.raises(RequestError, match=r"NOT_FOUND \(HTTP 404\)"):
        over_rest(rest(server, "/v1/models/other:predict"))
    with pytest.raises(RequestError, match="NOT_FOUND"):
        over_grpc(grpc(server), "other")


@pytest.mark.parametrize("path", ["/v1/projects/1/locations/a/endpoints/2:predict", "/v1/models/model", "/predict"])
def test_an_address_that_has_no_metadata_beside_it(path):
    with pytest.raises(ValueError, match=r"no metadata beside http://127\.0\.0\.1:1/.*--inputs or --body"):
        over_rest(RestTarget(f"http://127.0.0.1:1{path}"))


def metadata(content):
    """An answer whose map of signatures has this content."""
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    kind = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    answer.metadata["signature_def"].MergeFrom(any_pb2.Any(type_url=kind, value=content))
    return answer.SerializeToString()


def test_headers_are_sent_along_and_answers_read_with_care():
    said = json.dumps({"metadata": {"signature_def": {"signature_def": {"a": {"inputs": {"x": {}}}}}}}).encode()
    answers = [b"[1, 2]", b"<html>", b'{"metadata": null}', said]
    with answering(lambda number: (200, answers[number - 1])) as server:
        target = RestTarget(server.url, headers={"Authorization": "Bearer 1"}, form=payload.json_rows().compressed())
        for _ in answers:
            with pytest.raises(MeasurementFailed, match="no metadata of a model"):
                over_rest(target, "a")
    assert {each.path for each in server.requests} == {"/v1/models/m/metadata"}
    assert {each.headers["Authorization"] for each in server.requests} == {"Bearer 1"}
    assert "Content-Encoding" not in server.requests[0].headers


@pytest.mark.parametrize("answer", [b"\xff\xff", metadata(b"\xff\xff")], ids=["no message", "no signatures"])
def test_an_answer_over_grpc_that_is_no_metadata(answer):
    with (
        answering_over_grpc(answer) as address,
        pytest.raises(MeasurementFailed, match=r"What 127\.0\.0\.1:\d+ answers is no metadata of a model: b"),
    ):
        over_grpc(GrpcTarget(address, "m"), "m")


def test_nobody_there():
    with pytest.raises(RequestError, match=r"UNAVAILABLE.*ConnectionError"):
        over_rest(RestTarget("http://127.0.0.1:1/v1/models/m:predict"))
    with pytest.raises(RequestError, match="UNAVAILABLE"):
        over_grpc(GrpcTarget("127.0.0.1:1", "m", timeout=5), "m")


@pytest.mark.parametrize(
    ("dtype", "values", "low", "high", "whole"),
    [
        ("float32", None, -6, 6, False),
        ("float32", "uniform", 0, 1, False),
        ("float32", "digits", 0, 9, True),
        ("float64", "pixels", 0, 255, True),
        ("int64", None, 0, 9, True),
        ("uint8", None, 0, 255, True),
    ],
)
def test_what_the_values_are(dtype, values, low, high, whole):
    array = random_array(np.dtype(dtype), (100, 30), values=values, generator=np.random.default_rng(0))
    assert (array.dtype, array.shape) == (np.dtype(dtype), (100, 30))
    assert low <= array.min() < low + 0.4 * (high - low) and high - 0.4 * (high - low) < array.max() <= high
    assert (array == array.round()).all() == whole


def test_both_parts_of_a_complex_number_are_drawn():
    array = random_array(np.dtype(np.complex64), (50,), generator=np.random.default_rng(0))
    assert array.real.std() > 0.5 and array.imag.std() > 0.5 and (array.real != array.imag).all()


@pytest.mark.parametrize(
    ("dtype", "values", "said"),
    [
        ("int32", "normal", "no whole numbers"),
        ("int8", "pixels", "int8 to 127"),
        ("bool", "uniform", "only one kind"),
        ("object", "digits", "only one kind"),
        ("float32", "gamma", "values are 'gamma'; there are normal, uniform, digits, pixels"),
    ],
)
def test_values_that_a_type_cannot_hold(dtype, values, said):
    with pytest.raises(ValueError, match=said):
        random_array(np.dtype(dtype), (2,), values=values, generator=np.random.default_rng(0))
