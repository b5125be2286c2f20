"""`labkit.start` for labs about devices: ``from labkit import start_devices as start``.

The one difference: the machine's GPUs are seen, unless ``LABKIT_GPU=0``. That is how labs are stored and tested, so
that their outputs are those of a machine without one.
"""

import os

os.environ.setdefault("LABKIT_GPU", "1")

from labkit.start import SEED, seed, tensorflow_said, workspace  # noqa: E402  # the import reads the variable

__all__ = ["SEED", "seed", "tensorflow_said", "workspace"]
