"""First import of every lab: quiet TensorFlow, the same seeds, one figure style.

``from labkit import start`` imports TensorFlow with its chatter kept out of the notebook, hides GPUs, seeds
everything, keeps requests to this machine away from proxies and sets the style of figures. `workspace` then gives the
lab its own empty folder and seeds again, so a setup cell that calls it makes "Run all" give the same numbers a second
time in the same kernel.

A lab about devices says ``from labkit import start_devices as start`` instead, and sees them.
"""

import os
import shutil
from pathlib import Path

from labkit import plot, quiet_tensorflow

SEED = 7


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


tensorflow_said: str = quiet_tensorflow.import_it(use_gpu=os.environ.get("LABKIT_GPU") == "1")
"""What TensorFlow wrote to descriptor 2 while it was imported; worth a look when something is odd."""

_ask_loopback_directly()
plot.use_style()
seed()
