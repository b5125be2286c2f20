"""What all tests share: a quiet TensorFlow on the CPU, and the place of the repository."""

import os
from pathlib import Path

import pytest

from .side_by_side import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401

# Before any test imports TensorFlow; child processes inherit them.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds `labs/`, `labkit/` and `requirements.lock`."""
    return Path(__file__).resolve().parent.parent
