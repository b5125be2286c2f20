"""One request on one servable: check the inputs against the signature, run, name the outputs.

REST and gRPC bring numpy arrays here; the only messages are the defaults that a signature has for missing inputs.

The rules and messages are TensorFlow Serving's (servables/tensorflow/predict_util.cc).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from labkit.serving.embedded.servable import Servable, Signature
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.steps import Steps
from labkit.serving.embedded.tensor_proto import to_array

_METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


def prediction(
    servable: Servable, inputs: Mapping[str, np.ndarray], *, signature_name: str, output_filter: Sequence[str] = ()
) -> Steps[dict[str, np.ndarray]]:
    """The steps of one Predict request: they stop where the model runs (`steps`) and end with the outputs by name.

    Args:
        servable: the version to ask.
        inputs: an array for each of the signature's inputs; those it has defaults for may be missing.
        signature_name: one of the servable's signatures.
        output_filter: the outputs wanted, by name; none means all.

    Raises:
        StatusError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs or outputs that do not
            fit it.
    """
    signature = signature_of(servable, signature_name)
    feeds = _feeds(signature, inputs)
    names = _output_names(signature, output_filter)
    results = yield from servable.run("Predict", feeds, [signature.outputs[name] for name in names])
    return dict(zip(names, results, strict=True))


def signature_of(servable: Servable, name: str) -> Signature:
    """The signature of that name.

    Raises:
        StatusError: FAILED_PRECONDITION, the servable has none; INTERNAL, its method_name is unknown and that matters.
    """
    if name not in servable.signatures:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    signature = servable.signatures[name]
    if servable.check_method_names and signature.method_name not in _METHODS:
        raise StatusError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. Was: "
            f"{signature.method_name}",
        )
    return signature


def _feeds(signature: Signature, inputs: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    expected = signature.inputs
    if inputs.keys() == expected.keys():
        return [(tensor, inputs[name]) for name, tensor in expected.items()]
    if len(inputs) > len(expected) or (len(inputs) < len(expected) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(expected)} len({_names(inputs)}) != "
            f"len({_names(expected)}). Sent extra: {_names(inputs.keys() - expected.keys())}. Missing but required: "
            f"{_names(expected.keys() - inputs.keys() - signature.defaults.keys())}."
        )
    feeds = []
    for name in expected:
        if name in inputs:
            feeds.append((expected[name], inputs[name]))
        elif name in signature.defaults:
            feeds.append((expected[name], to_array(name, signature.defaults[name])))
        else:
            raise invalid_argument(
                f"Signature input alias: {name}(feed name: {expected[name]}) not found in request and no default "
                f"value provided. Inputs expected to be in the request {_names(inputs)}, or default input alias set: "
                + ",".join(sorted(signature.defaults))
            )
    return feeds


def _output_names(signature: Signature, output_filter: Sequence[str]) -> list[str]:
    for index, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_names(signature.outputs)}."
            )
        if name in output_filter[:index]:
            raise invalid_argument(f"duplicate output tensor alias: {name}")
    return list(output_filter or signature.outputs)


def _names(names: Mapping[str, object] | set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
