"""What Vertex AI says to a model that cannot be one: its fields, its container and its artifacts."""

import re
from collections.abc import Mapping

import grpc
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.container_images import is_prebuilt, prebuilt_version
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.model_versions import check_aliases
from labkit.cloud.local.status import ApiError, invalid, unimplemented, unmet

_MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")


def check_display_name(name: str) -> None:
    """Raise INVALID_ARGUMENT unless it is 1 to 128 characters."""
    if not name:
        raise invalid("display_name is required.")
    if len(name) > 128:
        raise invalid(f"display_name has {len(name)} characters; at most 128 are allowed.")


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise INVALID_ARGUMENT unless keys and values are as https://goo.gl/xmQnxf says."""
    if len(labels) > 64:
        raise invalid(f"There are {len(labels)} labels; at most 64 are allowed.")
    for key, value in labels.items():
        if not key or not _is_label(key) or not key[0].isalpha() or not _is_label(value):
            raise invalid(
                f"Invalid label {key!r}: {value!r}. Keys and values have at most 63 lower-case letters, digits, "
                "underscores and dashes; keys start with a letter."
            )


def _is_label(text: str) -> bool:
    return len(text) <= 63 and text == text.lower() and bool(re.fullmatch(r"[\w-]*", text))


def check_model(model: types.Model, model_id: str) -> None:
    """Raise INVALID_ARGUMENT unless a model could be uploaded as far as its fields go.

    Args:
        model: what is to be uploaded.
        model_id: the id that is wished for, or nothing.
    """
    check_display_name(model.display_name)
    check_labels(model.labels)
    check_aliases(set(model.version_aliases))
    if model_id and not _MODEL_ID.fullmatch(model_id):
        raise invalid(
            f"Invalid model_id {model_id!r}. Expected up to 63 of [a-z0-9_-], the first neither a digit nor a dash."
        )
    spec = model.container_spec
    if not spec.image_uri:
        raise invalid("model.container_spec.image_uri is required: the image that serves the model.")
    for field in ("predict_route", "health_route"):
        route = getattr(spec, field)
        if route and not route.startswith("/"):
            raise invalid(f"model.container_spec.{field} {route!r} must start with '/'.")
    for port in spec.ports:
        if not 1 <= port.container_port <= 65535:
            raise invalid(f"model.container_spec.ports: {port.container_port} is no port; expected 1 to 65535.")
    if spec.invoke_route_prefix:
        raise unimplemented("model.container_spec.invoke_route_prefix")
    if is_prebuilt(spec.image_uri) and not model.artifact_uri:
        raise invalid(f"model.artifact_uri is required with the prebuilt image {spec.image_uri}.")


def check_artifacts(cloud: LocalCloud, model: types.Model) -> None:
    """See that there are artifacts which the model's image can serve.

    Raises:
        ApiError: as the real service when it copies them: PERMISSION_DENIED, FAILED_PRECONDITION.
    """
    uri = model.artifact_uri.rstrip("/")
    bucket = cloud.objects.bucket(uri)
    try:
        cloud.objects.check_bucket(bucket)
    except ApiError:
        raise ApiError(
            grpc.StatusCode.PERMISSION_DENIED,
            f"service-{cloud.project_number}@gcp-sa-aiplatform.iam.gserviceaccount.com does not have "
            f"storage.objects.list access to the Google Cloud Storage bucket gs://{bucket}, or it does not exist.",
        ) from None
    found = [info for info in cloud.objects.below(f"{uri}/") if info.name_below_prefix]
    if not found:
        raise unmet(f'There are no files under "{uri}/" to copy.')
    top = [info.name_below_prefix for info in found if info.name_below_prefix in _SAVED_MODEL]
    if prebuilt_version(model.container_spec.image_uri) is not None and len(top) != 1:
        raise unmet(
            f'Model directory "{uri}/" is expected to contain exactly one of: [saved_model.pb, saved_model.pbtxt].'
        )
