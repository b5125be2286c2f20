"""Which shapes a TFLite model may be given.

TensorFlow Serving resizes a model to whatever a request has. Where the model's kernels do not check their inputs'
shapes, that ends the process: an LSTM given a vector calls abort(). So here a model that is more than arithmetic is
given the number of dimensions, and the sizes, that it declares; the first size, and those it leaves open, are free.
"""

from collections.abc import Sequence

from labkit.serving.embedded.status import invalid_argument

# The most dimensions that the delegate with most of the kernels has room for (XNN_MAX_TENSOR_DIMS).
_MOST_DIMENSIONS = 6
# Operators that were given inputs of random shapes by the thousand, and refused or computed all of them.
_ARITHMETIC = (
    *("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "FULLY_CONNECTED"),
    *("RELU", "RELU6", "LOGISTIC", "TANH", "QUANTIZE", "DEQUANTIZE"),
)


def is_arithmetic(content: bytes) -> bool:
    """Whether the ``.tflite`` file, found sound by an interpreter, has none but such operators."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator, Model

    known = {getattr(BuiltinOperator, name) for name in _ARITHMETIC}
    model = Model.GetRootAs(content, 0)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    # The first 127 operators stand in a field of one byte in files of early converters.
    return all(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) in known for code in codes)


def check(name: str, shape: Sequence[int], declared: Sequence[int], *, any_size: bool) -> None:
    """Check that the input tensor `name` may be given `shape`.

    Args:
        name: the tensor's name.
        shape: the request's.
        declared: the model's, -1 for sizes that it leaves open; empty for a scalar, and where it says nothing.
        any_size: the model takes inputs of any size (`is_arithmetic`).

    Raises:
        StatusError: INVALID_ARGUMENT, it may not.
    """
    if len(shape) > max(_MOST_DIMENSIONS, len(declared)):
        raise invalid_argument(
            f"Input tensor {name} has {len(shape)} dimensions; a TFLite model takes at most {_MOST_DIMENSIONS}"
        )
    if any_size or not declared:
        return
    fixed = zip(shape[1:], declared[1:], strict=False)
    if len(shape) != len(declared) or any(size != wanted for size, wanted in fixed if wanted >= 0):
        raise invalid_argument(
            f"Input tensor {name} has shape {list(shape)}, the model takes {list(declared)}; the first size and each "
            "-1 are free"
        )
