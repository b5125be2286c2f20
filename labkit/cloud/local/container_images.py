"""What an image's name says: TensorFlow Serving, one of Vertex AI's prebuilt ones, or something else."""

import re

NEWEST_PREBUILT = 15

_HOST = r"(?P<area>us|europe|asia)-docker\.pkg\.dev/vertex-ai/prediction/"
_PREBUILT = re.compile(_HOST + r"tf2-(?P<processor>cpu|gpu)\.2-(?P<minor>\d+)(?::[\w.-]+|@sha256:[0-9a-f]{64})?")
_OTHER_PREBUILT = re.compile(_HOST)
_TENSORFLOW_SERVING = re.compile(r"(?:tf|tensorflow)[-_]?serving(?:[-_.](?:cpu|gpu|devel))?")


def is_tensorflow_serving(image_uri: str) -> bool:
    """Whether the name is TensorFlow Serving's: `tensorflow/serving`, or a copy whose name still says so.

    Copies lie in Artifact Registry, as in ``europe-west4-docker.pkg.dev/my-project/images/tf-serving:2.19``.
    """
    words = _path(image_uri).split("/")
    return words[-2:] == ["tensorflow", "serving"] or bool(_TENSORFLOW_SERVING.fullmatch(words[-1]))


def prebuilt_version(image_uri: str) -> int | None:
    """The N of ``…/vertex-ai/prediction/tf2-cpu.2-N``; None if it is not such an image."""
    match = _PREBUILT.fullmatch(image_uri)
    return int(match["minor"]) if match else None


def is_prebuilt(image_uri: str) -> bool:
    """Whether it is one of Vertex AI's own, for whatever framework."""
    return bool(_OTHER_PREBUILT.match(image_uri))


def _path(image_uri: str) -> str:
    """The name without tag and digest; a colon before the last slash is a registry's port."""
    path = image_uri.split("@")[0]
    folder, slash, last = path.rpartition("/")
    return folder + slash + last.split(":")[0]
