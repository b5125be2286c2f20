"""What a TFLite file says about its own inputs and outputs, and whether a browser would compute with it."""

import os
import struct
from pathlib import Path
from typing import Any

from labkit.errors import ModelConversionError

_MARK = b"TFL3"  # bytes 4 to 8 of every TFLite file: the identifier of its schema


def check_tflite(path: str | os.PathLike[str]) -> None:
    """Make sure that a TFLite file states all shapes of its inputs and outputs; `page/lite.js` does the same in a page.

    Raises:
        ModelConversionError: it does not, most often since its batch is open: tfjs-tflite would answer zeros without a
            word, and LiteRT.js refuse to run. Or there is no such file, or it is none of TFLite.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelConversionError(f"{file} is no file; give a TFLite file, as labkit.browser.export_tflite writes it")
    check_content(file.read_bytes(), str(file))


def check_content(content: bytes, name: str) -> None:
    """The same for the bytes of a file that errors call `name`.

    Raises:
        ModelConversionError: as `check_tflite`.
    """
    if content[4:8] != _MARK:
        raise ModelConversionError(
            f"{name} is not a TFLite file: its bytes 4 to 8 are {content[4:8]!r}, not {_MARK!r}. Write one with "
            "labkit.browser.export_tflite(model, path)"
        )
    try:
        tensors = _tensors(content)
    except (struct.error, AttributeError, TypeError, ValueError) as error:  # what flatbuffers makes of a cut file
        raise ModelConversionError(f"{name} is cut or damaged ({error}): write or download it anew") from error
    for kind, tensor, shape in tensors:
        if -1 in shape:
            raise ModelConversionError(
                f"{name}: the {kind} {tensor!r} has the shape {shape}, where -1 is open. In a browser LiteRT.js "
                "refuses that, and tfjs-tflite answers zeros. Write it anew with a fixed batch, as "
                "labkit.browser.export_tflite(model, path, batch=1); a result whose size depends on the numbers has "
                "to become one of fixed size inside the model."
            )


def _tensors(content: bytes) -> list[tuple[str, str, tuple[int, ...]]]:
    """Of each input and output of the file: which of the two, the tensor's name, and its shape with -1 for open."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)  # the others are bodies of loops and branches
    numbers = [("input", graph.Inputs(at)) for at in range(graph.InputsLength())]
    numbers += [("output", graph.Outputs(at)) for at in range(graph.OutputsLength())]
    return [(kind, *_described(graph.Tensors(number))) for kind, number in numbers]


def _described(tensor: Any) -> tuple[str, tuple[int, ...]]:
    # `shape` says 1 for what is open; `shape_signature` says -1, and is there only when something is.
    read, length = (
        (tensor.ShapeSignature, tensor.ShapeSignatureLength())
        if tensor.ShapeSignatureLength()
        else (tensor.Shape, tensor.ShapeLength())
    )
    return (tensor.Name() or b"").decode(), tuple(read(at) for at in range(length))
