"""TensorFlow's profiler in this process, without Python TensorFlow.

`tf.profiler.experimental` reaches the profiler through one small extension module. It works by itself, on the same
TensorFlow library that runs the models, so what it records is what the models do. (TensorFlow has a profiler server of
its own, too, `tf.profiler.experimental.server`; it listens on all interfaces, and so is not used.)
"""

import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from labkit.serving.embedded import protos
from labkit.serving.embedded.status import Code, StatusError

_ERRORS = range(1, 17)  # all codes but OK


class _ProfilerError(Exception):
    """What the extension raises: its arguments are None, None, the message and a dict."""


class _Level:
    """A level as TensorFlow 2.21 takes it: a plain int it ignores, and logs that it "expects an i value"."""

    def __init__(self, level: int) -> None:
        self._level = level

    def __index__(self) -> int:
        return self._level


class Recording:
    """The profiler, recording from now on. A process has one at a time."""

    def __init__(self, options: Mapping[str, int]) -> None:
        """Start.

        Args:
            options: ``host_tracer_level`` and ``device_tracer_level``; for those left out, TensorFlow's defaults.

        Raises:
            StatusError: INTERNAL, another recording is going on; UNIMPLEMENTED, this TensorFlow has no such module.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="labkit-profile-")
        self._session = _extension().ProfilerSession()
        try:
            self._session.start(self._folder.name, {name: _Level(level) for name, level in options.items()})
        except _errors() as error:
            self.discard()
            raise StatusError(Code.INTERNAL, _text(error)) from None

    def stop(self) -> Path:
        """End it; the file with what was recorded, an XSpace message. `discard` removes that file.

        Raises:
            StatusError: INTERNAL, the records could not be written.
        """
        try:
            self._session.export_to_tb()
        except _errors() as error:
            raise StatusError(Code.INTERNAL, _text(error)) from None
        return next(Path(self._folder.name).rglob("*.xplane.pb"))

    def discard(self) -> None:
        """Free the profiler for the next recording, and all that this one kept."""
        self._session = None
        self._folder.cleanup()


@cache
def _extension() -> ModuleType:
    if "tensorflow.python" in sys.modules:  # the fallback session has imported all of it
        from tensorflow.python.profiler.internal import _pywrap_profiler

        return _pywrap_profiler
    # Without a table of exceptions, an error would end the process.
    exceptions = _load("_pywrap_py_exception_registry")
    exceptions.PyExceptionRegistry_Init(dict.fromkeys(_ERRORS, _ProfilerError))
    return _load("profiler/internal/_pywrap_profiler")


def _load(place: str) -> ModuleType:
    path = protos.tensorflow_folder() / "python" / place
    file = next((found for suffix in EXTENSION_SUFFIXES if (found := Path(f"{path}{suffix}")).exists()), None)
    if file is None:
        raise StatusError(
            Code.UNIMPLEMENTED, f"The installed TensorFlow has no {path}, which its profiler is reached by"
        )
    loader = ExtensionFileLoader(path.name, str(file))
    module = module_from_spec(ModuleSpec(path.name, loader, origin=str(file)))
    loader.exec_module(module)
    return module


def _errors() -> tuple[type[Exception], ...]:
    if "tensorflow.python" not in sys.modules:
        return (_ProfilerError,)
    from tensorflow.python.framework.errors_impl import OpError

    return (OpError,)


def _text(error: Exception) -> str:
    return str(error.args[2])
