"""Inputs for a model that is only known by its server: its signature is asked for, and random arrays of that form made.

Any server that has TensorFlow Serving's metadata will do. A Vertex AI endpoint has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import requests

from labkit.bench.random_arrays import random_array
from labkit.errors import MeasurementFailed, RequestError
from labkit.serving import rest_messages
from labkit.serving.embedded import dtypes

if TYPE_CHECKING:
    from labkit.bench.inputs import Inputs
    from labkit.bench.targets import GrpcTarget, RestTarget

_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
_PREDICT = ":predict"


@dataclass(frozen=True)
class Input:
    """One input of a signature.

    Attributes:
        type_name: TensorFlow's name of its type, such as ``float``.
        shape: its dimensions, -1 for one of any length; None if even their number is open.
    """

    type_name: str
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.type_name} of any shape"
        return f"{self.type_name} [{', '.join('?' if size < 0 else str(size) for size in self.shape)}]"


def over_rest(target: "RestTarget", signature_name: str | None = None) -> dict[str, Input]:
    """The inputs of a signature, by name, from the ``/metadata`` beside a ``/v1/models/NAME:predict`` address.

    Raises:
        ValueError: the target's address is another one.
        RequestError: the server refused, or could not be reached.
        MeasurementFailed: what it says is no metadata, or it has no such signature.
    """
    parts = urlsplit(target.url)
    if not parts.path.startswith("/v1/models/") or not parts.path.endswith(_PREDICT):
        raise ValueError(
            f"there is no metadata beside {target.url}, only beside http://HOST:PORT/v1/models/NAME:predict; say what "
            "to send with --inputs or --body"
        )
    url = parts._replace(path=f"{parts.path.removesuffix(_PREDICT)}/metadata", query="").geturl()
    content = _get(url, target)
    try:
        signatures = rest_messages.json_object(content)["metadata"]["signature_def"]["signature_def"]
        found = {name: dict(signature["inputs"]) for name, signature in signatures.items()}
        infos = _chosen(found, signature_name)
        return {name: _from_json(info) for name, info in infos.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasurementFailed(f"What {url} answers is no metadata of a model: {content[:80]!r}") from error


def over_grpc(target: "GrpcTarget", model_name: str, signature_name: str | None = None) -> dict[str, Input]:
    """The inputs of a signature, by name, from GetModelMetadata.

    Raises:
        RequestError: the server refused, or could not be reached.
        MeasurementFailed: what it says is no metadata, or it has no such signature.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import get_model_metadata_pb2 as pb2

    request = pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model_name
    content = _call(target, request.SerializeToString())
    signatures = pb2.SignatureDefMap()
    try:
        pb2.GetModelMetadataResponse.FromString(content).metadata["signature_def"].Unpack(signatures)
    except DecodeError as error:
        words = f"What {target.address} answers is no metadata of a model: {content[:80]!r}"
        raise MeasurementFailed(words) from error
    infos = _chosen({name: each.inputs for name, each in signatures.signature_def.items()}, signature_name)
    return {
        name: Input(
            dtypes.for_messages(info.dtype).name,
            None if info.tensor_shape.unknown_rank else tuple(each.size for each in info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }


def random_inputs(
    signature: Mapping[str, Input], rows: int, shapes: Mapping[str, tuple[int, ...]] | None = None, *, seed: int = 0
) -> "Inputs":
    """Random arrays that a signature takes.

    Args:
        signature: its inputs.
        rows: the length of the first dimension, the batch.
        shapes: input name -> the shape of one row, where the signature leaves it open.
        seed: the same one gives the same arrays.

    Raises:
        ValueError: the shape of an input is open and not given, or does not fit; or its type cannot be sent.
    """
    if not signature:
        raise ValueError("the signature has no inputs; there is nothing to make")
    if unknown := sorted(set(shapes or {}) - set(signature)):
        raise ValueError(f"--shape is given for {unknown}; the inputs are {sorted(signature)}")
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, declared in sorted(signature.items()):
        shape = _shape(name, declared, rows, (shapes or {}).get(name))
        arrays[name] = random_array(_numpy_type(name, declared), shape, generator=generator)
    return arrays


def _get(url: str, target: "RestTarget") -> bytes:
    headers = {name: value for name, value in target.headers.items() if name.lower() != "content-encoding"}
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(url, headers=headers, timeout=target.timeout)
    except requests.RequestException as error:
        raise RequestError("UNAVAILABLE", f"{type(error).__name__}: {error}") from error
    if response.status_code != 200:
        raise rest_messages.request_error(response.status_code, response.content)
    return response.content


def _call(target: "GrpcTarget", request: bytes) -> bytes:
    options = [("grpc.enable_http_proxy", 0)]
    if target.credentials is None:
        channel = grpc.insecure_channel(target.address, options)
    else:
        channel = grpc.secure_channel(target.address, target.credentials, options)
    with channel:
        try:
            return channel.unary_unary(_METADATA)(request, timeout=target.timeout, metadata=target.metadata)
        except grpc.RpcError as error:
            raise RequestError(error.code().name, error.details() or "") from error


def _chosen(signatures: Mapping[str, Any], name: str | None) -> Any:
    wanted = name or "serving_default"
    if wanted not in signatures:
        raise MeasurementFailed(
            f"The model has no signature {wanted!r}, but {', '.join(sorted(signatures)) or 'none at all'}: --signature"
        )
    return signatures[wanted]


def _from_json(info: Mapping[str, Any]) -> Input:
    shape = info["tensor_shape"]
    sizes = None if shape.get("unknown_rank") else tuple(int(each["size"]) for each in shape.get("dim", []))
    return Input(info["dtype"].removeprefix("DT_").lower(), sizes)


def _numpy_type(name: str, declared: Input) -> np.dtype:
    try:
        return dtypes.named(declared.type_name).numpy
    except KeyError:
        raise ValueError(f"input {name!r} is {declared.type_name}, which cannot be sent as a tensor") from None


def _shape(name: str, declared: Input, rows: int, given: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of the whole array."""
    if declared.shape == ():
        if given:
            raise ValueError(f"input {name!r} is one {declared.type_name} for all rows; --shape does not fit it")
        return ()
    first, *row = declared.shape or (-1, *(given or ()))
    if first not in (-1, rows):
        raise ValueError(f"input {name!r} is {declared}; ask for {first} rows, not {rows}")
    wanted = tuple(row) if given is None else given
    fits = len(wanted) == len(row) and all(size in (-1, length) for size, length in zip(row, wanted, strict=True))
    if not fits or -1 in wanted or (declared.shape is None and given is None):
        example = "3x4" if declared.shape is None else "x".join("3" if size < 0 else str(size) for size in row)
        raise ValueError(
            f"input {name!r} is {declared}; give the shape of a row that fits, as --shape {name}={example}"
        )
    return (rows, *wanted)
