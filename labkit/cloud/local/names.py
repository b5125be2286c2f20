"""Resource names: whose project they are in, and where."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.aiplatform_v1 import types
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from labkit.cloud.local.status import ApiError, invalid

if TYPE_CHECKING:
    from labkit.cloud.local.local_cloud import LocalCloud

_NAME = re.compile(r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)(?P<rest>/.*|$)")
# Free structures, variables and texts are the caller's own; what looks like a name in them is left as it is.
_OPAQUE = {
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
    "google.api.HttpBody",
    "google.cloud.aiplatform.v1.EnvVar",
}
_FREE_TEXT = ("display_name", "description", "version_description", "filter")


def settle(cloud: "LocalCloud", request: Any) -> None:
    """Write every resource name in `request` with the project's number, as the real service answers them.

    Args:
        cloud: whose project it must be.
        request: a protobuf message; changed in place.

    Raises:
        ApiError: PERMISSION_DENIED, a name is in another project; INVALID_ARGUMENT, names are in different locations,
            or in one that Google does not have.
    """
    location = None
    for message, field, name in _names(request):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        if match["project"] not in (cloud.project, cloud.project_number):
            raise elsewhere(cloud, match["project"])
        if match["location"] not in regions():
            raise invalid(f"Location {match['location']!r} is not one of {', '.join(regions())}.")
        location = location or match["location"]
        if match["location"] != location:
            raise invalid(
                f"{name} is in {match['location']}, but the request is for {location}. What belongs together "
                "must be in one location."
            )
        setattr(message, field, f"projects/{cloud.project_number}/locations/{match['location']}{match['rest']}")


@cache
def regions() -> list[str]:
    """The regions that the SDK knows of, read from its source: an import would take the whole SDK with it, a second."""
    source = Path(types.__file__).parents[2] / "aiplatform" / "constants" / "base.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        if getattr(node.targets[0], "id", "") == "SUPPORTED_REGIONS":
            return sorted(ast.literal_eval(node.value.args[0]))
    raise LookupError(f"there are no SUPPORTED_REGIONS in {source}")


def elsewhere(cloud: "LocalCloud", project: str) -> ApiError:
    """The error for a project that is not the session's."""
    return ApiError(
        grpc.StatusCode.PERMISSION_DENIED,
        f"Permission denied on resource project {project} (or it may not exist). "
        f"The project of this session is {cloud.project}.",
    )


def _names(message: Any) -> Iterator[tuple[Any, str, str]]:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING and isinstance(value, str):
            if value.startswith("projects/") and field.name not in _FREE_TEXT:
                yield message, field.name, value
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not _opaque(field.message_type):
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _names(part)


def _opaque(kind: Descriptor) -> bool:
    return kind.full_name in _OPAQUE or kind.GetOptions().map_entry
