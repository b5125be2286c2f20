"""TensorFlow.js's own converter (package `tensorflowjs`) in this process, beside the TensorFlow that is here.

The package asks for six others that it imports and, for a SavedModel, never calls; one of them holds TensorFlow back at
2.19. It is therefore installed without them, and for the moment of the import empty modules stand in their place.
"""

import importlib
import sys
import threading
import types
from typing import Any

from labkit.errors import EnvironmentProblem

_NEVER_CALLED = (
    "tensorflow_decision_forests",
    "tensorflow_hub",
    "tf_keras",
    "jax",
    "jax.experimental",
    "jax.experimental.jax2tf",
)
_CONVERTER = "tensorflowjs.converters.tf_saved_model_conversion_v2"
_lock = threading.Lock()


def load() -> Any:
    """The module that converts SavedModels; imported in the first call.

    Raises:
        EnvironmentProblem: `tensorflowjs` is not installed.
    """
    with _lock:
        if _CONVERTER in sys.modules:
            return sys.modules[_CONVERTER]
        import tensorflow  # noqa: F401  # first, for it would find the stand-ins

        mine = [name for name in _NEVER_CALLED if name not in sys.modules]
        try:
            sys.modules.update({name: _stand_in(name) for name in mine})
            converter = importlib.import_module(_CONVERTER)
        except ModuleNotFoundError as error:
            raise EnvironmentProblem(
                f"The converter of TensorFlow.js cannot be imported ({error}). Install it without what it asks for: "
                "python -m pip install --no-deps tensorflowjs==4.22.0"
            ) from error
        finally:
            for name in mine:
                sys.modules.pop(name, None)
        # It prints a line for every weight of 64 bits that becomes one of 32.
        vars(importlib.import_module("tensorflowjs.write_weights"))["print"] = lambda *_: None
        return converter


def _stand_in(name: str) -> types.ModuleType:
    module = types.ModuleType(name, "Empty; see labkit.browser.tfjs_converter.")
    module.__path__ = []  # or it would not be asked for what is in it
    return module
