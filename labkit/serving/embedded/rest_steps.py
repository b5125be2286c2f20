"""The steps of a REST request, from its body to the answer's JSON."""

from typing import Any

from labkit.serving.embedded import json_answer, json_document, json_examples, json_numbers, json_tensor
from labkit.serving.embedded.examples import classification, regression
from labkit.serving.embedded.http_server import Request
from labkit.serving.embedded.predict import prediction
from labkit.serving.embedded.servable import DEFAULT_SIGNATURE, Servable
from labkit.serving.embedded.status import invalid_argument
from labkit.serving.embedded.steps import Steps


def predict(servable: Servable, request: Request) -> Steps[bytes]:
    """The steps of ``:predict``.

    Raises:
        StatusError: the body is not a predict request for this servable, or what `predict.prediction` raises.
    """
    body = request.body()
    if numbers := json_numbers.read(body, servable.signatures):
        signature_name, inputs, by_rows = numbers.signature_name, numbers.inputs, numbers.by_rows
    else:
        parsed = _parsed(body)
        signature_name = _signature_name(parsed)
        inputs, by_rows = json_tensor.tensors(parsed, _input_types(servable, signature_name))
    results = yield from prediction(servable, inputs, signature_name=signature_name)
    return json_answer.predictions(results) if by_rows else json_answer.outputs(results)


def classify(servable: Servable, request: Request) -> Steps[bytes]:
    """The steps of ``:classify``.

    Raises:
        StatusError: INVALID_ARGUMENT, the body holds no examples, or what `examples.classification` raises.
    """
    parsed = _parsed(request.body())
    found = yield from classification(servable, json_examples.examples(parsed), _signature_name(parsed))
    return json_answer.classifications(*found.rows())


def regress(servable: Servable, request: Request) -> Steps[bytes]:
    """The steps of ``:regress``, as `classify`."""
    parsed = _parsed(request.body())
    found = yield from regression(servable, json_examples.examples(parsed), _signature_name(parsed))
    return json_answer.regressions(found)


STEPS = {"predict": predict, "classify": classify, "regress": regress}


def check(verb: str, request: Request) -> None:
    """Check what can be checked of the body of a request whose model is not there.

    Raises:
        StatusError: INVALID_ARGUMENT, the body is wrong whatever the model is.
    """
    parsed = _parsed(request.body())
    if verb != "predict":
        json_examples.examples(parsed)


def _parsed(body: bytes) -> dict[str, Any]:
    """The request's JSON object with a `signature_name` that is a string."""
    request = json_document.parse(body)
    if not isinstance(request, dict):
        raise invalid_argument(f"JSON Value: {json_document.shown(request)} Is not object")
    if not isinstance(request.get("signature_name", ""), str):
        raise invalid_argument(
            f"JSON Value: {json_document.shown(request)} not formatted correctly. 'signature_name' key must be a "
            "string value."
        )
    return request


def _signature_name(request: dict[str, Any]) -> str:
    return request.get("signature_name") or DEFAULT_SIGNATURE


def _input_types(servable: Servable, signature_name: str) -> dict[str, int]:
    if signature_name not in servable.signatures:
        raise invalid_argument(f'Serving signature name: "{signature_name}" not found in signature def')
    types = servable.signatures[signature_name].input_types
    if not types:
        raise invalid_argument(f"Failed to get input map for signature: {signature_name}")
    return types
