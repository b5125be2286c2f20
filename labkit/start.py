"""First import of every lab: quiet TensorFlow, the same seeds, one figure style.

``from labkit import start`` imports TensorFlow with its chatter kept out of the notebook, hides GPUs, seeds
everything, keeps requests to this machine away from proxies and sets the style of figures. `workspace` then gives the
lab its own empty folder and seeds again, so a setup cell that calls it makes "Run all" give the same numbers a second
time in the same kernel.

A lab about devices says ``from labkit import start_devices as start`` instead, and sees them.
"""

import os
import re
import shutil
from pathlib import Path
from urllib.request import getproxies_environment

from labkit import plot, quiet_tensorflow
from labkit.errors import EnvironmentProblem

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
        EnvironmentProblem: the folder is a link; what it leads to is not emptied.
    """
    if not (isinstance(lab, str) and re.fullmatch("[0-9]{2}", lab)):
        raise ValueError(f"workspace() was given {lab!r}; it takes the lab's number in two digits, such as '01'")
    folder = Path("work") / lab
    if folder.is_symlink():
        raise EnvironmentProblem(
            f"{folder} is a link to {os.readlink(folder)}, and a lab empties its folder: remove the link and run the "
            "cell again. To keep what labs write elsewhere, make work itself the link"
        )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    seed()
    return folder


def _ask_loopback_directly() -> None:
    """Keeps requests to this machine away from a proxy that the environment names; `requests` would send them there.

    The reader's own exceptions stay: programs read one of the two names, and only "*" alone means every host. Without
    a proxy nothing is set: on macOS and Windows, Python asks the system for its proxy only then.
    """
    if not getproxies_environment().keys() - {"no"}:
        return
    lower, upper = (os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    for name, own in (("no_proxy", lower or upper), ("NO_PROXY", upper or lower)):
        if own.strip() != "*":
            hosts = [host for host in own.split(",") if host]
            os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))


sees_gpus: bool = os.environ.get("LABKIT_GPU") == "1"
"""Whether TensorFlow may see this machine's GPUs; fixed by the import, as TensorFlow looks for them once."""

tensorflow_said: str = quiet_tensorflow.import_it(use_gpu=sees_gpus)
"""What TensorFlow wrote to descriptor 2 while it was imported; worth a look when something is odd."""

_ask_loopback_directly()
plot.use_style()
seed()
