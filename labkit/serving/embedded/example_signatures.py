"""What a signature must be to classify or to regress tf.Examples, and what its outputs must be.

The rules and messages are TensorFlow Serving's (servables/tensorflow/classifier.cc, regressor.cc).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from labkit.serving.embedded import dtypes
from labkit.serving.embedded.servable import Servable, Signature
from labkit.serving.embedded.status import invalid_argument

CLASSIFY_METHOD, REGRESS_METHOD = "tensorflow/serving/classify", "tensorflow/serving/regress"


@dataclass(frozen=True)
class Classes:
    """The answer to a Classify request of n examples: for each, the same number of classes.

    Attributes:
        labels: their labels, bytes, [n, classes]; None if the signature has no output `classes`.
        scores: their scores, float32, [n, classes]; None if the signature has no output `scores`.
    """

    labels: np.ndarray | None
    scores: np.ndarray | None

    def rows(self) -> tuple[list[list[bytes]], list[list[float]]]:
        """Labels and scores of every example; an empty label or a zero stands for what the signature does not give."""
        shape = next(array.shape for array in (self.labels, self.scores) if array is not None)
        labels = np.full(shape, b"", object) if self.labels is None else self.labels
        scores: np.ndarray = np.zeros(shape, np.float32) if self.scores is None else self.scores
        return labels.tolist(), scores.tolist()


def check_classify(servable: Servable, signature: Signature, name: str) -> None:
    """Check that the signature called `name` can answer Classify requests.

    Raises:
        StatusError: INVALID_ARGUMENT, it cannot.
    """
    if servable.check_method_names and signature.method_name != CLASSIFY_METHOD:
        raise invalid_argument(
            f"Expected classification signature method_name to be {CLASSIFY_METHOD}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid_argument(f"No classification inputs found in SignatureDef: {servable.definitions[name]}")
    if not classify_outputs(signature):
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature '
            f"was: {servable.definitions[name]}"
        )


def check_regress(servable: Servable, signature: Signature, name: str) -> None:
    """Check that the signature called `name` can answer Regress requests.

    Raises:
        StatusError: INVALID_ARGUMENT, it cannot.
    """
    if servable.check_method_names and signature.method_name != REGRESS_METHOD:
        raise invalid_argument(
            f"Expected regression signature method_name to be {REGRESS_METHOD}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    for what in ("inputs", "outputs"):
        if what not in getattr(signature, what):
            raise invalid_argument(f"No regression {what} found in SignatureDef: {servable.definitions[name]}")


def classify_outputs(signature: Signature) -> set[str]:
    """The graph's tensors that hold the classes, the scores or both."""
    return {signature.outputs[name] for name in ("classes", "scores") if name in signature.outputs}


def classes(signature: Signature, found: Mapping[str, np.ndarray], examples: int) -> Classes:
    """The classes among what a run has found.

    Args:
        signature: one that `check_classify` has let through.
        found: the values of the graph's tensors.
        examples: how many examples the run was fed with.

    Raises:
        StatusError: INVALID_ARGUMENT, type or shape are not those of classes and scores.
    """
    labels, scores = (found.get(signature.outputs.get(name, "")) for name in ("classes", "scores"))
    for name, array, kind in (("classes", labels, "DT_STRING"), ("scores", scores, "DT_FLOAT")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
        if _type(array) != kind:
            raise invalid_argument(f"Expected {name} Tensor of {kind}. Got: {_type(array)}")
        if len(array) != examples:
            raise invalid_argument(f"Expected {name} output batch size of {examples}. Got: {len(array)}")
    if labels is not None and scores is not None and labels.shape != scores.shape:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    return Classes(labels, scores)


def values(signature: Signature, found: Mapping[str, np.ndarray], examples: int) -> np.ndarray:
    """The regressions, float32 [n], among what a run has found; see `classes`."""
    array = found[signature.outputs["outputs"]]
    if array.ndim != 1 and array.shape[1:] != (1,):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(array)}"
        )
    if len(array) != examples:
        raise invalid_argument(f"Input batch size did not match output batch size: {examples} vs. {len(array)}")
    if _type(array) != "DT_FLOAT":
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_type(array)}")
    return array.reshape(-1)


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _type(array: np.ndarray) -> str:
    return f"DT_{dtypes.of(array).name.upper()}"
