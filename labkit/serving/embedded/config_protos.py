"""Configuration files in protobuf's text format.

The messages for monitoring, TLS and batching are in no package, so their descriptors are built here when one is first
wanted. Names and numbers are TensorFlow Serving's (monitoring_config.proto, ssl_config.proto,
session_bundle_config.proto); a text file only needs the names.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.serving.embedded.status import Code, StatusError, invalid_argument

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool

_PACKAGE = "tensorflow.serving"
_SCALARS = ("bool", "int64", "string")

# Message -> field -> type and number. A type that begins with a dot is another message.
_MESSAGES: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "PrometheusConfig": {"enable": ("bool", 1), "path": ("string", 2)},
    "MonitoringConfig": {"prometheus_config": (f".{_PACKAGE}.PrometheusConfig", 1)},
    "SSLConfig": {
        "server_key": ("string", 1),
        "server_cert": ("string", 2),
        "custom_ca": ("string", 3),
        "client_verify": ("bool", 4),
    },
    "BatchingParameters": {
        "max_batch_size": (".google.protobuf.Int64Value", 1),
        "batch_timeout_micros": (".google.protobuf.Int64Value", 2),
        "max_enqueued_batches": (".google.protobuf.Int64Value", 3),
        "num_batch_threads": (".google.protobuf.Int64Value", 4),
        "thread_pool_name": (".google.protobuf.StringValue", 5),
        "allowed_batch_sizes": ("repeated int64", 6),
        "pad_variable_length_inputs": ("bool", 7),
        "enable_large_batch_splitting": (".google.protobuf.BoolValue", 8),
        "max_execution_batch_size": (".google.protobuf.Int64Value", 9),
    },
}


class ParseError(StatusError):
    """INVALID_ARGUMENT: a text is no message of the wanted kind.

    Attributes:
        reason: where and why not, as protobuf's own library writes it to stderr upstream.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(Code.INVALID_ARGUMENT, f"Invalid protobuf file: '{path}': {reason}")
        self.reason = reason


def parse(kind: str | type, text: str, path: str | Path) -> Any:
    """The message written in `text`.

    Args:
        kind: a message class, or ``MonitoringConfig``, ``SSLConfig`` or ``BatchingParameters``.
        text: the message in text format.
        path: where the text comes from, for errors.

    Raises:
        ParseError: with line and column of what is wrong.
    """
    from google.protobuf import message_factory, text_format

    message_class: Any = kind
    if isinstance(kind, str):
        message_class = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{kind}"))
    message = message_class()
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise ParseError(path, f"Error parsing text-format {message.DESCRIPTOR.full_name}: {error}") from None


def read(kind: str | type, path: str | Path) -> Any:
    """The message written in the file at `path`.

    Raises:
        ParseError: it is no such message.
        StatusError: INVALID_ARGUMENT, it is no text; NOT_FOUND, it cannot be read.
    """
    try:
        return parse(kind, Path(path).read_text("utf-8"), path)
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}': {error}") from None
    except OSError as error:
        raise StatusError(Code.NOT_FOUND, f"{path}: {error.strerror or error}") from None


@cache
def _pool() -> "DescriptorPool":
    from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2

    # A pool of its own: another module of the process may know messages of the same names.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="labkit/configs.proto", package=_PACKAGE, syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (kind, number) in fields.items():
            _describe(message.field.add(name=field, number=number), kind)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _describe(field: "FieldDescriptorProto", kind: str) -> None:
    repeated, _, name = kind.rpartition(" ")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if name in _SCALARS:
        field.type = getattr(field, f"TYPE_{name.upper()}")
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, name
