"""Several requests' arrays into one, and the outputs apart again: the arithmetic of batching, without any queue.

Rules and messages are TensorFlow Serving's (batching/batching_session.cc, batching_util.cc).
"""

from collections.abc import Sequence

import numpy as np

from labkit.serving.embedded.status import Code, StatusError, invalid_argument


def rows_of(arrays: Sequence[np.ndarray]) -> int:
    """The size of dimension 0, which all inputs of one request must share.

    Raises:
        StatusError: INVALID_ARGUMENT, they do not, or one is a scalar, or there is none.
    """
    if not arrays:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    rows = None
    for array in arrays:
        if not array.ndim:
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        if rows is not None and len(array) != rows:
            raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
        rows = len(array)
    assert rows is not None
    return rows


def merged(name: str, arrays: Sequence[np.ndarray], rows: int, pad: bool) -> np.ndarray:
    """One input of a batch: the requests' arrays below each other.

    Args:
        name: the graph's tensor, for messages.
        arrays: what each request has for it, in order; of one dtype, none without rows.
        rows: how many rows the batch shall have; what is missing repeats the first row of the last array.
        pad: bring arrays of one rank to the same shape first, with their own first element.

    Raises:
        StatusError: FAILED_PRECONDITION, the shapes differ; INVALID_ARGUMENT, an empty array cannot be padded.
    """
    if pad:
        arrays = _of_one_shape(arrays)
    first = arrays[0].shape[1:]
    if any(array.shape[1:] != first for array in arrays):
        raise StatusError(
            Code.FAILED_PRECONDITION,
            f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. Set "
            "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions "
            "starting with the first dim.",
        )
    if missing := rows - sum(map(len, arrays)):
        arrays = [*arrays, *[arrays[-1][:1]] * missing]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _of_one_shape(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) == 1 or len({len(shape) for shape in shapes}) > 1:
        return arrays
    largest = tuple(map(max, zip(*shapes, strict=True)))
    return [_padded(array, largest) for array in arrays]


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape[1:] == shape:
        return array
    if not array.size:
        raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
    wider = np.full((len(array), *shape), array.reshape(-1)[0], array.dtype)
    wider[tuple(map(slice, array.shape))] = array
    return wider


def check_outputs(outputs: Sequence[np.ndarray], rows: int) -> None:
    """Whether every output has a row for each row of the batch.

    Raises:
        StatusError: FAILED_PRECONDITION, one has not, so nobody knows which rows are whose.
    """
    for output in outputs:
        if not output.ndim:
            raise StatusError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(output) != rows:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
