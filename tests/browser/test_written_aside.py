"""A model is written in full or not at all, and nothing else is lost."""

import os
from pathlib import Path

import pytest

from labkit.browser.written_aside import written_aside
from labkit.errors import ModelConversionError


def write(folder: Path, text: str = "new") -> None:
    with written_aside(folder) as new:
        (new / "model.json").write_text(text)
        (new / "group1-shard1of1.bin").write_bytes(b"weights")


def test_a_model_that_is_there_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "web", "old")
    write(tmp_path / "web")
    assert (tmp_path / "web" / "model.json").read_text() == "new"
    assert [one.name for one in tmp_path.iterdir()] == ["web"]


def test_a_page_beside_a_model_is_not_deleted_with_it(tmp_path: Path) -> None:
    write(tmp_path / "web", "old")
    (tmp_path / "web" / "index.html").write_text("mine")
    with pytest.raises(ModelConversionError, match=r"index\.html, which would go with it"):
        write(tmp_path / "web")
    assert (tmp_path / "web" / "index.html").read_text() == "mine"
    assert (tmp_path / "web" / "model.json").read_text() == "old"


@pytest.mark.parametrize("what", ["a file", "a folder with other things"])
def test_what_is_no_model_is_not_overwritten(tmp_path: Path, what: str) -> None:
    place = tmp_path / "web"
    if what == "a file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    with pytest.raises(ModelConversionError, match="not overwritten"):
        write(place)
    assert place.exists()


def test_a_failure_leaves_the_older_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "web", "old")
    rename = os.rename

    def locked(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise PermissionError("in use")
        rename(source, target)

    monkeypatch.setattr(os, "rename", locked)
    with pytest.raises(PermissionError):
        write(tmp_path / "web")
    assert (tmp_path / "web" / "model.json").read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["web"]
