"""The service's own copies of models' artifacts: what happens to the learner's bucket later does not matter to them."""

from pathlib import Path

from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.container_images import is_tensorflow_serving, prebuilt_version
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.storage_buckets import SERVICE_BUCKETS


def keep(cloud: LocalCloud, model: types.Model, folder: Path) -> None:
    """Copy a model's artifacts into `folder`, and for containers that read their storage into the service's bucket.

    TensorFlow Serving is given the folder whatever address it asks for, so the bucket has nothing for it.

    Args:
        cloud: where the model is.
        model: a version, under its name with ``@`` and its number.
        folder: where to.

    Raises:
        ApiError: NOT_FOUND, they are not there any more; INVALID_ARGUMENT, one lies outside of its folder.
    """
    uri = storage_uri(cloud, model)
    files = cloud.objects.download_folder(model.artifact_uri.rstrip("/") + "/", folder)
    image = model.container_spec.image_uri
    if is_tensorflow_serving(image) or prebuilt_version(image) is not None:
        return
    cloud.objects.create_bucket(cloud.objects.bucket(uri))
    for file in files:
        cloud.objects.write(f"{uri}/{file.relative_to(folder.resolve()).as_posix()}", file.read_bytes())


def storage_uri(cloud: LocalCloud, model: types.Model) -> str:
    """What a version's container finds as ``AIP_STORAGE_URI``."""
    _, _, _, location, _, version = model.name.split("/")
    return f"gs://{SERVICE_BUCKETS}{cloud.project_number}-{location}/{version.replace('@', '/')}/artifacts"


def forget(cloud: LocalCloud, model: types.Model) -> None:
    """Remove what is in the service's bucket for a version."""
    cloud.objects.remove_folder(storage_uri(cloud, model))
