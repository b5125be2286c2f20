"""The files that describe the environment agree with each other and with what is installed."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import labkit

LOCK_COMMAND = "pip install --no-deps --require-hashes -r requirements.lock"
JAVASCRIPT_COMMAND = "python -m labkit.browser.javascript"
NPM = "labkit/browser/npm"
PACKAGE_COMMAND = "pip install --no-deps --no-build-isolation -e ."
BLOCK = re.compile(r"^(\S.*?)\n((?:^ .*\n)+)", flags=re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


@pytest.fixture(scope="module")
def pyproject(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock(repository):
    """Requirement line -> the lines below it, as the lock has them."""
    blocks = BLOCK.findall((repository / "requirements.lock").read_text())
    return {line.removesuffix(" \\"): rest for line, rest in blocks}


def declared(pyproject, groups=True):
    project = pyproject["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    if groups:
        lines += [line for group in pyproject["dependency-groups"].values() for line in group]
    return [Requirement(line) for line in lines]


def test_lock_names_every_declared_package_within_its_range(pyproject, lock):
    locked = [Requirement(line) for line in lock]
    for wanted in declared(pyproject):
        versions = [str(one.specifier).removeprefix("==") for one in locked if one.name == wanted.name]
        assert versions, f"{wanted.name} is not in requirements.lock; run `make lock`"
        assert all(wanted.specifier.contains(version) for version in versions), f"{wanted} but the lock has {versions}"


def test_lock_has_exact_versions_and_hashes_and_no_address(repository, lock):
    text = (repository / "requirements.lock").read_text()
    assert len(lock) == len(re.findall(r"^\S", text, flags=re.MULTILINE)) > 100
    for line, rest in lock.items():
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)?", line)
        assert HASH.search(rest), f"{line} has no hash"
    assert "://" not in text
    assert not re.search(r"(^|\s)(--index|--extra-index|--find-links|-r /|/)", text)


def test_the_images_lock_is_the_part_that_the_server_needs(repository, pyproject, lock):
    """docker/requirements.lock: the same packages and hashes, those of the labs and tests left out."""
    text = (repository / "docker" / "requirements.lock").read_text()
    image = {line.removesuffix(" \\"): rest for line, rest in BLOCK.findall(text)}
    assert set(image) < set(lock), "run `make lock`"
    for line, rest in image.items():
        assert HASH.findall(rest) == HASH.findall(lock[line]), f"{line} has other hashes; run `make lock`"
    project = pyproject["project"]
    names = {Requirement(line).name for line in image}
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tflite"]]
    assert {Requirement(line).name for line in wanted} <= names
    assert not names & {"jupyterlab", "pandas", "pytest"}


def test_installed_packages_are_the_locks(lock):
    wanted = [one for line in lock if not (one := Requirement(line)).marker or one.marker.evaluate()]
    installed = {canonicalize_name(one.name): one.version for one in importlib.metadata.distributions()}
    different = {str(one): installed.get(one.name) for one in wanted if f"=={installed.get(one.name)}" != one.specifier}
    assert not different, "run `make environment`"


def test_versions_agree(repository, pyproject):
    version = pyproject["project"]["version"]
    assert labkit.__version__ == importlib.metadata.version("labkit") == version
    assert re.search(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1] == version


def test_the_conda_environment_takes_everything_but_python_from_the_lock(repository, pyproject):
    text = (repository / "environment.yml").read_text()
    python, *others = yaml.safe_load(text)["dependencies"]
    assert others == ["pip"]
    assert python_fits(python, pyproject)
    assert LOCK_COMMAND in text
    assert PACKAGE_COMMAND in text
    assert JAVASCRIPT_COMMAND in text


def test_the_apple_gpu_environment_pins_what_pyproject_allows(repository, pyproject):
    python, pip, packages = yaml.safe_load((repository / "environment-apple-gpu.yml").read_text())["dependencies"]
    assert pip == "pip"
    assert python_fits(python, pyproject)
    pins = dict(line.split("==") for line in packages["pip"])
    assert pins["tensorflow-metal"] == "1.2.0"
    assert pins["tensorflow"].startswith("2.18.")
    version = python.partition("=")[2]
    there = {"python_version": version, "python_full_version": f"{version}.0", "sys_platform": "darwin"}
    for wanted in declared(pyproject, groups=False):
        if wanted.marker and not wanted.marker.evaluate(there):
            continue
        assert wanted.specifier.contains(pins[wanted.name]), (
            f"{wanted} but environment-apple-gpu.yml has {pins[wanted.name]}"
        )


def python_fits(dependency, pyproject):
    name, version = dependency.split("=")
    return name == "python" and Version(version) in SpecifierSet(pyproject["project"]["requires-python"])


def test_the_readme_gives_the_same_commands(repository):
    readme = (repository / "README.md").read_text()
    assert f".venv/bin/python -m {LOCK_COMMAND}" in readme
    assert f".venv/bin/python -m {PACKAGE_COMMAND}" in readme
    assert f".venv/bin/{JAVASCRIPT_COMMAND}" in readme


def test_binder_installs_chromium_with_apt(repository):
    assert (repository / "binder" / "apt.txt").read_text().split() == ["chromium"]
    dockerfile = (repository / "binder" / "Dockerfile").read_text()
    assert "xargs -a /tmp/apt.txt apt-get install" in dockerfile
    assert "bash binder/postBuild" in dockerfile


@pytest.fixture
def checkout(repository, tmp_path):
    """A copy of what `make` reads, with an empty folder `programs` in which a test puts the Pythons it wants."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(repository / name, folder)
    for name in (".ci", NPM):
        shutil.copytree(repository / name, folder / name)
    (folder / "programs").mkdir()
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / "programs" / name
    path.unlink(missing_ok=True)  # it may be a link to this machine's own program
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def make(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """`make`, which sees no programs but a shell's own and those in `programs`."""
    for tool in ("sh", "make", "rm", "awk", "touch", "env", "bash", "dirname"):
        if not (checkout / "programs" / tool).exists():
            (checkout / "programs" / tool).symlink_to(shutil.which(tool))
    variables = {"PATH": str(checkout / "programs"), "HOME": str(checkout), **environment}
    command = [checkout / "programs" / "make", *arguments]
    return subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, timeout=100)


def test_make_names_the_pythons_that_it_saw(checkout):
    program(checkout, "python3", 'echo "3.9"')
    answer = make(checkout, "lab")
    assert answer.returncode != 0
    assert "The labs need Python 3.11, 3.12 or 3.13." in answer.stdout
    assert "python3 is 3.9" in answer.stdout
    assert "make lab PYTHON=" in answer.stdout
    assert not (checkout / ".venv").exists()


def test_make_says_so_when_there_is_no_python(checkout):
    answer = make(checkout, "lab")
    assert answer.returncode != 0
    assert "no Python at all" in answer.stdout


def test_make_names_the_package_when_venv_is_missing(checkout):
    program(checkout, "python3.12", 'case "$2" in *ensurepip*) exit 1 ;; *) echo "3.12" ;; esac')
    answer = make(checkout, "test")
    assert answer.returncode != 0
    assert "Found python3.12, but without the modules venv and ensurepip" in answer.stdout
    assert "apt-get install python3-venv" in answer.stdout


def test_make_passes_over_a_python_that_does_not_start(checkout):
    program(checkout, "python3.13", 'echo "pyenv: python3.13: command not found" >&2; exit 127')
    program(checkout, "python3", f'exec "{sys.executable}" "$@"')
    answer = make(checkout, ".venv/bin/python")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"1/4  A new environment in .venv with python3 ({version})" in answer.stdout
    assert (checkout / ".venv" / "bin" / "pip").exists()


def test_make_has_nothing_to_do_the_second_time(checkout):
    ready = [checkout / ".venv" / name for name in ("bin/python", "bin/uv", "ready", "javascript")]
    for file in ready:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert make(checkout, "--question", "environment").returncode == 0
    for file in ready[-2:]:
        os.utime(file, (0, 0))  # as after a change of its lock
        assert make(checkout, "--question", "environment").returncode == 1
        file.touch()


@pytest.fixture
def without_network(checkout):
    """The checkout with all packages, but a Python that says it could not fetch TensorFlow.js."""
    for name in ("bin/uv", "ready"):
        (checkout / ".venv" / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / ".venv" / name).touch()
    says = 'case "$*" in *labkit.browser.javascript) echo "no network"; exit 1 ;; esac'
    program(checkout, "offline", says)
    (checkout / "programs" / "offline").rename(checkout / ".venv" / "bin" / "python")
    program(checkout, "labkit", 'echo "labkit $*"')
    (checkout / "programs" / "labkit").rename(checkout / ".venv" / "bin" / "labkit")
    os.utime(checkout / ".venv" / "bin" / "python", (0, 0))
    return checkout


def test_make_opens_the_labs_without_tensorflow_js_and_tries_again_the_next_time(without_network):
    for _ in range(2):
        answer = make(without_network, "lab")
        assert answer.returncode == 0, answer.stderr
        step, said, advice, opened = answer.stdout.splitlines()
        assert step.startswith("4/4  TensorFlow.js")
        assert said == "no network"
        assert "The labs in the browser wait for it, no others" in advice
        assert opened == "labkit lab"


def test_make_does_not_go_on_without_tensorflow_js_on_ci(without_network):
    answer = make(without_network, "lab", LABKIT_CI="1")
    assert answer.returncode != 0
    assert "labkit lab" not in answer.stdout


def test_make_takes_no_python_from_the_shells_own_variables(checkout):
    program(checkout, "python3", 'echo "3.12"; echo "with [$PYTHONHOME$PYTHONPATH]" >&2')
    answer = make(checkout, ".venv/bin/python", PYTHONHOME="/nowhere", PYTHONPATH="/nowhere")
    assert "1/4" in answer.stdout
    assert answer.stderr.splitlines()[-1] == "with []"


def test_ctrl_c_leaves_no_half_made_environment(checkout):
    begun = (
        'case "$*" in *--clear*) mkdir -p .venv/bin; touch .venv/bin/python; kill -INT $PPID ;; *) echo 3.12 ;; esac'
    )
    program(checkout, "python3.12", begun)
    (checkout / "programs" / "mkdir").symlink_to(shutil.which("mkdir"))
    answer = make(checkout, ".venv/bin/python")
    assert answer.returncode != 0
    assert "1/4" in answer.stdout
    assert not (checkout / ".venv").exists()


@pytest.fixture
def installer(checkout):
    """A function that gives the checkout an environment, and in it a `uv` with the script given."""

    def add(script):
        for name in ("python", "uv"):
            program(checkout, name, script if name == "uv" else "exit 0")
            (checkout / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
            (checkout / "programs" / name).rename(checkout / ".venv" / "bin" / name)

    return add


def test_packages_are_installed_again_after_an_attempt_that_did_not_end(checkout, installer):
    installer('echo "uv $*"; exit 1')
    first = make(checkout, ".venv/ready")
    assert first.returncode != 0
    assert "--reinstall" not in first.stdout
    installer('echo "uv $*"')
    assert "--compile-bytecode --reinstall -r requirements.lock" in make(checkout, ".venv/ready").stdout
    assert (checkout / ".venv" / "ready").exists()
    (checkout / ".venv" / "ready").unlink()
    assert "--reinstall" not in make(checkout, ".venv/ready").stdout


def test_make_says_what_to_do_when_packages_do_not_come(checkout, installer):
    installer('echo "error: no route to host" >&2; exit 2')
    answer = make(checkout, "lab")
    assert answer.returncode != 0
    for cause in ("no network", "a proxy", "certificate", "a mirror", "No space left on device", "Permission denied"):
        assert re.search(rf"^  {cause}.*  \S", answer.stdout, flags=re.MULTILINE), cause
    assert "When something is wrong" in answer.stdout


def test_one_setting_reaches_all_that_fetch(checkout, installer):
    installer('echo "$UV_DEFAULT_INDEX $PIP_CERT $NODE_EXTRA_CA_CERTS"')
    settings = {"PIP_INDEX_URL": "https://mirror.test/simple", "SSL_CERT_FILE": "/the/proxys.pem"}
    assert "https://mirror.test/simple /the/proxys.pem /the/proxys.pem\n" in make(checkout, "lab", **settings).stdout
    own = {"UV_DEFAULT_INDEX": "own", "PIP_CERT": "own", "NODE_EXTRA_CA_CERTS": "own"}
    (checkout / ".venv" / "ready").unlink()
    assert "own own own\n" in make(checkout, "lab", **settings, **own).stdout


def ci(checkout: Path) -> subprocess.CompletedProcess:
    """`.ci/run`, which sees no programs but a shell's own and those in `programs`."""
    make(checkout, "--version")  # fills `programs` with the shell's own
    program(checkout, "make", 'echo "make $* with LABKIT_CI=$LABKIT_CI"; exit 7')
    variables = {"PATH": str(checkout / "programs")}
    return subprocess.run([checkout / ".ci" / "run"], env=variables, capture_output=True, text=True, timeout=60)


def test_ci_runs_make_test_and_ends_with_its_status(checkout):
    for present in ("python3", "docker", "dockerd", "chromium", "wrk", "h2load", "curl", "tc", "ps"):
        program(checkout, present, "exit 0")
    answer = ci(checkout)
    assert answer.returncode == 7
    assert answer.stdout == "make test ARGS=--durations=10 with LABKIT_CI=1\n"


def test_ci_installs_what_a_bare_machine_lacks(checkout):
    program(checkout, "python3", "exit 1")
    program(checkout, "apt-get", 'echo "$*"')
    answer = ci(checkout)
    assert answer.returncode == 7, answer.stderr
    update, install, command, _ = answer.stdout.splitlines()
    assert update.startswith("update")
    assert install.endswith(" python3 python3-venv docker.io chromium wrk nghttp2-client curl iproute2 procps")
    assert command.endswith(" docker-cli")
