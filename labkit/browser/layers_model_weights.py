"""The weights of TensorFlow.js models: specs (name, shape, dtype) and the bytes of all, one after the other."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import ModelConversionError

SHARD_BYTES = 4 * 2**20  # what browsers keep in their cache; the size that TensorFlow.js's own converter writes
_DTYPES = {"bool": "?", "float16": "<f2", "float32": "<f4", "int32": "<i4", "uint8": "u1", "uint16": "<u2"}


def write_shards(weights: Mapping[str, np.ndarray], folder: Path) -> list[dict[str, Any]]:
    """Write weights as float32 in files of 4 MiB, and return the manifest for ``model.json``."""
    arrays = {name: np.ascontiguousarray(array, "<f4") for name, array in weights.items()}
    data = b"".join(array.tobytes() for array in arrays.values())
    starts = range(0, len(data), SHARD_BYTES)
    paths = [f"group1-shard{number + 1}of{len(starts)}.bin" for number in range(len(starts))]
    for path, start in zip(paths, starts, strict=True):
        (folder / path).write_bytes(data[start : start + SHARD_BYTES])
    specs = [{"name": name, "shape": list(array.shape), "dtype": "float32"} for name, array in arrays.items()]
    return [{"paths": paths, "weights": specs}] if paths else []


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """The weights of the model in a folder, by name.

    Raises:
        ModelConversionError: there is none, or a file of it is missing or of another size.
    """
    file = folder if folder.suffix == ".json" else folder / "model.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))["weightsManifest"]
        weights: dict[str, np.ndarray] = {}
        for group in manifest:
            data = b"".join((file.parent / path).read_bytes() for path in group["paths"])
            weights |= decode(group["weights"], data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelConversionError(
            f"{folder} is not the folder of a TensorFlow.js model, or not all of one: {error}. Give the one with "
            "model.json and the files of weights that it names."
        ) from error
    return weights


def read_artifacts(artifacts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights of a model that a page gave to a save handler, by name.

    Raises:
        ModelConversionError: they are not in there.
    """
    specs = artifacts.get("weightSpecs", artifacts.get("weight_specs"))
    data = artifacts.get("weightData", artifacts.get("weight_data"))
    if specs is None or data is None:
        raise ModelConversionError(
            f"artifacts has {', '.join(map(str, artifacts)) or 'nothing'}; wanted are weightSpecs and weightData, as "
            "tf.io.withSaveHandler hands them to its function."
        )
    return decode(specs, _joined(data))


def decode(specs: Iterable[Mapping[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    """Arrays from bytes; weights of the optimizer are left out.

    Args:
        specs: of each array name, shape and dtype, and how it was quantised, if it was.
        data: the arrays one after the other, little-endian, C order.

    Raises:
        ModelConversionError: the bytes are more or fewer than the specs say, or a dtype is none of numbers.
    """
    weights, start = {}, 0
    for spec in specs:
        quantization = spec.get("quantization") or {}
        stored = quantization.get("dtype", spec["dtype"])
        if stored not in _DTYPES or spec["dtype"] not in _DTYPES:
            raise ModelConversionError(f"Weight {spec['name']!r} is of dtype {stored}; only numbers can be read.")
        count = int(np.prod(spec["shape"], dtype=np.int64))
        end = start + count * np.dtype(_DTYPES[stored]).itemsize
        if end > len(data):
            raise ModelConversionError(f"The weights end after {len(data)} bytes, within {spec['name']!r}.")
        array = np.frombuffer(data[start:end], _DTYPES[stored]).reshape(spec["shape"])
        if "scale" in quantization:
            array = array * np.float32(quantization["scale"]) + np.float32(quantization["min"])
        if spec.get("group") != "optimizer":
            weights[spec["name"]] = array.astype(spec["dtype"])
        start = end
    if start != len(data):
        raise ModelConversionError(f"There are {len(data)} bytes of weights, and the specs name {start} of them.")
    return weights


def _joined(data: Any) -> bytes:
    """The bytes of an array, a buffer, or several of them."""
    if isinstance(data, Sequence) and not isinstance(data, (bytes, bytearray, memoryview)):
        return b"".join(map(_joined, data))
    if isinstance(data, np.ndarray):
        return data.tobytes()
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        raise ModelConversionError(f"weightData is a {type(data).__name__}; bytes or an array are wanted.") from error
