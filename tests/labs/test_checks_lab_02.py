"""Checks of lab 02: the solution is right, each typical wrong answer hears what is wrong with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labkit import data, start
from labkit.serving import VersionStatus

start.seed()

COLUMNS = {"bill_length_mm": [39.1, 46.5], "body_mass_g": [3750.0, 3500.0], "sex": ["male", "female"]}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"inputs": COLUMNS}, "right"),
        ({"instances": COLUMNS}, "the key of the row form"),
        (COLUMNS, "has one key"),
        ({"inputs": ROWS}, "turn it round"),
        (
            {"inputs": {name: COLUMNS[name] for name in ("sex", "body_mass_g")}},
            "['bill_length_mm'] is too much or missing",
        ),
        ({"inputs": COLUMNS | {"sex": "male"}}, "sex needs a list"),
        ({"inputs": COLUMNS | {"sex": ["female", "male"]}}, "in another order"),
        ("inputs", "of type str"),
    ],
)
def test_columnar(answer, said, hears) -> None:
    hears("02.1", answer, said)


@pytest.fixture
def request_for() -> Callable[..., Any]:
    def build(*, name="penguins", signature="name_species", version=2, rows=slice(0, 1), **changes: Any) -> Any:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        columns = data.penguins().test.take(rows).inputs | changes
        for each, column in columns.items():
            if column is not None:
                request.inputs[each].CopyFrom(tf.make_tensor_proto(column))
        return request

    return build


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "right"),
        ({"name": "pinguins"}, "asks the model 'pinguins'"),
        ({"signature": ""}, "an empty name is serving_default"),
        ({"version": None}, "leaves the version to the server"),
        ({"version": 1}, "asks for version 1"),
        ({"rows": slice(0, 2)}, "has the shape (2,)"),
        ({"rows": slice(1, 2)}, "not that of the first penguin"),
        ({"sex": None}, "['sex'] is too much or missing"),
        ({"bill_length_mm": np.float32(39.1)}, "without a batch"),
        ({"bill_length_mm": np.array([39.1])}, "is float64"),
    ],
)
def test_predict_request(changes, said, request_for, hears) -> None:
    hears("02.2", request_for(**changes), said)


def test_other_things_than_a_request(hears) -> None:
    from tensorflow_serving.apis import predict_pb2

    hears("02.2", predict_pb2.PredictResponse(), "that is the answer")
    hears("02.2", {"inputs": {}}, "of type dict")


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({2: "END", 1: "AVAILABLE"}, "right"),
        ({2: "AVAILABLE", 1: "END"}, "is being served still"),
        ({3: "AVAILABLE", 2: "END", 1: "END"}, "a step forward"),
        ({1: "AVAILABLE"}, "it was started anew"),
        ({2: "END", 1: "LOADING"}, "not being served yet"),
        ({2: "UNLOADING", 1: "AVAILABLE"}, "on its way out"),
    ],
)
def test_rolled_back(states, said, hears) -> None:
    answer = [VersionStatus(version, state, "OK", "") for version, state in states.items()]
    hears("02.3", answer, said)


def test_something_else_than_a_status(hears) -> None:
    hears("02.3", {1: "AVAILABLE"}, "that server.status() returns")
