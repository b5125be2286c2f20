"""What `import labkit` gives, and what it costs."""

import subprocess
import sys

import pytest

import labkit


@pytest.mark.parametrize(
    "statement",
    [
        "import labkit",
        "import labkit.serving, labkit.processes, labkit.errors, labkit.export, labkit.show, labkit.doctor",
        "from labkit import serve, RestClient, GrpcClient",
        "import labkit.cli",
        "from labkit.bench import *",
        "from labkit.cloud import *",
        "from labkit.cluster import *",
        "from labkit.cluster.elsewhere import *",
        "from labkit.browser import *",
    ],
)
def test_importing_labkit_does_not_import_tensorflow(statement):
    program = f"{statement}\nimport sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_public_names_are_these_and_exist():
    assert labkit.__all__ == ["GrpcClient", "ModelServer", "RestClient", "serve"]
    for name in labkit.__all__:
        assert getattr(labkit, name).__name__ == name
    assert set(labkit.__all__) <= set(dir(labkit))


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="No labkit attribute sever"):
        labkit.sever  # noqa: B018
