"""Folders and files that the server may not read, or not write: it says so, and never writes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from soak.models import Numbered

from .. import served
from ..served import Command, Served, until
from .locked import bound_by_permissions, reason_against

ASK = {"instances": [[1.0]]}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that these tests start are bound by permission bits."""
    if reason := reason_against():
        (pytest.fail if os.environ.get("LABKIT_CI") else pytest.skip)(reason)
    start = served.subprocess.Popen
    monkeypatch.setattr(
        served.subprocess, "Popen", lambda command, **rest: start(bound_by_permissions(command), **rest)
    )


@contextmanager
def locked(path: Path, mode: int = 0) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


LOCKED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "the base path": (lambda base: base, "cannot be looked into: Permission denied"),
    "above the base path": (lambda base: base.parent, "cannot be looked into: Permission denied"),
    "the version": (lambda base: base / "1", "It holds: what cannot be listed (Permission denied)"),
    "saved_model.pb": (lambda base: base / "1" / "saved_model.pb", "PERMISSION_DENIED"),
    "the variables' folder": (lambda base: base / "1" / "variables", "it lacks access to variables/variables.index"),
    "the index": (lambda base: base / "1" / "variables" / "variables.index", "variables.index"),
}


@pytest.mark.parametrize("title", LOCKED)
def test_a_start_with_locked_doors_ends(tmp_path: Path, numbered: Numbered, title: str) -> None:
    """It is said what cannot be read, and why."""
    base, log = tmp_path / "away" / "model", tmp_path / "log"
    base.parent.mkdir(), log.mkdir()
    _copied(numbered.add(base, 1))
    which, message = LOCKED[title]
    with locked(which(base)), Command(log, "--port=auto", "--model_name=m", f"--model_base_path={base}") as command:
        assert command.exit_status() == 255
    assert command.stdout.startswith("Failed to start server. Error: ")
    assert message in command.stdout
    assert "Traceback" not in command.output


def _copied(folder: Path) -> None:
    """Files of its own in place of links to the template's: their permissions are changed."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def test_locked_while_it_serves(serve: Callable[..., Served], base: Path, numbered: Numbered) -> None:
    """§6.7: what is loaded stays, the log says why nothing new comes, and it comes when the door is open."""
    numbered.add(base, 1)
    server = serve("model", base)
    with locked(base):
        until(lambda: "Permission denied" in server.stderr, "the log says that the folder is locked")
        assert server.predict(ASK).json["predictions"][0]["v"] == [1.0]
    numbered.add(base, 2)
    until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "version 2 answers")
    assert "Traceback" not in server.stderr


def test_a_version_that_may_be_listed_only(serve: Callable[..., Served], base: Path, numbered: Numbered) -> None:
    """Names without what stands behind them: it waits, the version before answers, the next one comes."""
    numbered.add(base, 1)
    server = serve("model", base)
    aside = numbered.add(base.parent / "aside", 2).rename(base / "aside")
    aside.chmod(0o444)
    hidden = aside.rename(base / "2")  # within one folder: else it would have to be writable itself
    until(lambda: f"Waiting for a saved_model.pb in {hidden}" in server.stderr, "the log says that it waits")
    numbered.add(base, 3)
    until(lambda: server.states() == {3: "AVAILABLE", 1: "END"}, "version 3 answers")
    assert "Traceback" not in server.stderr
    hidden.chmod(0o755)


def test_models_that_cannot_be_written(serve: Callable[..., Served], base: Path, numbered: Numbered) -> None:
    """A read-only folder is enough, through a whole life: start, requests, swap, rollback, end."""
    numbered.add(base, 1), numbered.add(base, 2)
    for folder in [path for path in base.rglob("*") if path.is_dir()]:
        folder.chmod(0o555)
    before = _everything_in(base)
    with locked(base, 0o555):
        server = serve("model", base)
        assert server.predict(ASK).json["predictions"][0]["v"] == [2.0]
    (base / "2").chmod(0o755)
    (base / "2").rename(base.parent / "away")
    until(lambda: server.states() == {2: "END", 1: "AVAILABLE"}, "rolled back")
    (base.parent / "away").rename(base / "2")
    server.terminate()
    assert server.exit_status() == 0
    (base / "2").chmod(0o555)
    assert _everything_in(base) == before
    for folder in [path for path in base.rglob("*") if path.is_dir()]:
        folder.chmod(0o755)


def _everything_in(base: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(base.rglob("*")) if path.is_file())
    return {str(path.relative_to(base)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
