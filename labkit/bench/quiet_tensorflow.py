"""TensorFlow, imported without what its C++ code writes to the terminal; only messages are read and written with it."""

import os
import sys
import tempfile


def import_it() -> None:
    """Import what gRPC's messages need, some seconds the first time.

    Raises:
        ImportError: TensorFlow is not here; what it wrote is then shown.
    """
    if "tensorflow" in sys.modules:
        return
    for name, value in {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}.items():
        os.environ.setdefault(name, value)
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except ImportError:
            log.seek(0)
            os.write(terminal, log.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
