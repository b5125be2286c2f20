"""The generated protobuf modules of TensorFlow and TensorFlow Serving, without running Python TensorFlow.

Their packages' `__init__` would import all of TensorFlow, which takes seconds. The modules themselves need protobuf
only, so an empty `tensorflow` package with the right search path stands in. Only ever done in the server's process,
and not where the fallback session needs the real one.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path

from labkit.errors import EnvironmentProblem


def tensorflow_folder() -> Path:
    """Where TensorFlow is installed, found without importing it.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    if module := sys.modules.get("tensorflow"):
        return Path(next(iter(module.__path__)))
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentProblem("TensorFlow is not installed in this environment: pip install tensorflow")
    return Path(next(iter(spec.submodule_search_locations)))


def without_python_tensorflow() -> None:
    """Put the empty package in TensorFlow's place; call it before the first import from `tensorflow`."""
    if "tensorflow" in sys.modules:
        return
    package = types.ModuleType("tensorflow")
    package.__path__ = [os.fspath(tensorflow_folder())]
    sys.modules["tensorflow"] = package
