"""`labkit.start` for labs about devices: ``from labkit import start_devices as start``.

The one difference: the machine's GPUs are seen, unless ``LABKIT_GPU=0``. That is how labs are stored and tested, so
that their outputs are those of a machine without one.

Raises:
    EnvironmentProblem: `labkit.start` has hidden the GPUs from this process already.
"""

import os
import sys

from labkit.devices import gpu
from labkit.errors import EnvironmentProblem

if os.environ.get("LABKIT_GPU") != "0":
    if "labkit.start" in sys.modules and not sys.modules["labkit.start"].sees_gpus:
        raise EnvironmentProblem(
            "labkit.start was imported here before start_devices, and has hidden the GPUs: TensorFlow looks for them "
            "once. Restart the kernel and run this import first; LABKIT_GPU=0 goes on without them"
        )
    os.environ["LABKIT_GPU"] = "1"
    gpu.load_libraries()

from labkit.start import SEED, seed, sees_gpus, tensorflow_said, workspace  # reads the variable, and imports

__all__ = ["SEED", "seed", "sees_gpus", "tensorflow_said", "workspace"]
