"""A bundle is packed from a lock and wheels of this machine, and is what it says."""

import hashlib
import json
import shlex
import shutil
import sys
import zipfile

import pytest

from labkit import cli
from labkit.errors import EnvironmentProblem
from labkit.pack import command, wheels
from labkit.pack.bundle import Bundle
from labkit.pack.targets import PLATFORMS

from .toys import ELSEWHERE, HERE, locked, wheel


def names(folder):
    return {file.name.partition("-")[0] for file in (folder / "wheels").iterdir()}


def test_a_bundle_has_what_git_tracks_and_the_wheels_of_each_target(packed):
    record = json.loads((packed / "bundle.json").read_text())
    chosen = {target: set(one["wheels"]) for target, one in record["targets"].items()}
    assert chosen == {
        str(HERE): {"native==1.0", "pure==1.0", "uv==1.0"},
        str(ELSEWHERE): {"elsewhere==1.0", "native==1.0", "pure==1.0", "uv==1.0"},
    }
    natives = {one["wheels"]["native==1.0"] for one in record["targets"].values()}
    assert len(natives) == 2, "each platform has its own"
    assert {file.name for file in (packed / "wheels").iterdir()} == {
        file for one in record["targets"].values() for file in one["wheels"].values()
    }
    for name, facts in record["files"].items():
        content = (packed / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with zipfile.ZipFile(packed / "labs.zip") as archive:
        assert "labs/00_start_here.ipynb" in archive.namelist()
        assert "password.txt" not in archive.namelist()
    for file in ("set_up.py", "README.txt", "javascript.zip"):
        assert (packed / file).is_file()


def test_what_is_there_is_not_fetched_again(packed, project, pip_index):
    shutil.rmtree(pip_index)
    Bundle(packed, project).pack([HERE])
    assert set(json.loads((packed / "bundle.json").read_text())["targets"]) == {str(HERE), str(ELSEWHERE)}


def test_an_interrupted_run_goes_on(project, pip_index, tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "TOGETHER", 1)
    aside = tmp_path / "later"
    aside.mkdir()
    last = next(pip_index.glob("uv-*"))
    last.rename(aside / last.name)
    bundle = Bundle(tmp_path / "bundle", project)
    with pytest.raises(EnvironmentProblem, match=rf"no wheel for {HERE}.*uv==1.0"):
        bundle.pack([HERE])
    assert not json.loads((bundle.folder / "bundle.json").read_text())["complete"]
    assert names(bundle.folder) == {"native", "pure"}
    for one in pip_index.iterdir():
        one.unlink()
    (aside / last.name).rename(last)
    Bundle(bundle.folder, project).pack([HERE])
    assert names(bundle.folder) == {"native", "pure", "uv"}
    assert json.loads((bundle.folder / "bundle.json").read_text())["complete"]


def test_a_damaged_wheel_is_fetched_again(packed, project, pip_index):
    damaged = next(packed.glob("wheels/pure-*"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-10])
    Bundle(packed, project).pack([HERE])
    assert damaged.read_bytes() == whole


def test_a_file_that_is_not_the_locks_is_refused(project, pip_index, tmp_path):
    next(pip_index.glob("pure-*")).unlink()
    wheel(pip_index, "pure", content="ANSWER = 43")
    with pytest.raises(EnvironmentProblem, match=r"another file than requirements\.lock"):
        Bundle(tmp_path / "bundle", project).pack([HERE])
    assert not list(tmp_path.glob("bundle/wheels/pure-*"))


def test_a_wheel_from_elsewhere_is_not_taken_for_the_locks(project, pip_index, tmp_path):
    bundle = Bundle(tmp_path / "bundle", project)
    bundle.wheels.mkdir(parents=True)
    better = f"cp{HERE.python.replace('.', '')}-none-any"
    stray = wheel(bundle.wheels, "pure", better, "ANSWER = 43")
    with pytest.raises(EnvironmentProblem, match=rf"{stray.name}, which is not the lock's.*Remove that file"):
        bundle.pack([HERE])


def test_wheels_of_an_older_lock_go(packed, project, pip_index):
    text = locked(pip_index)
    (project / "requirements.lock").write_text(text[: text.index("pure==")] + text[text.index("uv==") :])
    Bundle(packed, project).pack([])
    assert names(packed) == {"elsewhere", "native", "uv"}


def test_no_network_is_named(project, pip_index, tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port of "discard": nobody listens
    with pytest.raises(EnvironmentProblem, match=r"was not reached.*the same command goes on"):
        Bundle(tmp_path / "bundle", project).pack([HERE])


def test_a_full_disk_is_named(project, tmp_path, monkeypatch):
    pip = tmp_path / "python"
    pip.write_text("#!/bin/sh\necho 'ERROR: Could not install packages: [Errno 28] No space left on device'; exit 1\n")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(EnvironmentProblem, match=r"is full; a platform takes"):
        Bundle(tmp_path / "bundle", project).pack([HERE])


def test_a_folder_with_something_else_is_left_alone(project, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(EnvironmentProblem, match=r"is no bundle.*Name another folder"):
        Bundle(tmp_path, project)


def test_only_a_clone_can_be_packed(project, tmp_path):
    shutil.rmtree(project / ".git")
    with pytest.raises(EnvironmentProblem, match="pack from a clone"):
        Bundle(tmp_path / "bundle", project).pack([HERE])


def test_the_command_says_what_is_there_and_how_to_serve_it(project, pip_index, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project / "labs")
    folder = tmp_path / "my [bold]bundle"
    assert cli.main(["pack", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert str(HERE) in shown
    assert f"{folder} is complete" in shown
    assert f"python3 -m http.server 8000 --directory {shlex.quote(str(folder))}\n" in shown


def test_learners_read_which_machines_and_pythons_the_bundle_is_for(packed):
    read = (packed / "README.txt").read_text(encoding="utf-8")
    lines = [f"    {PLATFORMS[one.platform]['words']}: Python {one.python}\n" for one in sorted((HERE, ELSEWHERE))]
    assert f"This folder is for\n\n{''.join(lines)}\nthat is" in read


@pytest.mark.parametrize("option", [["--platform", "amiga"], ["--python", "3.9"]])
def test_unknown_machines_are_refused(option, capsys):
    with pytest.raises(SystemExit) as status:
        command.main(option)
    assert status.value.code == 2
    assert "choose from" in capsys.readouterr().err
