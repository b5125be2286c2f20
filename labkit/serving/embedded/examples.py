"""Classify, Regress and MultiInference: a signature that takes serialized tf.Examples and answers in a fixed form.

The rules and messages are TensorFlow Serving's (servables/tensorflow/multi_inference.cc, util.cc, and those that
`example_signatures` names). The functions whose names end with `_steps` take and give protobuf messages; what comes
before them knows no protocol.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.serving.embedded.example_signatures import (
    CLASSIFY_METHOD,
    REGRESS_METHOD,
    Classes,
    check_classify,
    check_regress,
    classes,
    classify_outputs,
    values,
)
from labkit.serving.embedded.servable import DEFAULT_SIGNATURE, Servable, Signature
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.steps import Steps

if TYPE_CHECKING:
    from tensorflow_serving.apis.classification_pb2 import (
        ClassificationRequest,
        ClassificationResponse,
        ClassificationResult,
    )
    from tensorflow_serving.apis.inference_pb2 import InferenceTask, MultiInferenceRequest, MultiInferenceResponse
    from tensorflow_serving.apis.input_pb2 import Input
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse, RegressionResult

_MOST_MERGED_BYTES = 1 << 28  # ours: a context is repeated for every example, so few bytes can become many


def classification(servable: Servable, examples: Sequence[bytes], signature_name: str) -> Steps[Classes]:
    """The steps of one Classify request.

    Args:
        servable: the version to ask.
        examples: serialized tf.Examples.
        signature_name: a signature with the input `inputs` and the outputs `classes`, `scores` or both.

    Raises:
        StatusError: INVALID_ARGUMENT, the signature, the examples or the outputs are not as they must be.
    """
    signature = _signature(servable, signature_name, "No signature was found with the name")
    check_classify(servable, signature, signature_name)
    found = yield from _run(servable, "Classify", [signature], examples, classify_outputs(signature))
    return classes(signature, found, len(examples))


def regression(servable: Servable, examples: Sequence[bytes], signature_name: str) -> Steps[np.ndarray]:
    """The steps of one Regress request, to a float32 for each example, [n].

    Raises:
        StatusError: as `classification`; the signature has the input `inputs` and the output `outputs`.
    """
    signature = _signature(servable, signature_name, "No signature was found with the name")
    check_regress(servable, signature, signature_name)
    found = yield from _run(servable, "Regress", [signature], examples, {signature.outputs["outputs"]})
    return values(signature, found, len(examples))


def inferences(
    servable: Servable, examples: Sequence[bytes], tasks: Sequence[tuple[str, str]]
) -> Steps[list[Classes | np.ndarray]]:
    """The steps of several Classify and Regress questions about the same examples, in one run of the model.

    Args:
        servable: the version to ask.
        examples: serialized tf.Examples.
        tasks: signature and method name (``tensorflow/serving/classify`` or ``.../regress``) of each.

    Raises:
        StatusError: UNIMPLEMENTED for another method name; else as `classification`.
    """
    signatures: dict[str, Signature] = {}
    wanted: set[str] = set()
    for name, method in tasks:
        if name in signatures:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        signature = _signature(servable, name, "Requested signature not found in model graph")
        if method == CLASSIFY_METHOD:
            check_classify(servable, signature, name)
            wanted |= classify_outputs(signature)
        elif method == REGRESS_METHOD:
            check_regress(servable, signature, name)
            wanted.add(signature.outputs["outputs"])
        else:
            raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
        signatures[name] = signature
    found = yield from _run(servable, "MultiInference", list(signatures.values()), examples, wanted)
    return [
        (classes if method == CLASSIFY_METHOD else values)(signatures[name], found, len(examples))
        for name, method in tasks
    ]


def with_context(context: bytes, examples: list[bytes]) -> list[bytes]:
    """Serialized tf.Examples that also have the features of the serialized `context`; their own come first.

    Messages one behind the other are one message, in which the last value of a key counts.

    Raises:
        StatusError: INVALID_ARGUMENT, together they are unreasonably large.
    """
    if len(context) * len(examples) > _MOST_MERGED_BYTES:
        raise invalid_argument(
            f"The context has {len(context)} bytes and is repeated for each of {len(examples)} examples, more than "
            f"{_MOST_MERGED_BYTES} bytes in all. Send fewer examples at a time."
        )
    return [context + example for example in examples] if context else examples


def _signature(servable: Servable, name: str, missing: str) -> Signature:
    if name not in servable.signatures:
        raise invalid_argument(f"{missing}: {name}")
    return servable.signatures[name]


def _run(
    servable: Servable, api: str, signatures: list[Signature], examples: Sequence[bytes], wanted: set[str]
) -> Steps[dict[str, np.ndarray]]:
    """The values of the graph's tensors `wanted` when the inputs of all `signatures` are fed with the examples."""
    if not examples:
        raise invalid_argument("Input is empty.")
    fed = np.empty(len(examples), object)
    fed[:] = examples
    inputs = {signature.inputs["inputs"]: fed for signature in signatures}
    fetches = sorted(wanted)
    results = yield from servable.run(api, list(inputs.items()), fetches)
    return dict(zip(fetches, results, strict=True))


def serialized(message: "Input") -> list[bytes]:
    """The examples of a request's Input, its context put before each.

    Raises:
        StatusError: INVALID_ARGUMENT, context and examples together are unreasonably large.
    """
    if message.WhichOneof("kind") == "example_list_with_context":
        parts = message.example_list_with_context
        return with_context(
            parts.context.SerializeToString(), [example.SerializeToString() for example in parts.examples]
        )
    return [example.SerializeToString() for example in message.example_list.examples]


def fed_bytes(message: "Input") -> int:
    """About the bytes that the model will be fed with; a context counts for every example."""
    context = message.example_list_with_context.context.ByteSize()
    return message.ByteSize() + context * len(message.example_list_with_context.examples)


def classify_steps(request: "ClassificationRequest", servable: Servable) -> "Steps[ClassificationResponse]":
    """The steps of a Classify message to its response; its model_spec counts for the signature_name only.

    Raises:
        StatusError: as `classification`.
    """
    from tensorflow_serving.apis.classification_pb2 import ClassificationResponse

    response = ClassificationResponse()
    name = _fill_spec(response.model_spec, request.model_spec, servable)
    _fill_classes(response.result, (yield from classification(servable, serialized(request.input), name)))
    return response


def regress_steps(request: "RegressionRequest", servable: Servable) -> "Steps[RegressionResponse]":
    """The steps of a Regress message to its response, as `classify_steps`."""
    from tensorflow_serving.apis.regression_pb2 import RegressionResponse

    response = RegressionResponse()
    name = _fill_spec(response.model_spec, request.model_spec, servable)
    _fill_values(response.result, (yield from regression(servable, serialized(request.input), name)))
    return response


def multi_inference_steps(request: "MultiInferenceRequest", servable: Servable) -> "Steps[MultiInferenceResponse]":
    """The steps of a MultiInference message to its response: a result for each task, in their order.

    Raises:
        StatusError: INVALID_ARGUMENT, the tasks are not all for one model; else as `inferences`.
    """
    from tensorflow_serving.apis.inference_pb2 import MultiInferenceResponse

    _check_one_model(request.tasks)
    response = MultiInferenceResponse()
    tasks = []
    for task in request.tasks:
        result = response.results.add()
        tasks.append((_fill_spec(result.model_spec, task.model_spec, servable), task.method_name))
    answers = yield from inferences(servable, serialized(request.input), tasks)
    for result, answer in zip(response.results, answers, strict=True):
        if isinstance(answer, Classes):
            _fill_classes(result.classification_result, answer)
        else:
            _fill_values(result.regression_result, answer)
    return response


def _check_one_model(tasks: "Sequence[InferenceTask]") -> None:
    for task in tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")


def _fill_spec(answered: "ModelSpec", asked: "ModelSpec", servable: Servable) -> str:
    """Write what answers into the response's model_spec; the signature's name, which may be the default one."""
    answered.name, answered.version.value = servable.name, servable.version
    answered.signature_name = asked.signature_name or DEFAULT_SIGNATURE
    return answered.signature_name


def _fill_classes(result: "ClassificationResult", found: Classes) -> None:
    """Write the classes into the message. Its labels are text: bytes that are not UTF-8 are replaced."""
    for labels, scores in zip(*found.rows(), strict=True):
        add: Callable[..., object] = result.classifications.add().classes.add
        for label, score in zip(labels, scores, strict=True):
            add(label=label.decode("utf-8", "replace"), score=score)


def _fill_values(result: "RegressionResult", found: np.ndarray) -> None:
    for value in found.tolist():
        result.regressions.add(value=value)
