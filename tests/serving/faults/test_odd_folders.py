"""Links, loops, sockets and locked doors where a model should be: a clear message, or the model is served."""

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from soak.models import Numbered
from soak.swaps import Operator

from ..served import Command, Served, until
from .target import target

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and sockets are POSIX's")
ASK = {"instances": [[1.0]]}


def _version(server: Served) -> float:
    return server.predict(ASK).json["predictions"][0]["v"][0]


def test_links_are_followed(serve, base: Path, numbered: Numbered, tmp_path: Path) -> None:
    """A link as base path, as version folder, and as file; a version's link that is turned to another folder."""
    real = tmp_path / "real"
    first, second = numbered.add(real, 1, "one"), numbered.add(real, 2, "two")
    base.mkdir()
    (base / "1").symlink_to(first, target_is_directory=True)
    link = tmp_path / "link"
    link.symlink_to(base, target_is_directory=True)
    server = serve("model", link)
    assert _version(server) == 1
    version = base.parent / "aside"
    version.mkdir()
    for name in ("saved_model.pb", "variables"):
        (version / name).symlink_to(second / name)
    version.rename(base / "2")
    until(lambda: _version(server) == 2, "the version whose files are links")


def _loop(folder: Path) -> None:
    folder.symlink_to(folder, target_is_directory=True)


def _round(folder: Path) -> None:
    """A folder with a link to its own parent in it: an endless tree."""
    folder.mkdir()
    (folder / "variables").symlink_to(folder.parent, target_is_directory=True)


def _socket(folder: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        here = Path.cwd()
        os.chdir(folder.parent)  # a socket's path may not be long
        try:
            made.bind(folder.name)
        finally:
            os.chdir(here)


def _pipe_inside(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "saved_model.pb")


def _too_long(folder: Path) -> None:
    """In `folder`, a link to a name that no file can have: asking what it leads to is an error of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "notes").symlink_to("n" * 300)


ODD: dict[str, Callable[[Path], object]] = {
    "a link to itself": _loop,
    "a link to nothing": lambda folder: folder.symlink_to(folder.parent / "nothing"),
    "an endless tree": _round,
    "an empty folder": lambda folder: folder.mkdir(),
    "a file": lambda folder: folder.write_bytes(b"this is no folder"),
    "a pipe": lambda folder: os.mkfifo(folder),
    "a socket": _socket,
    "a pipe for a model": _pipe_inside,
    "a folder for a model": lambda folder: (folder / "saved_model.pb").mkdir(parents=True),
    "a link to itself for a model": lambda folder: folder.mkdir() or _loop(folder / "saved_model.pb"),
    "a link to what cannot be": _too_long,
}


def test_odd_versions_are_waited_for(serve, base: Path, numbered: Numbered) -> None:
    """§6.1: whatever stands there with a number for a name, the version before goes on answering."""
    numbered.add(base, 1)
    server = serve("model", base, "--file_system_poll_wait_seconds=60")
    with closing(Operator(target(server), base, numbered)) as operator:
        for number, (title, make) in enumerate(ODD.items(), 2):
            make(base / str(number))
            operator.look_now()
            line = f"Waiting for a saved_model.pb in {base / str(number)}"
            until(lambda: line in server.stderr, f"{title}: {line}")  # noqa: B023
            assert _version(server) == 1
            (base / str(number)).rename(base.parent / f"was-{number}")
        numbered.add(base, 100)
        operator.look_now()
    until(lambda: _version(server) == 100, "the next version answers")
    assert "Traceback" not in server.stderr


def test_an_odd_link_beside_a_model(serve, base: Path, numbered: Numbered) -> None:
    """It is none of the model's files, and keeps no version from loading."""
    _too_long(numbered.add(base, 1))
    server = serve("model", base)
    _too_long(numbered.add(base.parent / "aside", 2))
    (base.parent / "aside" / "2").rename(base / "2")
    until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "version 2 answers")


@pytest.mark.parametrize("title", ODD)
def test_a_start_with_odd_versions_ends(base: Path, tmp_path: Path, title: str) -> None:
    base.mkdir()
    ODD[title](base / "1")
    with Command(tmp_path, "--port=auto", "--model_name=model", f"--model_base_path={base}") as command:
        assert command.exit_status() == 255
    assert command.stdout.startswith("Failed to start server. Error: NOT_FOUND: Nothing to serve for model model: ")
    assert f"{base / '1'} holds no saved_model.pb" in command.stdout
    assert "Traceback" not in command.output


BASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to itself": (_loop, "cannot be looked into: Too many levels of symbolic links"),
    "a link to nothing": (ODD["a link to nothing"], "Could not find base path"),
    "a pipe": (lambda base: os.mkfifo(base), "is a file"),
    "below a file": (lambda base: base.write_bytes(b"") and None, "is a file"),
    "a name that is too long": (lambda base: None, "File name too long"),
}


@pytest.mark.parametrize("title", BASES)
def test_odd_base_paths(base: Path, tmp_path: Path, title: str) -> None:
    """§1.8, §13: the command ends and says what it found."""
    make, message = BASES[title]
    make(base)
    path = {"below a file": base / "model", "a name that is too long": base.parent / ("n" * 300)}.get(title, base)
    with Command(tmp_path, "--port=auto", "--model_name=model", f"--model_base_path={path}") as command:
        assert command.exit_status() == 255
    assert command.stdout.startswith("Failed to start server. Error: NOT_FOUND: Nothing to serve for model model: ")
    assert message in command.stdout
    assert "Traceback" not in command.output
