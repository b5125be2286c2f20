"""A learner sets labs up from a bundle, without a network: what goes on, what stays, and what is refused."""

import ast
import collections
import errno
import functools
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from labkit.pack import set_up, wheels
from labkit.pack.targets import PLATFORMS

from .toys import ELSEWHERE, HERE


def learner(packed, folder, *options, **environment):
    program = [sys.executable, str(packed / "set_up.py"), str(folder), *options]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "LABKIT_"))}
    return subprocess.run(program, capture_output=True, text=True, env=clean | environment, cwd=packed.parent)


def test_a_learner_sets_up_without_a_network_and_make_has_nothing_left_to_do(packed, tmp_path):
    labs = tmp_path / "my labs"
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "UV_INDEX_URL": "http://127.0.0.1:9/"}
    done = learner(packed, labs, "--no-open", **nowhere)
    assert done.returncode == 0, done.stdout + done.stderr
    python = set_up.python_in(labs)
    asked = subprocess.run(
        [python, "-c", "import labkit, pure; print(labkit.__file__, pure.ANSWER)"], cwd=tmp_path, **TEXT
    )
    assert asked.stdout == f"{labs / 'labkit' / '__init__.py'} 42\n", asked.stderr
    assert [file.name for file in (labs / ".venv/share/labkit/javascript").glob("*/node_modules/toy/*")] == ["toy.js"]
    assert (labs / "run.sh").stat().st_mode & stat.S_IXUSR
    assert not (labs / ".venv/uv-cache").exists()
    by_hand = {name: value for name, value in os.environ.items() if name not in ("ARGS", "MAKEFLAGS", "MAKELEVEL")}
    left = subprocess.run(["make", "-n", "lab"], cwd=labs, env=by_hand, **TEXT).stdout.splitlines()
    assert [line.split() for line in left] == [[".venv/bin/labkit", "lab"]]

    again = learner(packed, labs)
    assert "opened lab" in again.stdout
    assert "1/4" not in again.stdout

    python.unlink()  # as after an update that took away the Python that it leads to
    anew = learner(packed, labs)
    assert "1/4" in anew.stdout
    assert "opened lab" in anew.stdout, anew.stderr


def no_battery(*_):
    raise set_up.Trouble("the battery is empty")


def test_what_a_learner_wrote_stays_when_an_interrupted_set_up_goes_on(packed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(set_up, "make_environment", no_battery)
    labs = tmp_path / "labs"
    assert "battery" in refused(capsys, packed, labs)
    lab = labs / "labs/00_start_here.ipynb"
    lab.write_text("my work")
    (labs / "run.sh").unlink()
    assert "battery" in refused(capsys, packed, labs)
    assert lab.read_text() == "my work"
    assert (labs / "run.sh").is_file()


TEXT = {"capture_output": True, "text": True}


@pytest.fixture
def served(packed):
    """The bundle's address, and the paths that were asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, form, *arguments):
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=packed)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_bundle_can_be_served_in_the_room(packed, served, tmp_path):
    address, asked = served
    alone = tmp_path / "downloads"
    alone.mkdir()
    shutil.copy(packed / "set_up.py", alone)
    labs = tmp_path / "labs"
    done = learner(alone, labs, "--no-open", "--from", address, http_proxy="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (labs / ".venv/javascript").is_file()
    assert not (labs / ".bundle").exists()
    assert "/bundle.json" in asked
    assert not [path for path in asked if "elsewhere" in path], "a learner fetches only their own platform's"


def refused(capsys, packed, folder, *options):
    """What set_up.py says when it does not set up."""
    place = [] if "--from" in options else ["--from", str(packed)]
    assert set_up.main([str(folder), "--no-open", *place, *options]) == 1
    return capsys.readouterr().err


def rewrite(file, change):
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def test_a_served_file_that_arrives_changed_is_refused(packed, served, tmp_path, capsys):
    damage(packed / "labs.zip")
    assert "labs.zip did not arrive as it is" in refused(capsys, packed, tmp_path / "labs", "--from", served[0])


def damage(file):
    """Change one byte in the middle, and not the size."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.unlink()
    file.write_bytes(content)


@pytest.mark.parametrize("file", ["labs.zip", "javascript.zip", "wheels/uv-*", "wheels/pure-*"])
def test_a_damaged_copy_is_named(packed, tmp_path, capsys, file):
    damaged = next(packed.glob(file))
    damage(damaged)
    said = refused(capsys, packed, tmp_path / "labs")
    assert f"{damaged.relative_to(packed).as_posix()} is damaged in this copy" in said
    assert not (tmp_path / "labs/.venv/javascript").exists()


def test_a_copy_that_is_not_complete_is_named(packed, tmp_path, capsys):
    next(packed.glob("wheels/pure-*")).unlink()
    said = refused(capsys, packed, tmp_path / "labs")
    assert "1 of 5 files are missing or cut, wheels/pure-1.0-py3-none-any.whl among them" in said
    rewrite(packed / "bundle.json", lambda record: record.update(complete=False))
    assert "runs the same `labkit pack` again" in refused(capsys, packed, tmp_path / "labs")
    assert "There is no bundle in" in refused(capsys, tmp_path, tmp_path / "labs")


def test_a_bundle_for_other_machines_is_named(packed, tmp_path, capsys):
    rewrite(packed / "bundle.json", lambda record: record["targets"].pop(str(HERE)))
    said = refused(capsys, packed, tmp_path / "labs")
    assert f"This bundle is for {ELSEWHERE}. Here: " in said
    assert f"Python {HERE.python}" in said


def test_a_system_that_is_too_old_is_named(packed, tmp_path, capsys):
    rewrite(packed / "bundle.json", lambda record: record["targets"][str(HERE)].update(oldest="99.1"))
    assert "99.1 or later; this machine has" in refused(capsys, packed, tmp_path / "labs")


def test_a_full_disk_is_named_before_anything_is_written(packed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(set_up, "DISK_WANTED", 10**18)
    assert "GB are free where" in refused(capsys, packed, tmp_path / "labs")
    assert not (tmp_path / "labs").exists()


def test_a_folder_with_other_things_is_left_alone(packed, tmp_path, capsys):
    labs = tmp_path / "labs"
    labs.mkdir()
    (labs / "thesis.txt").write_text("years")
    assert "Nothing in it was changed" in refused(capsys, packed, labs)
    assert [file.name for file in labs.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["../up.txt", "/tmp/up.txt", "labs/../../up.txt", "..\\up.txt", "C:up.txt"])
def test_no_file_leaves_the_folder(packed, tmp_path, capsys, name):
    with zipfile.ZipFile(packed / "labs.zip", "a") as archive:
        archive.writestr(name, "evil")
    facts = {"bytes": (packed / "labs.zip").stat().st_size, "sha256": wheels.sha256(packed / "labs.zip")}
    rewrite(packed / "bundle.json", lambda record: record["files"].update({"labs.zip": facts}))
    assert "which is no plain name" in refused(capsys, packed, tmp_path / "a" / "labs")
    assert not list(tmp_path.rglob("up.txt"))


def test_no_wheel_is_taken_from_elsewhere(packed, tmp_path, capsys):
    rewrite(
        packed / "bundle.json",
        lambda record: record["targets"][str(HERE)]["wheels"].update({"pure==1.0": "../labs.zip"}),
    )
    assert "'../labs.zip', which is no plain name" in refused(capsys, packed, tmp_path / "labs")


@pytest.fixture
def ready(packed, tmp_path):
    """Labs that are set up, as far as `set_up.py` looks, whose JupyterLab says where and with what it was started."""
    labs = tmp_path / "labs"
    python = set_up.python_in(labs)
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@, in $PWD, $PYTHONPATH$PYTHONHOME, process $$"\n')
    python.chmod(0o755)
    (labs / set_up.JAVASCRIPT).touch()
    return labs


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot put one program in place of another")
def test_jupyterlab_takes_the_place_of_set_up_and_finds_no_other_pythons_modules(packed, ready):
    command = [sys.executable, packed / "set_up.py", ready]
    elsewhere = os.environ | {"PYTHONPATH": "/elsewhere"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=elsewhere) as started:
        assert started.stdout.read().endswith(f"-m labkit lab, in {ready}, , process {started.pid}\n")


def test_where_it_cannot_take_the_place_ctrl_c_is_left_to_jupyterlab(monkeypatch):
    """On Windows: JupyterLab gets Ctrl-C too, asks, and may go on."""
    child = Mock(wait=Mock(side_effect=[KeyboardInterrupt, KeyboardInterrupt, 7]))
    monkeypatch.setattr(subprocess, "Popen", lambda command: child)
    assert set_up.wait_for(["jupyterlab"]) == 7


def test_a_file_in_place_of_the_folder_is_told(packed, tmp_path, capsys):
    (tmp_path / "labs").write_text("a letter")
    assert f"{tmp_path / 'labs'} is a file. Name a folder" in refused(capsys, packed, tmp_path / "labs")


def test_what_the_file_system_refuses_is_told(packed, tmp_path, capsys):
    (tmp_path / "file").touch()
    said = refused(capsys, packed, tmp_path / "file" / "labs")
    assert f"Not a directory: '{tmp_path / 'file' / 'labs'}'. Is there room on the disk, may you write" in said


@pytest.mark.parametrize("address", ["http://127.0.0.1:80o0", "http://[::1", "http://127.0.0.1:9"])
def test_an_address_that_leads_nowhere_leaves_nothing(packed, tmp_path, capsys, address):
    said = refused(capsys, packed, tmp_path / "labs", "--from", address)
    assert f"bundle.json could not be fetched from {address}" in said
    assert not (tmp_path / "labs").exists()


@pytest.mark.parametrize("held", ["thesis.txt", "requirements.lock"])
def test_a_folder_with_other_things_is_refused_before_anything_large_is_fetched(served, tmp_path, capsys, held):
    address, asked = served
    (tmp_path / "labs" / ".venv").mkdir(parents=True)
    (tmp_path / "labs" / held).write_text("that of last year")
    assert "Nothing in it was changed" in refused(capsys, "", tmp_path / "labs", "--from", address)
    assert asked == ["/bundle.json"]
    assert {file.name for file in (tmp_path / "labs").iterdir()} == {".venv", held}


def test_half_of_it_needs_no_room_again(served, packed, tmp_path, capsys, monkeypatch):
    """The disk has room for all of it less one byte: enough for who has fetched a file, and is rid of half a .venv."""
    labs = tmp_path / "labs"
    monkeypatch.setattr(set_up, "make_environment", no_battery)
    assert "battery" in refused(capsys, packed, labs, "--from", served[0])
    half = labs / ".venv" / "half"
    half.parent.mkdir()
    half.touch()
    room = collections.namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room(0 if half.exists() else set_up.DISK_WANTED - 1))
    assert "battery" in refused(capsys, packed, labs, "--from", served[0])
    shutil.rmtree(labs / ".bundle")
    assert "5.0 GB are free where" in refused(capsys, packed, labs, "--from", served[0])


@pytest.mark.parametrize("cut", ["requirements.lock", "labs/00_start_here.ipynb", "backend.py"])
def test_a_file_that_was_half_written_is_written_again(packed, clone, tmp_path, capsys, monkeypatch, cut):
    labs, write = tmp_path / "labs", Path.write_bytes

    def interrupted(file, content):
        if not file.name.startswith(Path(cut).name):
            return write(file, content)
        write(file, content[: len(content) // 2])
        raise OSError("the stick is gone")

    with monkeypatch.context() as once:
        once.setattr(Path, "write_bytes", interrupted)
        assert "the stick is gone. Is there room" in refused(capsys, packed, labs)
    monkeypatch.setattr(set_up, "make_environment", no_battery)
    assert "battery" in refused(capsys, packed, labs)
    assert (labs / cut).read_bytes() == (clone / cut).read_bytes()
    assert not list(labs.rglob("*.part"))


def test_what_goes_on_with_a_newer_bundle_has_its_code_and_keeps_what_is_in_labs(packed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(set_up, "make_environment", no_battery)
    labs = tmp_path / "labs"
    refused(capsys, packed, labs)
    put_into_labs(packed, {"backend.py": "new", "labs/00_start_here.ipynb": "new", "labs/01_new.ipynb": "new"})
    assert set_up.main([str(labs), "--from", str(packed)]) == 1
    assert "1 files in labs are not as in the bundle; they stay" in capsys.readouterr().out
    assert [(labs / name).read_text() for name in ("backend.py", "labs/01_new.ipynb")] == ["new", "new"]
    assert (labs / "labs/00_start_here.ipynb").read_text() == "a lab"


def put_into_labs(packed, files):
    """Pack labs.zip anew with other texts for some files."""
    with zipfile.ZipFile(packed / "labs.zip") as archive:
        texts = {name: archive.read(name) for name in archive.namelist()} | files
    with zipfile.ZipFile(packed / "labs.zip", "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    facts = {"bytes": (packed / "labs.zip").stat().st_size, "sha256": wheels.sha256(packed / "labs.zip")}
    rewrite(packed / "bundle.json", lambda record: record["files"].update({"labs.zip": facts}))


def test_labs_of_another_bundle_are_opened_and_told_of(packed, served, ready, capsys):
    def said(place):
        assert set_up.main([str(ready), "--no-open", "--from", place]) == 0
        return capsys.readouterr().out

    (ready / set_up.LABS).write_text(wheels.sha256(packed / "labs.zip"))
    assert "other labs" not in said(str(packed))
    put_into_labs(packed, {"labs/01_new.ipynb": "new"})
    assert "This bundle has other labs than yours. For them name another folder" in said(str(packed))
    assert "other labs" not in said(served[0])
    assert served[1] == [], "nobody is asked over a network"
    shutil.rmtree(packed)
    assert "other labs" not in said(str(packed)), "the stick is gone"


def test_what_is_under_way_is_shown_block_by_block(tmp_path, capsys, monkeypatch):
    blocks = [bytes(10**6), bytes(2 * 10**6), bytes(10**6)]
    whole = hashlib.sha256(b"".join(blocks)).hexdigest()
    monkeypatch.setattr(set_up, "fetch", lambda *_: iter(blocks))
    set_up.download("http://room", ["wheel"], {"wheel": {"bytes": 4 * 10**6, "sha256": whole}}, tmp_path)
    shown = capsys.readouterr().out
    assert re.findall(r"(\d+) of 4 MB from http://room", shown) == ["1", "3", "4", "4"]


def test_a_full_disk_is_not_taken_for_the_network(served, tmp_path, capsys, monkeypatch):
    class Full(io.BytesIO):
        def write(self, block):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda file, mode: Full())
    said = refused(capsys, "", tmp_path / "labs", "--from", served[0])
    assert "No space left on device. Is there room on the disk" in said
    assert "Is the address right" not in said


@pytest.mark.parametrize(
    ("answer", "said_of_it"),
    [("<html>Log in</html>", "There is no bundle in ADDRESS (Expecting value"), ("[]", "This bundle is not complete")],
)
def test_an_address_that_answers_with_something_else_is_named(packed, served, tmp_path, capsys, answer, said_of_it):
    (packed / "bundle.json").write_text(answer)
    said = refused(capsys, "", tmp_path / "labs", "--from", served[0])
    assert said_of_it in said.replace(served[0], "ADDRESS")


def test_a_machine_that_no_bundle_is_for_is_sent_on_no_errand(packed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(set_up, "SYSTEMS", {})
    said = refused(capsys, packed, tmp_path / "labs")
    assert "TensorFlow has no packages for such a Python" in said
    assert "labkit pack" not in said


def test_set_up_knows_the_same_machines_as_pack():
    machines = {(one["sys_platform"], one["platform_machine"]): name for name, one in PLATFORMS.items()}
    assert machines == set_up.SYSTEMS


def test_set_up_stands_alone_and_is_read_by_old_pythons(repository):
    source = (repository / "labkit/pack/set_up.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imported = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names) - {"__future__"}
    types = [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    types += [node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg)]
    new = [ast.unparse(one) for one in types if isinstance(one, ast.Subscript | ast.BinOp)]
    assert not new, "3.6 reads these when it starts; put them in quotes"
