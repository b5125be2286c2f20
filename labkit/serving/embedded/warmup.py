"""Warm-up: a version answers the requests that lie beside its files before it becomes available.

A model's first run is slow: TensorFlow optimises its graph then, for each set of inputs and outputs. The requests are
``assets.extra/tf_serving_warmup_requests`` in the version's folder, a TFRecord of PredictionLog messages, and the rules
are TensorFlow Serving's (servables/tensorflow/saved_model_warmup.cc, saved_model_warmup_util.cc).
"""

import logging
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from google.protobuf.message import DecodeError

from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.session import RunLimits
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.steps import Steps, complete
from labkit.serving.embedded.tfrecord import TFRecordError, records

if TYPE_CHECKING:
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    from labkit.serving.embedded.metrics import Metrics

logger = logging.getLogger(__name__)

REQUESTS = Path("assets.extra", "tf_serving_warmup_requests")
_MOST_RECORDS = 1000


def warm_up(servable: Servable, folder: Path, iterations: int, metrics: "Metrics | None" = None) -> None:
    """Let `servable` answer each request of its warm-up file, in order, in this thread.

    Args:
        servable: the version, loaded and not yet available.
        folder: the version's folder; nothing is done if it has no such file.
        iterations: how often each request is answered.
        metrics: counts the warm-up, its time and how it ended.

    Raises:
        StatusError: a request failed, with the code it failed with; INVALID_ARGUMENT, more than 1000 records, or one
            that is no PredictionLog; UNIMPLEMENTED, a log of SessionRun or PredictStreamed; DATA_LOSS, no TFRecord;
            PERMISSION_DENIED or FAILED_PRECONDITION, the file cannot be read.
    """
    path = folder / REQUESTS
    file = _opened(path)
    if file is None:
        logger.info("No warmup data file found at %s", path)
        return
    logger.info("Starting to read warmup data for model at %s", path)
    started, code = time.perf_counter(), Code.UNKNOWN
    try:
        with file:
            count = _replay(servable, file, path, iterations)
        code = Code.OK
    except StatusError as error:
        code = error.code
        raise
    finally:
        seconds = time.perf_counter() - started
        if metrics:
            metrics.note_warmup(str(folder), code.name, seconds)
    logger.info(
        "Finished reading warmup data for model at %s. Number of warmup records read: %s. "
        "Elapsed time (microseconds): %.0f.", path, count, seconds * 1e6
    )  # fmt: skip


def _opened(path: Path) -> BinaryIO | None:
    """The file, None if there is none."""
    try:
        if not path.is_file() and path.exists():  # opening a pipe would wait for its writer
            raise StatusError(Code.FAILED_PRECONDITION, f"{path} is not a regular file")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise StatusError(Code.PERMISSION_DENIED, f"{path}: {error.strerror}") from error
    except OSError as error:
        raise StatusError(Code.FAILED_PRECONDITION, f"{path}: {error.strerror}") from error


def _replay(servable: Servable, file: BinaryIO, path: Path, iterations: int) -> int:
    """Answer all requests of the file; how many records it has."""
    count = 0
    for count, log in enumerate(_logs(file, path), 1):
        for _ in range(iterations):
            _answer(servable, log, f"(warm-up record {count} of {path})")
    return count


def _logs(file: BinaryIO, path: Path) -> "Iterator[PredictionLog]":
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    try:
        for count, record in enumerate(records(file), 1):
            if count > _MOST_RECORDS:
                raise invalid_argument(f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at {path}")
            try:
                log = PredictionLog.FromString(record)
            except DecodeError as error:
                raise invalid_argument(f"Failed to parse warmup record: number {count} from {path}: {error}") from None
            yield log
    except TFRecordError as error:
        hint = "Please verify your warmup data is in TFRecord format."
        raise StatusError(Code.DATA_LOSS, f"{error}. {hint} ({path})") from None
    except OSError as error:
        raise StatusError(Code.DATA_LOSS, f"{path} could not be read to its end: {error.strerror}") from error


def _answer(servable: Servable, log: "PredictionLog", where: str) -> None:
    kind = log.WhichOneof("log_type")
    if kind is None:
        return  # as upstream, a record without content is passed over
    steps = _steps().get(kind)
    if steps is None:
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number} ({kind}) {where}")
    try:
        complete(steps(getattr(log, kind).request, servable), servable.session, RunLimits())
    except StatusError as error:
        raise StatusError(error.code, f"{error.message} {where}") from error


@cache
def _steps() -> dict[str, Callable[[Any, Servable], Steps[Any]]]:
    """What answers each kind of log: the same functions that answer clients."""
    from labkit.serving.embedded import examples, predict_message

    return {
        "predict_log": predict_message.predict_steps,
        "classify_log": examples.classify_steps,
        "regress_log": examples.regress_steps,
        "multi_inference_log": examples.multi_inference_steps,
    }
