"""From a version's folder to a servable that is ready to answer: session, batching, signatures, warm-up."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.serving.embedded import config_protos
from labkit.serving.embedded.flags import Flags
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.session import Session, load
from labkit.serving.embedded.status import invalid_argument
from labkit.serving.embedded.storage import TFLITE_MODEL, VersionFolder
from labkit.serving.embedded.warmup import warm_up

if TYPE_CHECKING:
    from tensorflow.core.protobuf.config_pb2 import ConfigProto

    from labkit.serving.embedded.batching import Batching
    from labkit.serving.embedded.metrics import Metrics


class Loader:
    """Loads versions as the command line says."""

    def __init__(self, flags: Flags, metrics: "Metrics | None") -> None:
        """Nothing is loaded yet.

        Args:
            flags: the command line.
            metrics: counts loads, warm-ups and waits for batches; None counts nothing.

        Raises:
            StatusError: INVALID_ARGUMENT, a file that a flag names does not parse.
            EnvironmentProblem: TFLite models are wanted, and what runs them is not installed.
        """
        if flags.prefer_tflite_model:
            from labkit.serving.embedded.tflite_session import check_installed

            check_installed()
        self._flags = flags
        self._metrics = metrics
        self._tags = flags.saved_model_tags.split(",")
        self._session_config = session_config(flags)
        self._batching = _batching(flags, metrics)

    def __call__(self, name: str, folder: VersionFolder) -> Servable:
        """Load one version; called in a thread, since a large graph takes a while to load and to look through.

        Raises:
            StatusError: it cannot be loaded, or fails to answer a request of its warm-up.
        """
        started, session = time.perf_counter(), None
        try:
            session = self._session(folder.path)
        finally:
            if self._metrics:
                seconds = time.perf_counter() - started
                self._metrics.note_load(str(folder.path), seconds, succeeded=session is not None)
        try:
            if self._batching:
                session = self._batching.session(session, folder.path)
            return self._ready(name, folder, session)
        except BaseException:
            session.close()
            raise

    def _session(self, folder: Path) -> Session:
        if self._flags.prefer_tflite_model and (folder / TFLITE_MODEL).exists():
            from labkit.serving.embedded.tflite_session import TfliteSession

            return TfliteSession(folder / TFLITE_MODEL, _interpreters(self._flags))
        return load(folder, self._tags, self._session_config, self._flags.tensorflow_runtime)

    def _ready(self, name: str, folder: VersionFolder, session: Session) -> Servable:
        """The servable over `session`, warmed up."""
        checked = self._flags.enable_signature_method_name_check
        servable = Servable(name, folder.version, session, check_method_names=checked, metrics=self._metrics)
        if self._flags.enable_model_warmup:
            warm_up(servable, folder.path, self._flags.num_request_iterations_for_warmup or 1, self._metrics)
        return servable


def _interpreters(flags: Flags) -> int:
    """How many interpreters a TFLite model has: upstream's pools times the interpreters in each."""
    return (flags.num_tflite_pools or os.cpu_count() or 1) * (flags.num_tflite_interpreters_per_pool or 1)


def _batching(flags: Flags, metrics: "Metrics | None") -> "Batching | None":
    if flags.batching_parameters_file and not flags.enable_batching:
        raise invalid_argument("--batching_parameters_file has no effect without --enable_batching; pass both or none")
    if not flags.enable_batching:
        return None
    from labkit.serving.embedded.batching import Batching

    return Batching(flags, metrics.note_queuing if metrics else None)


def session_config(flags: Flags) -> "ConfigProto":
    """What TensorFlow's session is told.

    Raises:
        StatusError: INVALID_ARGUMENT, the file for it does not parse; NOT_FOUND, it cannot be read.
    """
    from tensorflow.core.protobuf.config_pb2 import ConfigProto, GPUOptions

    config = ConfigProto(
        allow_soft_placement=True,  # a model made on a GPU also loads without one
        intra_op_parallelism_threads=flags.tensorflow_intra_op_parallelism or flags.tensorflow_session_parallelism,
        inter_op_parallelism_threads=flags.tensorflow_inter_op_parallelism or flags.tensorflow_session_parallelism,
        gpu_options=GPUOptions(per_process_gpu_memory_fraction=flags.per_process_gpu_memory_fraction),
    )
    if flags.tensorflow_session_config_file:
        config.MergeFrom(config_protos.read(ConfigProto, flags.tensorflow_session_config_file))
    return config
