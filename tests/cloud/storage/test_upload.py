import sys
from types import ModuleType, SimpleNamespace

import pytest
from google.api_core import exceptions

from labkit.cloud import upload
from labkit.cloud.upload import upload_folder
from labkit.errors import ModelFolderError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "assets").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "model" / "variables" / "index").write_bytes(b"index")
    return tmp_path / "model"


@pytest.mark.parametrize("prefix", ["models/1", "/models/1/"])
def test_files_keep_their_places_below_the_prefix(bucket, folder, prefix):
    names = upload_folder(bucket, folder, prefix)
    assert names == ["models/1/saved_model.pb", "models/1/variables/index"]
    assert [bucket.blob(name).download_as_bytes() for name in names] == [b"graph", b"index"]


def test_without_a_prefix_names_start_with_the_files(bucket, folder):
    assert upload_folder(bucket, folder, workers=1) == ["saved_model.pb", "variables/index"]


def test_what_is_no_model_folder_is_refused(bucket, folder):
    with pytest.raises(ModelFolderError, match="assets has no files"):
        upload_folder(bucket, folder / "assets")
    with pytest.raises(ModelFolderError, match="gone is not a folder"):
        upload_folder(bucket, folder / "gone")


def test_a_failed_upload_is_an_error(client, folder):
    with pytest.raises(exceptions.NotFound, match="The specified bucket does not exist"):
        upload_folder(client.bucket("no-such-bucket"), folder)


def test_progress_is_shown_on_a_terminal_and_taken_away(bucket, folder, capsys, monkeypatch):
    monkeypatch.setattr(upload, "_PATIENCE", -1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    upload_folder(bucket, folder, "m")
    lines = capsys.readouterr().err.split("\r\x1b[K")
    assert lines[1:] == [
        "5 bytes of 10 bytes in gs://bucket-of-tests/m/",
        "10 bytes of 10 bytes in gs://bucket-of-tests/m/",
        "",
    ]


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "not"])
def test_progress_is_shown_in_a_notebook_that_somebody_watches_and_taken_away(bucket, folder, monkeypatch, watched):
    lines = []

    def display(line, raw, display_id):
        lines.append(line["text/plain"])
        return SimpleNamespace(update=lambda line, raw: lines.append(line["text/plain"]))

    monkeypatch.setattr(upload, "_PATIENCE", -1)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(upload, "is_watched", lambda: watched)
    upload_folder(bucket, folder)
    assert [line.partition(" of")[0] for line in lines] == (["5 bytes", "10 bytes", ""] if watched else [])


def test_quick_uploads_show_nothing(bucket, folder, capsys, monkeypatch):
    monkeypatch.setattr(upload, "_PATIENCE", 1000)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    upload_folder(bucket, folder)
    assert capsys.readouterr() == ("", "")
