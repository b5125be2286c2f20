"""What the tests of faults share: the model that says which version it is, and where its versions stand."""

from pathlib import Path

import pytest

from soak.models import Numbered


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Numbered:
    return Numbered(tmp_path_factory.mktemp("numbered") / "model", megabytes=1)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Where the versions of a test's model stand."""
    return tmp_path / "model"
