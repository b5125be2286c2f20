"""A bundle that is packed once, from a clone and wheels of this machine, and copies of it for tests to change."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.pack import set_up
from labkit.pack.bundle import Bundle

from .toys import BACKEND, ELSEWHERE, HERE, PYPROJECT, copy, locked, use, wheel


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """A folder of wheels: the real uv among toys, one of them with a wheel for each of two platforms."""
    folder = tmp_path_factory.mktemp("index")
    wheel(folder, "uv", program=Path(sys.executable).with_name("uv" + set_up.PROGRAM))
    wheel(folder, "pure", content="ANSWER = 42")
    wheel(folder, "native", HERE.platform_tags()[0].join(("py3-none-", "")))
    wheel(folder, "native", ELSEWHERE.platform_tags()[0].join(("py3-none-", "")))
    wheel(folder, "elsewhere")
    return folder


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def original(clone, index, tmp_path_factory):
    """A complete bundle for this machine and another kind."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(monkeypatch, index, clone)
        bundle = Bundle(tmp_path_factory.mktemp("original") / "bundle", clone)
        bundle.pack([HERE, ELSEWHERE])
    return bundle.folder


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
