"""A bundle is packed from a lock and wheels of this machine, and labs are set up from it, without a network."""

import ast
import collections
import functools
import hashlib
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.markers import Marker

from labkit import cli
from labkit.browser import javascript
from labkit.errors import EnvironmentProblem
from labkit.pack import command, lock, set_up, wheels
from labkit.pack.bundle import Bundle
from labkit.pack.targets import PLATFORMS, PYTHONS, Target

HERE = Target(command.this_platform(), ".".join(platform.python_version_tuple()[:2]))
ELSEWHERE = Target("windows" if HERE.platform != "windows" else "macos", HERE.python)
ANYWHERE = "py3-none-any"
# Builds the toy project's package in place, as setuptools does for the real one.
BACKEND = """
import os, zipfile
def build_editable(folder, *_):
    name = "labkit-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("labkit.pth", os.getcwd())
        wheel.writestr("labkit-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: labkit\\nVersion: 1.0\\n")
        about = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("labkit-1.0.dist-info/WHEEL", about)
        wheel.writestr("labkit-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "labkit"
version = "1.0"
"""


def wheel(folder, name, tag=ANYWHERE, content="", program=None):
    """A wheel as an index has it: one module, and a program if its bytes are given."""
    file = folder / f"{name}-1.0-{tag}.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(f"{name}.py", content)
        if program is not None:
            opened.write(program, f"{name}-1.0.data/scripts/{program.name}")
        opened.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        opened.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        opened.writestr(f"{about}/RECORD", "")
    return file


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A folder of wheels: the real uv among toys, one of them with a wheel for each of two platforms."""
    folder = tmp_path_factory.mktemp("index")
    wheel(folder, "uv", program=Path(sys.executable).with_name("uv" + set_up.PROGRAM))
    wheel(folder, "pure", content="ANSWER = 42")
    wheel(folder, "native", HERE.platform_tags()[0].join(("py3-none-", "")))
    wheel(folder, "native", ELSEWHERE.platform_tags()[0].join(("py3-none-", "")))
    wheel(folder, "elsewhere")
    return folder


@pytest.fixture(scope="module")
def clone(index, repository, tmp_path_factory):
    """A clone in small: tracked files, one that is not, and a lock."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    files = {
        "requirements.lock": locked(index),
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "labkit/__init__.py": "",
        "labkit/__main__.py": "import sys; print('opened', *sys.argv[1:])",
        "labkit/browser/npm/package.json": "{}",
        "labkit/browser/npm/package-lock.json": "{}",
        "labs/00_start_here.ipynb": "a lab",
        "run.sh": "#!/bin/sh\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(repository / "Makefile", folder)
    (folder / "run.sh").chmod(0o755)
    subprocess.run(["git", "-C", folder, "init", "--quiet"], check=True)
    subprocess.run(["git", "-C", folder, "add", "."], check=True)
    (folder / "password.txt").write_text("secret", encoding="utf-8")
    return folder


def use(monkeypatch, index, clone):
    """Let pip find nothing but the wheels in `index`, and TensorFlow.js be there for `clone`."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("LABKIT_JAVASCRIPT", str(clone.parent / "javascript"))
    packages = javascript.place(clone / "labkit/browser/npm") / "node_modules" / "toy"
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "toy.js").write_text("// code", encoding="utf-8")


@pytest.fixture(scope="module")
def original(clone, index, tmp_path_factory):
    """A complete bundle for this machine and another kind."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(monkeypatch, index, clone)
        bundle = Bundle(tmp_path_factory.mktemp("original") / "bundle", clone)
        bundle.pack([HERE, ELSEWHERE])
    return bundle.folder


def copy(file, to):
    """A copy; of what is large, another name of the same file."""
    (os.link if "uv-" in Path(file).name else shutil.copy2)(file, to)


@pytest.fixture
def pip_index(index, clone, tmp_path, monkeypatch):
    """The wheels as pip's only source, for a test to change."""
    use(monkeypatch, tmp_path / "index", clone)
    return Path(shutil.copytree(index, tmp_path / "index", copy_function=copy))


@pytest.fixture
def project(clone, tmp_path):
    """The clone, for a test to change."""
    return Path(shutil.copytree(clone, tmp_path / "project"))


@pytest.fixture
def packed(original, tmp_path):
    """The bundle, for a test to change."""
    return Path(shutil.copytree(original, tmp_path / "bundle", copy_function=copy))


def locked(index):
    markers = {"elsewhere": f" ; sys_platform == '{PLATFORMS[ELSEWHERE.platform]['sys_platform']}'"}
    lines = []
    for name in ("elsewhere", "native", "pure", "uv"):
        digests = [hashlib.sha256(one.read_bytes()).hexdigest() for one in index.glob(f"{name}-*")]
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests)
        lines.append(f"{name}==1.0{markers.get(name, '')} \\\n{hashes}\n    # via labkit\n")
    return "".join(lines)


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
    assert cli.main(["pack", str(tmp_path / "bundle")]) == 0
    shown = capsys.readouterr().out
    assert str(HERE) in shown
    assert "complete" in shown
    assert "python3 -m http.server --directory" in shown


@pytest.mark.parametrize("option", [["--platform", "amiga"], ["--python", "3.9"]])
def test_unknown_machines_are_refused(option, capsys):
    with pytest.raises(SystemExit) as status:
        command.main(option)
    assert status.value.code == 2
    assert "choose from" in capsys.readouterr().err


# What a target needs


def test_markers_are_those_of_the_target():
    windows, linux = Target("windows", "3.12"), Target("linux-arm64", "3.11")
    assert windows.wants(Marker("sys_platform == 'win32' and os_name == 'nt' and python_version >= '3.12'"))
    assert not linux.wants(Marker("sys_platform == 'win32'"))
    assert linux.wants(Marker("platform_machine == 'aarch64' and platform_system == 'Linux'"))
    assert Target("macos", "3.13").wants(Marker("sys_platform == 'darwin' and platform_machine == 'arm64'"))
    assert linux.wants(None)


def test_a_package_that_depends_on_the_patch_release_is_there_for_all_of_them():
    python = Target("linux", "3.11")
    assert python.wants(Marker("python_full_version < '3.11.5'"))
    assert python.wants(Marker("python_full_version >= '3.11.5'"))
    assert not python.wants(Marker("python_full_version >= '3.12'"))


@pytest.mark.parametrize(
    ("target", "best"),
    [
        (Target("linux", "3.12"), "toy-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"),
        (Target("linux", "3.11"), "toy-1.0-cp39-abi3-manylinux2014_x86_64.whl"),
        (Target("linux-arm64", "3.12"), "toy-1.0-py3-none-any.whl"),
        (Target("macos", "3.12"), "toy-1.0-cp312-cp312-macosx_11_0_arm64.whl"),
        (Target("windows", "3.13"), "toy-1.0-cp313-cp313-win_amd64.whl"),
    ],
)
def test_the_best_wheel_is_the_one_an_installer_would_take(target, best):
    there = [
        "toy-1.0-py3-none-any.whl",
        "toy-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        "toy-1.0-cp312-cp312-manylinux_2_35_x86_64.whl",
        "toy-1.0-cp39-abi3-manylinux2014_x86_64.whl",
        "toy-1.0-cp312-cp312-macosx_11_0_arm64.whl",
        "toy-1.0-cp312-cp312-macosx_26_0_arm64.whl",
        "toy-1.0-cp313-cp313-win_amd64.whl",
        "toy-2.0-cp313-cp313-win_amd64.whl",
        "toy_two-1.0-cp313-cp313-win_amd64.whl",
        "no wheel.whl",
    ]
    one = lock.Locked("toy", "1.0", None, frozenset())
    assert one.best(map(Path, there), target) == Path(best)


def test_every_target_gets_one_version_of_each_package_of_the_real_lock(repository):
    packages = lock.read(repository / "requirements.lock")
    assert len(packages) > 150
    for target in [Target(one, python) for one in PLATFORMS for python in PYTHONS]:
        wanted = [one.name for one in packages if target.wants(one.marker)]
        twice = {name for name in wanted if wanted.count(name) > 1}
        assert twice <= {"soupsieve"}, "one version for each patch release of 3.11"
        assert ("pywinpty" in wanted) == (target.platform == "windows") == ("uvloop" not in wanted)
        assert ("appnope" in wanted) == (target.platform == "macos")
        assert {"tensorflow", "uv", "setuptools", "jupyterlab"} <= set(wanted)


def test_a_lock_without_hashes_is_refused(tmp_path):
    file = tmp_path / "requirements.lock"
    file.write_text("pure==1.0\n    # via labkit\n")
    with pytest.raises(EnvironmentProblem, match="without hashes"):
        lock.read(file)


# What a learner does


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


# Ctrl-C, other Pythons' paths, and the file system's refusals


WAITING = """
import signal, subprocess, sys
from labkit.pack.set_up import wait_for

def wait(process, timeout=None, wait=subprocess.Popen.wait):
    print("waiting", flush=True)
    return wait(process, timeout)

subprocess.Popen.wait = wait
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(wait_for([sys.executable, "-c", "exit(int(input()))"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="there a signal to one process alone is none")
def test_ctrl_c_is_left_to_what_was_started():
    """Where the one cannot take the other's place, on Windows: JupyterLab gets Ctrl-C too, asks, and may go on."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WAITING], **pipes) as program:
        for _ in range(2):
            assert program.stdout.readline() == b"waiting\n"
            program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == b"waiting\n"
        _, said = program.communicate(b"7\n")
    assert (program.returncode, said) == (7, b"")


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


def test_a_folder_with_other_things_is_refused_before_anything_is_asked_for(served, packed, tmp_path, capsys):
    address, asked = served
    (tmp_path / "labs").mkdir()
    (tmp_path / "labs" / "thesis.txt").write_text("years")
    assert "Nothing in it was changed" in refused(capsys, packed, tmp_path / "labs", "--from", address)
    assert asked == []
    assert [file.name for file in (tmp_path / "labs").iterdir()] == ["thesis.txt"]


def test_other_labs_are_refused_before_packages_are_fetched(served, packed, tmp_path, capsys):
    address, asked = served
    (tmp_path / "labs" / ".venv").mkdir(parents=True)
    (tmp_path / "labs" / "requirements.lock").write_text("those of last year")
    assert "Nothing in it was changed" in refused(capsys, packed, tmp_path / "labs", "--from", address)
    assert asked == ["/bundle.json", "/labs.zip"]
    assert {file.name for file in (tmp_path / "labs").iterdir()} == {".venv", "requirements.lock"}


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


def test_a_set_up_that_was_interrupted_while_it_unpacked_goes_on(packed, tmp_path, capsys, monkeypatch):
    labs, write = tmp_path / "labs", Path.write_bytes

    def interrupted(file, content):
        if file.name == "backend.py":
            raise OSError("the stick is gone")
        return write(file, content)

    with monkeypatch.context() as once:
        once.setattr(Path, "write_bytes", interrupted)
        assert "the stick is gone. Is there room" in refused(capsys, packed, labs)
    monkeypatch.setattr(set_up, "make_environment", no_battery)
    assert "battery" in refused(capsys, packed, labs)
    assert (labs / "backend.py").is_file()


def test_set_up_knows_the_same_machines_as_pack():
    machines = {(one["sys_platform"], one["platform_machine"]): name for name, one in PLATFORMS.items()}
    assert machines == set_up.SYSTEMS


def test_set_up_stands_alone_and_is_read_by_old_pythons(repository):
    source = (repository / "labkit/pack/set_up.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    imported = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)
