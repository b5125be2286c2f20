"""What `labkit bench` asks: an address becomes a target, a file or a signature what is sent to it."""

import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import numpy as np

from labkit.bench import payload, signature_inputs
from labkit.bench.inputs import Inputs, named_arrays
from labkit.bench.targets import GrpcTarget, RestTarget
from labkit.errors import MeasurementFailed, RequestError

_TRIES = 3
_MAY_PASS = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")


@dataclass(frozen=True)
class Access:
    """How to reach a server, the same for all its addresses.

    Attributes:
        headers: HTTP headers, and gRPC's metadata.
        timeout: seconds to wait for an answer.
        authority: certificates in PEM that TLS over gRPC trusts; None: those that gRPC brings.
        library: who speaks HTTP.
    """

    headers: Mapping[str, str]
    timeout: float = 60.0
    authority: bytes | None = None
    library: str = "requests"

    def rest(self, url: str, form: payload.WireForm, name: str = "") -> RestTarget:
        """The target at an http or https address; its name is the address if there is no other."""
        if not urlsplit(url).path.strip("/"):
            raise ValueError(f"{url} has no path; a whole address is http://HOST:PORT/v1/models/NAME:predict")
        return RestTarget(
            url, name=name or url, form=form, library=self.library, headers=self.headers, timeout=self.timeout
        )

    def grpc(self, url: str, form: payload.WireForm, name: str = "") -> GrpcTarget:
        """The target at a grpc or grpcs address."""
        parts = urlsplit(url)
        if not parts.hostname or parts.port is None or parts.path.strip("/"):
            raise ValueError(f"{url} is no address of a gRPC server, which is grpc://HOST:PORT, or grpcs:// with TLS")
        secure = grpc.ssl_channel_credentials(self.authority) if parts.scheme == "grpcs" else None
        metadata = {key.lower(): value for key, value in self.headers.items()}
        return GrpcTarget(
            parts.netloc, "", name=name or url, form=form, credentials=secure, metadata=metadata, timeout=self.timeout
        )


def is_grpc(url: str) -> bool:
    """Whether an address is a gRPC server's.

    Raises:
        ValueError: it is neither that nor an HTTP server's.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https", "grpc", "grpcs"):
        raise ValueError(f"{url!r} is no address; it begins with http://, https://, grpc:// or grpcs://")
    return scheme.startswith("grpc")


def as_it_is(protocol: str) -> payload.WireForm:
    """The form of what is not made of arrays: a file's bytes."""

    def write(inputs: Inputs) -> bytes:
        raise ValueError(f"bytes are sent as they are, not made of {list(inputs)}")

    return payload.WireForm("as it is", protocol, write, exact=True)


def usual_json(signature_name: str | None) -> payload.WireForm:
    """REST's rows with the shortest digits, or its columns where the inputs have no rows in common."""
    rows = payload.json_rows(signature_name=signature_name)
    columns = payload.json_columns(signature_name=signature_name)

    def write(inputs: Inputs) -> bytes:
        in_rows = len({array.shape[:1] for array in inputs.values()}) == 1 and all(a.ndim for a in inputs.values())
        return (rows if in_rows else columns).write(inputs)

    return payload.WireForm("JSON", "REST", write, exact=True)


def file_bytes(name: str) -> bytes:
    """A file's bytes; ``-`` is standard input.

    Raises:
        ValueError: there is no such file, or nothing in it.
    """
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    if not content:
        raise ValueError(f"{name} is empty; what is sent should be in it")
    return content


def file_arrays(name: str) -> Inputs:
    """The arrays of an .npz file, by input name.

    Raises:
        ValueError: there is no such file, or something else in it.
    """
    if not zipfile.is_zipfile(name):
        what = "is no .npz file" if Path(name).is_file() else "cannot be read: there is no such file"
        raise ValueError(f"{name} {what}; np.savez('inputs.npz', x=array) writes one, with the input's name for x")
    try:
        with np.load(name, allow_pickle=False) as file:
            return named_arrays({key: file[key] for key in file.files})
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} has no arrays that can be sent: {error}") from None


def signature(
    target: RestTarget | GrpcTarget, model_name: str, signature_name: str | None
) -> dict[str, signature_inputs.Input]:
    """The inputs that the server's metadata tells."""
    if isinstance(target, RestTarget):
        return signature_inputs.over_rest(target, signature_name)
    return signature_inputs.over_grpc(target, model_name, signature_name)


def ask_once(target: RestTarget | GrpcTarget, request: bytes, *, read: bool) -> None:
    """One request before many, so that a wrong address or body says so at once. A server that is busy is asked again.

    Args:
        target: who is asked.
        request: what is sent.
        read: the answer must be one that can be decoded.

    Raises:
        MeasurementFailed: the server refused, could not be reached or answered with something else.
    """
    with closing(target.connect()) as connection:
        for left in reversed(range(_TRIES)):
            try:
                answer = connection.send(request)
                break
            except RequestError as error:
                if not left or error.code not in _MAY_PASS:
                    one_line = " ".join(str(error).split())
                    raise MeasurementFailed(f"{target.name}: {one_line}") from error
    if read:
        with readable(target.name):
            target.decode(answer)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Answers are decoded here; one that cannot be is a MeasurementFailed."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementFailed(f"{name} gave an answer that cannot be read: {error!r}") from error
