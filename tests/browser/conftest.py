"""A browser for the tests of pages: one for all tests of a module, missing only where it may be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.browser import export_graph_model, javascript
from labkit.browser.devtools import Browser
from labkit.browser.find import find_browser
from labkit.errors import EnvironmentProblem
from labkit.export import export

from ..lacking import lacking


@pytest.fixture(scope="session")
def browser_is_here() -> None:
    """A browser and its packages; what asks for them is skipped where they are missing, and fails on CI."""
    try:
        find_browser()
        javascript.packages()
    except EnvironmentProblem as problem:
        lacking(str(problem))


@pytest.fixture(scope="module")
def browser(browser_is_here: None) -> Iterator[Browser]:
    """A running browser; tests open tabs in it."""
    with Browser() as running:
        yield running


@pytest.fixture(scope="session")
def drawings_model() -> Any:
    """The lab's model of all ten digits: trained for real, once."""
    from labkit import data, models, start

    start.seed()
    train = data.digits().train
    return models.drawings(data.Examples({"drawing": data.bitmaps(train.inputs["image"])}, train.labels))


@pytest.fixture(scope="session")
def drawings_saved_model(drawings_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a SavedModel."""
    return export(drawings_model, tmp_path_factory.mktemp("drawings"))


@pytest.fixture(scope="session")
def drawings_web(drawings_saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a graph model of TensorFlow.js."""
    return export_graph_model(drawings_saved_model, tmp_path_factory.mktemp("web") / "drawings")
