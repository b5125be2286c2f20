"""Dynamic batching: requests that come at the same time run as one, and nobody notices but the clock.

What `--enable_batching` and its parameters do is TensorFlow Serving's (batching/, bundle_factory_util.cc): one pool of
threads for all models; one queue for each signature of each model; a batch is taken when it is full or its time is up.

One request's bad values fail the run of a whole batch. There everybody in it gets the error; here the requests are run
once more, each alone, so that only the one that is wrong hears of it (`strict` restores the former).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.serving.embedded.batch_queue import QueueLimits
from labkit.serving.embedded.batch_scheduler import BatchScheduler
from labkit.serving.embedded.session import Session
from labkit.serving.embedded.status import StatusError, invalid_argument

if TYPE_CHECKING:
    from labkit.serving.embedded.flags import Flags

PER_MODEL_FILE = "batching_params.pbtxt"  # in a version's folder
_POOL_NAME = "model_server_batch_threads"  # upstream's, when there is no file


@dataclass(frozen=True)
class BatchingParameters:
    """TensorFlow Serving's message of that name (session_bundle_config.proto), with its defaults.

    Attributes:
        max_batch_size: the most rows of a batch, and of a request.
        batch_timeout_micros: how long a batch that is not full waits; 0: until a thread is free.
        max_enqueued_batches: the most batches that wait in one queue.
        num_batch_threads: batches that run at a time, over all models; 0 means one for each CPU.
        thread_pool_name: what the threads are called.
        allowed_batch_sizes: batches are filled up to the next of these; empty: left as they are.
        pad_variable_length_inputs: bring inputs to one shape by repeating their first element.
        enable_large_batch_splitting: requests may be spread over several batches.
        max_execution_batch_size: the most rows of a batch then; 0 means `max_batch_size`.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 0
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size"):
            least = 1 if name == "max_batch_size" else 0
            if getattr(self, name) < least:
                raise invalid_argument(f"{name} must be at least {least}; was {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise invalid_argument(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        if self.enable_large_batch_splitting and self.max_execution_batch_size > self.max_batch_size:
            raise invalid_argument(
                f"max_execution_batch_size must not be larger than max_batch_size; was "
                f"{self.max_execution_batch_size}, and max_batch_size {self.max_batch_size}"
            )
        self._check_allowed()

    def _check_allowed(self) -> None:
        sizes = self.allowed_batch_sizes
        if any(later <= earlier for earlier, later in itertools.pairwise(sizes)):
            raise invalid_argument(f"allowed_batch_sizes entries must be monotonically increasing; were {list(sizes)}")
        if sizes and sizes[-1] != self.max_batch_size:
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; expected "
                f"{self.max_batch_size}"
            )

    @property
    def limits(self) -> QueueLimits:
        """What each queue holds."""
        splits = self.enable_large_batch_splitting
        return QueueLimits(
            task_rows=self.max_batch_size,
            batch_rows=(splits and self.max_execution_batch_size) or self.max_batch_size,
            batches=max(1, self.max_enqueued_batches),
            seconds=self.batch_timeout_micros / 1e6,
            splits=splits,
        )

    def filled_up(self, rows: int) -> int:
        """The rows that a batch of `rows` is run with."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


class Batching:
    """What the command line says about batching, done to every session that is loaded."""

    def __init__(self, flags: "Flags", on_wait: Callable[[str, float], None] | None = None) -> None:
        """Args: flags: with `enable_batching`; on_wait: see `BatchScheduler`.

        Raises:
            StatusError: NOT_FOUND or INVALID_ARGUMENT, the parameters' file cannot be read.
        """
        where = flags.batching_parameters_file
        self._common = read_parameters(where) if where else BatchingParameters(thread_pool_name=_POOL_NAME)
        self._per_model = flags.enable_per_model_batching_parameters
        self._scheduler = BatchScheduler(self._common, strict=flags.strict_tensorflow_serving, on_wait=on_wait)

    def session(self, session: Session, folder: Path) -> Session:
        """`session`, loaded from the version's folder, with batching; unchanged if the model shall have none.

        Raises:
            StatusError: INVALID_ARGUMENT, the model's own file cannot be read; `session` is left as it is.
        """
        common, own = self._common, folder / PER_MODEL_FILE
        if self._per_model:
            if not own.exists():
                return session
            common = read_parameters(own)
        return self._scheduler.session(session, common)


def read_parameters(path: Path | str) -> BatchingParameters:
    """The parameters in the file at `path`; wrapped numbers that are missing there keep their default.

    Raises:
        StatusError: NOT_FOUND, it cannot be read; INVALID_ARGUMENT, it does not parse, or its values do not fit each
            other.
    """
    from labkit.serving.embedded import config_protos

    message = config_protos.read("BatchingParameters", path)
    plain = ("allowed_batch_sizes", "pad_variable_length_inputs")
    values = {field.name: value.value for field, value in message.ListFields() if field.name not in plain}
    try:
        if values.get("num_batch_threads") == 0:
            raise invalid_argument("num_batch_threads must be at least 1; was 0")
        return BatchingParameters(
            **values,
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            pad_variable_length_inputs=message.pad_variable_length_inputs,
        )
    except StatusError as error:
        raise StatusError(error.code, f"{error.message} ({path})") from None
