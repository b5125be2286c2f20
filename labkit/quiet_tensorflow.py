"""TensorFlow imported without what its C++ code writes to the terminal or the notebook."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def stderr_into(log: IO[bytes]) -> Iterator[None]:
    """Points file descriptor 2 at `log`: TensorFlow's C++ code writes there, past `sys.stderr`."""
    if sys.stderr is not None:
        sys.stderr.flush()
    keep = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)


def import_it(*, use_gpu: bool = False) -> str:
    """Imports TensorFlow and lets it look for devices; returns what it wrote to descriptor 2 meanwhile.

    No op runs: devices and numbers of threads, which are fixed by the first one, can still be set.

    Args:
        use_gpu: whether TensorFlow may see the machine's GPUs.

    Raises:
        ImportError: TensorFlow is not here; what it wrote is then printed to `sys.stderr`.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    if not use_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with tempfile.TemporaryFile() as log:
        try:
            with stderr_into(log):
                import tensorflow as tf
                from absl import logging

                tf.get_logger().setLevel("ERROR")
                logging.set_verbosity(logging.ERROR)
                tf.config.list_physical_devices()  # looking for GPUs is what says most
                if not use_gpu:
                    # Apple's Metal does not read CUDA_VISIBLE_DEVICES. Refused where TensorFlow already runs.
                    with contextlib.suppress(RuntimeError):
                        tf.config.set_visible_devices([], "GPU")
        except BaseException:
            print(_text(log), file=sys.stderr)  # the reason why an import failed is often only here
            raise
        return _text(log)


def _text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode("utf-8", "replace")
