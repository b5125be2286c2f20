"""REST against gRPC in bytes: one batch in every form, one form in every type, pictures as numbers and as files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench import report
from labkit import bench
from labkit.bench import payload

ROWS, COLUMNS = 1000, 784
EACH_FORM = f"bytes per value, {ROWS} x {COLUMNS} float32"
PICTURE = "bytes of a picture, 224 x 224"
UNIT = "bytes per value"
_SHAPE = (100, 100)  # of each type: enough for a mean to two digits


def by_type(name: str) -> str:
    """The case with the sizes of one type."""
    return f"bytes per value, {name}"


def measure_payload(run: report.Run, work: Path, rounds: int) -> None:
    """Bytes of a batch in every form, of every type in three, and of a picture; the same in every run."""
    run.add(EACH_FORM, UNIT, _per_value({"x": normal(ROWS, COLUMNS)}, payload.all_forms("m")))
    for name, array in _types().items():
        run.add(by_type(name), UNIT, _per_value({"x": array}, _that_can(array)))
    run.add(PICTURE, "bytes", _picture(_crop()))


def normal(rows: int, columns: int) -> np.ndarray:
    """Normally distributed numbers, the same each time: as most features are, after scaling."""
    return np.random.default_rng(0).standard_normal((rows, columns), np.float32)


def _per_value(inputs: Mapping[str, np.ndarray], forms: list[payload.WireForm]) -> report.Rounds:
    return {each.name: [each.bytes_per_value] for each in payload.measure(inputs, forms)}


def _that_can(array: np.ndarray) -> list[payload.WireForm]:
    """The three forms between which one chooses; two for what JSON cannot carry."""
    forms = [payload.tensor_fields("m"), payload.tensor_content("m")]
    return forms if array.dtype == np.float16 else [payload.json_rows(), *forms]


def _types() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    doubles = rng.standard_normal(_SHAPE)
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (*_SHAPE, 8)).astype(object)
    return {
        "float64": doubles,
        "float32": doubles.astype(np.float32),
        "float16": doubles.astype(np.float16),
        "int64, 0 to 99": rng.integers(0, 100, _SHAPE),
        "int64, -99 to -1": rng.integers(-99, 0, _SHAPE),
        "uint8, pixels": rng.integers(0, 256, _SHAPE, np.uint8),
        "strings of 8 letters": letters.sum(axis=2),
    }


def _crop() -> np.ndarray:
    """A piece of a photograph that comes with scikit-learn, uint8 [1, 224, 224, 3]."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")[np.newaxis, 100:324, 200:424]


def _picture(pixels: np.ndarray) -> report.Rounds:
    scaled = (pixels / 255).astype(np.float32)
    rest, fields, content = payload.json_rows(), payload.tensor_fields("m"), payload.tensor_content("m")
    ways = {
        "REST, numbers 0 to 1": (rest, scaled),
        "REST, numbers 0 to 255": (rest, pixels),
        "gRPC, tensor_content, float32": (content, scaled),
        "gRPC, typed field, uint8": (fields, pixels),
        "gRPC, tensor_content, uint8": (content, pixels),
    }
    for format in ("PNG", "JPEG"):
        file = np.array(bench.image_files(pixels, format), object)
        ways |= {f"REST, {format} file in base64": (rest, file), f"gRPC, {format} file": (content, file)}
    return {name: [float(len(form.encode({"x": batch})))] for name, (form, batch) in ways.items()}
