"""`labkit.start` for labs about devices: ``from labkit import start_devices as start``.

The one difference: the machine's GPUs are seen, unless ``LABKIT_GPU=0``. That is how labs are stored and tested, so
that their outputs are those of a machine without one.
"""

import os

from labkit.devices import gpu

if os.environ.setdefault("LABKIT_GPU", "1") == "1":
    gpu.load_libraries()

from labkit.start import SEED, seed, tensorflow_said, workspace  # reads the variable, and imports

__all__ = ["SEED", "seed", "tensorflow_said", "workspace"]
