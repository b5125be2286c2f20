"""Runs a program in a process of its own: what configures devices or threads has to do so before the first op."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(program: str) -> Any:
    """What `program` printed as JSON in its last line.

    Two logical CPU devices are configured, `tf` is imported, `answer(value)` prints.
    """
    opening = """
import json
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
def answer(value):
    print(json.dumps(value))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "program.py")  # a file, because AutoGraph reads the source of functions
        file.write_text(opening + program, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(file)], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
