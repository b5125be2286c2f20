"""The names of `labkit.bench`: all there, and none of them imports TensorFlow."""

import subprocess
import sys

from labkit import bench


def test_every_public_name_is_there() -> None:
    assert set(bench.__all__) <= set(dir(bench))
    assert all(getattr(bench, name) for name in bench.__all__)


def test_none_imports_tensorflow() -> None:
    program = (
        "import sys; from labkit import bench\n"
        "for name in bench.__all__: getattr(bench, name)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
