"""First import of every lab: quiet TensorFlow, the same seeds, one figure style.

``from labkit import start`` imports TensorFlow with its chatter kept out of the notebook, hides GPUs, seeds
everything, keeps requests to this machine away from proxies and sets the style of figures. `workspace` then gives the
lab its own empty folder and seeds again, so a setup cell that calls it makes "Run all" give the same numbers a second
time in the same kernel.

A lab that wants the machine's GPU sets ``os.environ["LABKIT_GPU"] = "1"`` before this import.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from labkit import plot

SEED = 7


@contextlib.contextmanager
def _stderr_into(log: IO[bytes]) -> Iterator[None]:
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


def _import_tensorflow() -> str:
    """Imports TensorFlow and runs one op (the first op writes to descriptor 2 too); returns what it wrote there."""
    use_gpu = os.environ.get("LABKIT_GPU") == "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    if not use_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with tempfile.TemporaryFile() as log:
        try:
            with _stderr_into(log):
                import tensorflow as tf
                from absl import logging

                tf.get_logger().setLevel("ERROR")
                logging.set_verbosity(logging.ERROR)
                if not use_gpu:
                    # Apple's Metal does not read CUDA_VISIBLE_DEVICES. Refused where TensorFlow already runs.
                    with contextlib.suppress(RuntimeError):
                        tf.config.set_visible_devices([], "GPU")
                _ = tf.constant(0) + 0
        finally:
            log.seek(0)
            said = log.read().decode("utf-8", "replace")
            if sys.exc_info()[0] is not None:
                print(said, file=sys.stderr)  # the reason why an import failed is often only here
    return said


def seed(number: int = SEED) -> None:
    """Seeds Python, NumPy and TensorFlow, and restarts Keras' numbering of layer names.

    Args:
        number: the seed; every lab uses the default unless the seed is its lesson.
    """
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(number)


def workspace(lab: str) -> Path:
    """Empties and returns the folder a lab may write to, and seeds again.

    Args:
        lab: the lab's number, such as ``"01"``.

    Returns:
        ``work/01``, relative to the notebook. git ignores it.

    Raises:
        ValueError: `lab` is not a two-digit number; the folder is emptied, so only such names are taken.
    """
    if not (isinstance(lab, str) and len(lab) == 2 and lab.isdecimal()):
        raise ValueError(f"workspace() was given {lab!r}; it takes the lab's number in two digits, such as '01'")
    folder = Path("work") / lab
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    seed()
    return folder


def _ask_loopback_directly() -> None:
    """Keeps requests to this machine away from a proxy that the environment names; `requests` would send them there."""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))


tensorflow_said: str = _import_tensorflow()
"""What TensorFlow wrote to descriptor 2 while it was imported; worth a look when something is odd."""

_ask_loopback_directly()
plot.use_style()
seed()
