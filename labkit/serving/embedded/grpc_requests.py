"""What every gRPC method needs of its call: the message, the model it is for, the time that is left."""

from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from labkit.serving.embedded.manager import ModelManager
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.status import invalid_argument

if TYPE_CHECKING:
    from tensorflow_serving.apis.model_pb2 import ModelSpec

Context: TypeAlias = grpc.aio.ServicerContext


def parsed(kind: Any, message: bytes) -> Any:
    """The message of that kind in the bytes.

    Raises:
        StatusError: INVALID_ARGUMENT, they are none.
    """
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise invalid_argument(f"The message is not a {kind.__name__}: {error}") from None


def check_spec(request: Any) -> None:
    """Check that the request has a model_spec.

    Raises:
        StatusError: INVALID_ARGUMENT, it has none.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


def servable(manager: ModelManager, spec: "ModelSpec") -> Servable:
    """What the spec names by model, and version or label.

    Raises:
        StatusError: INVALID_ARGUMENT, no name or an unknown label; NOT_FOUND, it is not loaded.
    """
    if not spec.name:
        raise invalid_argument("ModelSpec has no name specified.")
    label = spec.version_label if spec.WhichOneof("version_choice") == "version_label" else None
    return manager.servable(spec.name, version(spec), label)


def version(spec: "ModelSpec") -> int | None:
    """The version's number, if the spec has one."""
    return spec.version.value if spec.WhichOneof("version_choice") == "version" else None


def milliseconds_left(context: Context) -> int:
    """Until the client's deadline; 0 if there is none."""
    seconds = context.time_remaining()
    return 0 if seconds is None else max(1, min(int(seconds * 1000), (1 << 31) - 1))
