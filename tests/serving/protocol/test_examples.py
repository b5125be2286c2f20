"""Classify, Regress and MultiInference over gRPC and REST: §4.1 to §4.3, §5.10 to §5.12."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from ..grpc_calls import GrpcCalls, calls, failure, outcome, request
from ..served import Served
from .cases import Case, begins, parameters, without_white_space
from .example_cases import (
    CLASSIFY,
    GRPC_ERRORS,
    GRPC_INPUT_ERRORS,
    MODELS,
    MULTI_ERRORS,
    REGRESS,
    REST,
    X,
    spec,
    task,
)

WITH_CONTEXT = """input { example_list_with_context {
    context { features { feature { key: "bias" value { float_list { value: 10 } } } } }
    examples { features { feature { key: "x" value { float_list { value: 1 } } } } }
    examples { features { feature { key: "x" value { float_list { value: 2 } } }
                          feature { key: "bias" value { float_list { value: 20 } } } } }
} } """


def _body(signature: str, rest: dict | str) -> bytes:
    """The request's JSON; `rest` as text is what stands behind the signature's name, or is no JSON at all."""
    if isinstance(rest, dict):
        return json.dumps({"signature_name": signature} | rest).encode()
    return f'{{"signature_name": "{signature}", {rest}}}'.encode() if rest != "{" else b"{"


def _check(answer: Any, case: Case) -> None:
    assert answer.status == case.status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    if case.error is not None:
        assert begins(answer.error, case.error), f"\nexpected {case.error!r}\ngot      {answer.error[:500]!r}"
    elif case.text is not None:
        assert without_white_space(answer.text) == case.text
    else:
        assert answer.json == case.answer


@parameters(REST)
def test_rest(many_both: Served, case: Case) -> None:
    verb, signature, rest = case.request
    _check(many_both.ask("POST", f"/v1/models/many:{verb}", _body(signature, rest)), case)


@parameters(MODELS)
def test_rest_model(many: Served, case: Case) -> None:
    _check(many.ask(*case.request), case)


def test_layout(many: Served) -> None:
    """§3.11 for the answers of §4.3."""
    examples = {"examples": [{"x": 0.25}, {"x": 1.0}]}
    classified = many.ask("POST", "/v1/models/many:classify", {"signature_name": "classify_both"} | examples)
    assert classified.text == (
        '{\n    "results": [[["low", 0.25], ["high", 0.75]], [["low", 1.0], ["high", 0.0]]\n    ]\n}'
    )
    regressed = many.ask("POST", "/v1/models/many/versions/1:regress", {"signature_name": "regress"} | examples)
    assert regressed.text == '{\n    "results": [2.125, 2.5]\n}'


def test_names_that_are_not_utf8(many: Served) -> None:
    """A tf.Example cannot carry them; upstream takes them for a feature that nobody asks for. [deviation]"""
    for name in (b"\xff", b"\\ud800"):
        body = b'{"signature_name": "regress", "examples": [{"x": 1.0, "' + name + b'": 1}]}'
        answer = many.ask("POST", "/v1/models/many:regress", body)
        assert answer.status == 400
        assert answer.error.startswith("JSON Parse error: ")


def test_a_context_that_would_fill_the_memory(many: Served) -> None:
    """A few megabytes that ask for 64 GiB are refused: the context is repeated for every example. [deviation]"""
    body = {"signature_name": "regress", "context": {"text": "x" * (1 << 20)}, "examples": [{}] * (1 << 16)}
    answer = many.ask("POST", "/v1/models/many:regress", body)
    assert answer.status == 400
    assert answer.error.startswith("The context has 1048"), answer.error


def _classify(made: GrpcCalls, text: str) -> Any:
    return made.prediction.Classify(text_format.Parse(text, ClassificationRequest()), timeout=60)


def _regress(made: GrpcCalls, text: str) -> Any:
    return made.prediction.Regress(text_format.Parse(text, RegressionRequest()), timeout=60)


def _multi(made: GrpcCalls, text: str) -> Any:
    return made.prediction.MultiInference(text_format.Parse(text, MultiInferenceRequest()), timeout=60)


def _assert_fails(call: Callable[[GrpcCalls, str], Any], made: GrpcCalls, case: Case) -> None:
    code, message = failure(call, made, case.request)
    assert code == case.status, message
    assert begins(message, case.error), message


@parameters(
    [*GRPC_ERRORS, *(replace(case, request=case.request.replace("VERB", "classify")) for case in GRPC_INPUT_ERRORS)]
)
def test_classify_error(grpc_both: GrpcCalls, case: Case) -> None:
    _assert_fails(_classify, grpc_both, case)


@parameters(
    [*GRPC_ERRORS, *(replace(case, request=case.request.replace("VERB", "regress")) for case in GRPC_INPUT_ERRORS)]
)
def test_regress_error(grpc_both: GrpcCalls, case: Case) -> None:
    _assert_fails(_regress, grpc_both, case)


@parameters(MULTI_ERRORS)
def test_multi_inference_error(grpc_both: GrpcCalls, case: Case) -> None:
    _assert_fails(_multi, grpc_both, case)


def _classes(result: Any) -> list[list[tuple[str, float]]]:
    return [[(found.label, found.score) for found in entry.classes] for entry in result.classifications]


def test_classify(grpc_both: GrpcCalls) -> None:
    """§5.10, with a model_spec as for Predict (§5.8)."""
    answer = _classify(grpc_both, spec("classify_both") + X)
    assert _classes(answer.result) == [[("low", 1.0), ("high", 0.0)]]
    assert (answer.model_spec.name, answer.model_spec.signature_name) == ("many", "classify_both")
    assert answer.model_spec.version.value == 1
    assert _classes(_classify(grpc_both, spec("classify_labels") + X).result) == [[("low", 0.0), ("high", 0.0)]]
    assert _classes(_classify(grpc_both, spec("classify") + X).result) == [[("", 2.5)]]


def test_regress(grpc_both: GrpcCalls) -> None:
    """§5.11."""
    answer = _regress(grpc_both, spec("regress") + X)
    assert [found.value for found in answer.result.regressions] == [2.5]
    assert (answer.model_spec.signature_name, answer.model_spec.version.value) == ("regress", 1)


def test_context(grpc_both: GrpcCalls) -> None:
    """§5.10: context bytes and example bytes are one message, so an example's own features count."""
    answer = _regress(grpc_both, spec("regress_flat") + WITH_CONTEXT)
    assert [found.value for found in answer.result.regressions] == [11.0, 22.0]


def test_multi_inference(grpc_both: GrpcCalls) -> None:
    """§5.12: results in the order of the tasks, each with its model_spec; tasks need not share their input."""
    other = task("regress", "regress", more='version_label: "ignored"')
    answer = _multi(grpc_both, REGRESS + CLASSIFY + other + X)
    regressed, classified, also = answer.results
    assert [found.value for found in regressed.regression_result.regressions] == [1.0]
    assert _classes(classified.classification_result) == [[("low", 1.0), ("high", 0.0)]]
    assert [found.value for found in also.regression_result.regressions] == [2.5]
    specs = [(result.model_spec.name, result.model_spec.signature_name) for result in answer.results]
    assert specs == [("many", "regress_flat"), ("many", "classify_both"), ("many", "regress")]
    assert {result.model_spec.version.value for result in answer.results} == {1}


def test_method_names_are_checked_on_demand(saved_models, serve) -> None:
    """§1.4, §5.9: with the flag, a signature answers only the calls that its method_name is for."""
    server = serve("many", saved_models.many, "--enable_signature_method_name_check")
    with calls(server.grpc_port) as made:
        for call, text, error in (
            (_classify, spec("regress"), "Expected classification signature method_name to be tensorflow/serving/clas"),
            (_regress, spec("classify"), "Expected regression signature method_name to be tensorflow/serving/regress"),
            (_multi, task("regress", "classify"), "Expected classification signature method_name to be"),
        ):
            code, message = failure(call, made, text + X)
            assert code == "INVALID_ARGUMENT"
            assert message.startswith(error), message
            assert ". Was: tensorflow/serving/" in message
        code, message = failure(made.predict, request("many", "odd", x=[1.0]))
        assert code == "INTERNAL"
        assert message.startswith("Expected prediction signature method_name to be one of {tensorflow/serving/predict,")
        assert message.endswith("Was: tensorflow/serving/odd")
        assert server.predict({"signature_name": "odd", "instances": [1.0]}).status == 500
        assert server.predict({"instances": [1.0]}).status == 200
        assert _regress(made, spec("regress") + X).result.regressions[0].value == 2.5


def test_method_names_do_not_matter_otherwise(many: Served, grpc_in_c_api: GrpcCalls) -> None:
    """§5.9: any method_name is fine for Predict."""
    assert outcome(grpc_in_c_api.predict, request("many", "odd", x=[1.0])) == ("OK", "")
    assert many.predict({"signature_name": "odd", "instances": [1.0]}).json == {"predictions": [1.0]}
