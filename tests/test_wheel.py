"""The wheel of labkit: what is in it, and that its pages work from it, in a folder far from the repository."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import zipfile
from email.parser import BytesParser
from importlib.metadata import distributions
from pathlib import Path

import pytest

from labkit.browser import javascript
from labkit.browser.find import find_browser
from labkit.errors import EnvironmentProblem

from .installed import HIDDEN, HIDES, hidden_from, modules, packages

# Page -> the extra that it installs.
PAGES = {
    "serving-without-docker": "",
    "vertex-ai-on-a-laptop": "cloud",
    "keras-3-to-tensorflow-js": "browser",
    "cluster-on-one-machine": "cluster",
}
LEFT_OUT = {"labkit/browser/npm/.npmrc"}  # for those who change which JavaScript packages there are
BLOCK = re.compile(r"(?:^<!-- (file|not run): ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
MARK = "--- the end of a block ---"
# An editable installation has a finder that would bring from the repository what the wheel lacks.
FORGET_THE_REPOSITORY = """
import sys
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in getattr(each, "__module__", "")]
"""
WHICH = """python -P -c "import sys, labkit; print(labkit.__file__, 'editable' in str(sys.meta_path))"
"""
OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    """The wheel, built from a copy: setuptools writes beside what it builds from."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, source)
    shutil.copytree(repository / "labkit", source / "labkit", ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", target, source)
    return next(target.iterdir())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel's content, as pip lays it out; what labkit depends on comes from this environment."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", *OFFLINE, "--target", target, wheel)
    (target / "sitecustomize.py").write_text(FORGET_THE_REPOSITORY + HIDES)
    return target


@pytest.fixture(scope="module")
def project(repository) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def brought(project: dict, extra: str) -> set[str]:
    """The packages that an installation with this extra brings; "" is one without."""
    return packages(project["dependencies"] + project["optional-dependencies"].get(extra, []))


@pytest.fixture
def outside(installed) -> dict[str, str]:
    """Environment variables of a shell that has `installed`, not the repository."""
    programs = os.pathsep.join([str(installed / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": programs, "PYTHONPATH": str(installed), HIDDEN: ""}


def test_the_wheel_holds_all_of_labkit_and_nothing_else(repository, wheel):
    here = {path.relative_to(repository).as_posix() for path in (repository / "labkit").rglob("*") if path.is_file()}
    here = {name for name in here if "__pycache__" not in name} - LEFT_OUT
    names = set(zipfile.ZipFile(wheel).namelist())
    labkit = {name for name in names if name.startswith("labkit/")}
    assert labkit == here, "pyproject.toml's [tool.setuptools.package-data] says which files go along"
    about = {name.partition("/")[2] for name in names - labkit}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}


def test_what_the_wheel_asks_for_is_small_and_has_no_address(wheel):
    with zipfile.ZipFile(wheel) as file:
        path = next(name for name in file.namelist() if name.endswith("METADATA"))
        metadata = BytesParser().parsebytes(file.read(path))
    asked = metadata.get_all("Requires-Dist")
    assert not [line for line in asked if "@" in line or "://" in line]
    by_default = {re.match(r"[\w.-]+", line)[0] for line in asked if "extra ==" not in line}
    assert {"tensorflow", "tensorflow-serving-api"} < by_default
    heavy = {"pandas", "jupyterlab", "matplotlib", "scikit-learn", "google-cloud-aiplatform", "tensorboard", "tornado"}
    assert not by_default & heavy
    assert {"bench", "browser", "cloud", "cluster", "labs"} <= set(metadata.get_all("Provides-Extra"))


def test_from_the_wheel_the_commands_of_the_labs_say_where_the_labs_are(outside, tmp_path):
    for command in ("lab", "run 00"):
        answer = subprocess.run(
            ["labkit", *command.split()], cwd=tmp_path, env=outside, capture_output=True, text=True, timeout=60
        )
        assert answer.returncode == 1
        assert "The labs are in the repository, not in the package: clone it" in answer.stderr


def needs(page: str) -> None:
    """Skips a page whose programs are not on this machine; on CI they have to be."""
    try:
        if page == "keras-3-to-tensorflow-js":
            find_browser()
            javascript.packages()
        if page == "serving-without-docker" and not shutil.which("curl"):
            raise EnvironmentProblem("curl is not installed")
        if not shutil.which("bash"):
            raise EnvironmentProblem("bash is not installed")
    except EnvironmentProblem as problem:
        if os.environ.get("LABKIT_CI") == "1":
            raise
        pytest.skip(str(problem))


def free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def shell(script: str, folder: Path, environment: dict[str, str]) -> str:
    """What bash prints that runs the script; all that it started is ended with it."""
    command = ["bash", "-euo", "pipefail", "-c", "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n" + script]
    kept = (folder / ".stderr").open("w+")
    with (
        kept,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=kept, text=True, start_new_session=True
        ) as process,
    ):
        try:
            said, _ = process.communicate(timeout=360)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        kept.seek(0)
        assert process.returncode == 0, said + kept.read()
    return said


def matches(expected: str, said: str) -> bool:
    """Whether what was said is what the page shows, where `…` stands for anything."""
    return re.fullmatch(re.escape(expected.strip()).replace("…", ".*?"), said.strip(), flags=re.DOTALL) is not None


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_the_wheel_as_it_stands(repository, project, installed, outside, tmp_path, page):
    """Files are written, shell blocks run one after the other, and what they print is what the page shows.

    There is nothing but what the page has installed.
    """
    needs(page)
    every = modules({each.name for each in distributions() if each.name != "labkit"})
    outside[HIDDEN] = ",".join(hidden_from(modules(brought(project, PAGES[page])), every))
    text = (repository / "docs" / f"{page}.md").read_text(encoding="utf-8")
    for port, free in zip(("8500", "8501"), free_ports(2), strict=True):
        text = text.replace(port, free)
    script, shown = [f"{WHICH}echo '{MARK}'"], [f"{installed}/labkit/__init__.py False"]
    for mark, about, language, block in BLOCK.findall(text):
        if mark == "file":
            (tmp_path / about).write_text(block, encoding="utf-8")
        elif language == "bash" and mark != "not run":
            script.append(f"{block}\necho '{MARK}'")
            shown.append("")
        elif language == "text":
            shown[-1] = block
        else:
            assert mark == "not run", f"nobody runs this block; give it a file, or say why not:\n{block}"
    said = shell("\n".join(script), tmp_path, outside).split(MARK)
    for expected, answer in zip(shown, said, strict=False):
        assert matches(expected, answer), f"the page shows:\n{expected}\nbut what came out is:\n{answer}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_how_many_packages_it_installs(repository, project, page):
    text = (repository / "docs" / f"{page}.md").read_text(encoding="utf-8")
    said = int(re.search(r"(\d+) packages and [\d.]+ GB", text)[1])
    assert said == pytest.approx(len(brought(project, PAGES[page])), abs=3), "systems and Pythons differ by a few"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_begins_with_its_problem(repository, page):
    text = (repository / "docs" / f"{page}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings[0] == "Install"
    assert headings[-2:] == ["What it does not do", "Read on"]
    assert re.match(r"# .+\n\nYou[r ]", text), "the first words are the reader's own trouble"
    assert "macOS and Windows were not run" in text
