"""The source breaks on no other system, and asks which one it is only where docs/portability.md says so."""

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import other_system

ASKS = {("os", "name"), ("platform", "system"), ("sys", "platform")}
LACKING = {
    (module, name)
    for table in (other_system.LINUX_ONLY, other_system.POSIX_ONLY)
    for module, names in table.items()
    for name in names.split()
}
KEYWORDS = {"creationflags", "preexec_fn", "start_new_session"}
NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
LONGEST_PATH = 150  # Windows takes 260 characters, and the reader's own folder stands before ours


@functools.cache
def sources(repository: Path) -> list[tuple[str, ast.Module]]:
    files = sorted((repository / "labkit").rglob("*.py"))
    return [(file.relative_to(repository).as_posix(), ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def asks_for_the_system(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in ASKS | LACKING:
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Call):
            yield from (word.arg for word in node.keywords if word.arg in KEYWORDS)
            match node.func, node.args:
                case ast.Name("hasattr" | "getattr"), [ast.Name(module), ast.Constant(name), *_]:
                    if (module, name) in LACKING | {("signal", "SIGBREAK")}:
                        yield f"{module}.{name}"
        elif isinstance(node, ast.ImportFrom | ast.Import):
            module = getattr(node, "module", None)
            named = [(module, each.name) for each in node.names]
            yield from (f"from {module} import {name}" for module, name in named if (module, name) in ASKS | LACKING)
            modules = [module] if module else [each.name for each in node.names]
            yield from (f"import {each}" for each in modules if each in other_system.POSIX_MODULES)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/proc/"):
            yield node.value


def test_the_system_is_asked_for_only_where_the_page_says(repository: Path) -> None:
    page = (repository / "docs" / "portability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(labkit/[\w/]+\.py)`", page))
    found = {file: sorted({*asks_for_the_system(tree)}) for file, tree in sources(repository)}
    asking = {file: asked for file, asked in found.items() if asked}
    new = {file: asked for file, asked in asking.items() if file not in named}
    assert not new, f"ask labkit.processes instead, or say in docs/portability.md why here: {new}"
    assert not named - asking.keys(), "docs/portability.md names files that ask for nothing any more"


def test_the_page_names_the_tests_that_play_another_system(repository: Path) -> None:
    page = (repository / "docs" / "portability.md").read_text(encoding="utf-8")
    tree = ast.parse((repository / "tests" / "test_portability.py").read_text(encoding="utf-8"))
    tests = {each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}
    assert set(re.findall(r"`(test_\w+)`", page)) == tests - {"test_the_stand_in_lacks_what_windows_lacks"}


@pytest.mark.parametrize(
    "line",
    [
        "os.name == 'nt'",
        "sys.platform",
        "from sys import platform",
        "from os import fork",
        "import fcntl",
        "hasattr(os, 'fork')",
        "getattr(signal, 'SIGBREAK', None)",
        "open('/proc/meminfo')",
        "Popen([], start_new_session=True)",
    ],
)
def test_such_a_line_is_found(line: str) -> None:
    assert [*asks_for_the_system(ast.parse(line))]


def without_encoding(tree: ast.Module) -> Iterator[str]:
    """Calls that read or write text and leave it to the system in which encoding: on Windows not UTF-8."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(word.arg == "encoding" for word in node.keywords):
            continue
        words = {word.arg: word.value for word in node.keywords}
        match node.func:
            case ast.Attribute(attr="read_text"):
                text = not node.args
            case ast.Attribute(attr="write_text"):
                text = len(node.args) < 2
            case ast.Name("open") | ast.Attribute(ast.Name("os"), "fdopen"):
                text = is_text(words.get("mode", node.args[1] if len(node.args) > 1 else ast.Constant("r")))
            case ast.Attribute(attr="NamedTemporaryFile" | "TemporaryFile"):
                text = is_text(words.get("mode", node.args[0] if node.args else ast.Constant("w+b")))
            case _:
                text = bool(words.keys() & {"text", "universal_newlines"})
        if text:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def is_text(mode: ast.expr) -> bool:
    return not (isinstance(mode, ast.Constant) and "b" in mode.value)


def test_text_files_and_pipes_name_their_encoding(repository: Path) -> None:
    found = {file: calls for file, tree in sources(repository) if (calls := [*without_encoding(tree)])}
    assert not found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.write_text(text)", True),
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, 'rb')", False),
        ("os.fdopen(3, 'w')", True),
        ("tempfile.TemporaryFile()", False),
        ("tempfile.NamedTemporaryFile('w')", True),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, encoding='utf-8')", False),
    ],
)
def test_which_calls_those_are(line: str, found: bool) -> None:
    assert bool([*without_encoding(ast.parse(line))]) == found


def test_files_have_names_that_every_system_takes(repository: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, encoding="utf-8")
    if listed.returncode != 0:
        pytest.skip("this is no clone")
    paths = listed.stdout.split("\0")[:-1]
    assert not [path for path in paths if len(path) > LONGEST_PATH]
    assert not [path for path in paths if any(map(NOT_ON_WINDOWS.search, path.split("/")))]
    assert len({path.casefold() for path in paths}) == len(paths), "two names differ in case alone"


def test_git_gives_every_system_the_same_line_ends(repository: Path) -> None:
    """Hashes of files, and comparisons of generated ones with those in git, rely on it."""
    question = ["git", "check-attr", "eol", "Makefile", "requirements.lock", "labs/00_start_here.ipynb"]
    said = subprocess.run(question, cwd=repository, capture_output=True, encoding="utf-8")
    if said.returncode != 0:
        pytest.skip("this is no clone")
    assert [line.rpartition(" ")[2] for line in said.stdout.splitlines()] == ["lf"] * 3
