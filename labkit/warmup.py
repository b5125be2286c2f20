"""Requests that a model server lets a new version answer before anybody else may ask it.

penguins/3/
├── assets.extra/
│   └── tf_serving_warmup_requests     a TFRecord of tensorflow.serving.PredictionLog messages
└── saved_model.pb
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import WarmupError
from labkit.warmup_requests import DEFAULT_SIGNATURE, SignatureDefs, signatures_of, to_log

MOST_REQUESTS = 1000
_FILE = Path("assets.extra", "tf_serving_warmup_requests")


def write_warmup(
    version_folder: str | os.PathLike[str], requests: Iterable[Any], *, signature_name: str = DEFAULT_SIGNATURE
) -> Path:
    """Write the requests that a model server is to warm a version up with, and return their file's path.

    The first run of a model is slow, because TensorFlow prepares it then. A server that finds this file answers its
    requests while the version loads, so no client waits for that. Choose one request for each signature and each size
    of input that clients will send. A server never looks again at a version it has loaded: write the file before
    (``export(..., warmup=...)`` does), or export the next version with it. A file that is there already is replaced,
    in one step.

    Args:
        version_folder: the folder of one version, as `labkit.export.export` returns it.
        requests: at most 1000, each one of

            - a mapping from input name to array,
            - an array, or nested lists, if the signature has one input only,
            - a message of tensorflow_serving.apis: PredictRequest, ClassificationRequest, RegressionRequest,
              MultiInferenceRequest, or a PredictionLog that holds one of them.

            Arrays must have the signature's type and shape, batch dimension included; lists are converted.
        signature_name: the signature that mappings and arrays are for; a message names its own.

    Raises:
        ModelFolderError: `version_folder` holds no SavedModel, or a damaged one.
        WarmupError: a request does not fit the model's signatures, so a server would refuse to load the version;
            there are none, or more than 1000. The folder is left as it was.
    """
    folder = Path(version_folder)
    signatures = signatures_of(folder)
    if isinstance(requests, (Mapping, np.ndarray, str, bytes)) or not isinstance(requests, Iterable):
        raise WarmupError(
            f"`requests` is a list with one entry for each request, got one {type(requests).__name__}: write [request]."
        )
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        _write(aside / _FILE.name, requests, signatures, signature_name)
        (folder / _FILE).parent.mkdir(exist_ok=True)
        os.replace(aside / _FILE.name, folder / _FILE)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder / _FILE


def _write(path: Path, requests: Iterable[Any], signatures: SignatureDefs, signature_name: str) -> None:
    import tensorflow as tf

    number = 0
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for number, request in enumerate(requests, 1):
            if number > MOST_REQUESTS:
                raise WarmupError(f"More than {MOST_REQUESTS} requests; servers refuse to load a version with more.")
            try:
                log = to_log(request, signatures, signature_name)
            except WarmupError as error:
                raise WarmupError(f"Request {number}: {error}") from None
            writer.write(log.SerializeToString())
    if not number:
        raise WarmupError("There are no requests to write.")
