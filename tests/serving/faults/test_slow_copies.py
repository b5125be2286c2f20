"""Folders that are copied in slowly: §6.14. They wait, and the log says for what, until the last file is whole.

The server's own polls are a minute apart: it looks when the test says so, between two steps of the copy.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from soak.models import Numbered
from soak.swaps import Operator

from ..served import Command, Served, until
from .target import target

ASK = {"instances": [[1.0]]}
MODEL, INDEX, DATA = "saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"
RARELY = "--file_system_poll_wait_seconds=60"


class Scene:
    """A server with version 1 and a version 2 that is copied in from elsewhere, file by file."""

    def __init__(self, server: Served, operator: Operator, source: Path) -> None:
        self.server = server
        self.source = source
        self.folder = operator.base / "2"
        self.look_now = operator.look_now

    def copy(self, name: str, size: int | None = None) -> None:
        """Copy a file, or its first bytes."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes((self.source / name).read_bytes()[:size])

    def waits_for(self, what: str) -> None:
        """The server looks, its log names `what`; version 1 answers; version 2 is not up and has not failed."""
        line = f"Waiting for {what} in {self.folder}; loading starts when it is there."
        assert line not in self.server.stderr
        self.look_now()
        until(lambda: line in self.server.stderr, line)
        assert self.server.states() == {1: "AVAILABLE"}

    def takes_over(self) -> None:
        """The server looks, and version 2 answers."""
        self.look_now()
        until(lambda: self.server.states() == {2: "AVAILABLE", 1: "END"}, "version 2 has taken over")
        assert "failed" not in self.server.stderr

    def fails(self, message: str) -> None:
        """The server looks, and version 2 fails to load with a message in which `message` stands."""
        self.look_now()
        until(lambda: self.server.states() == {2: "END", 1: "AVAILABLE"}, "version 2 has failed")
        status = self.server.ask("GET", "/v1/models/model/versions/2").json["model_version_status"][0]["status"]
        assert message in status["error_message"]


@pytest.fixture
def scene(serve: Callable[..., Served], base: Path, numbered: Numbered) -> Iterator[Scene]:
    numbered.add(base, 1)
    server = serve("model", base, RARELY)
    with closing(Operator(target(server), base, numbered)) as operator:
        yield Scene(server, operator, numbered.aside(base, 2))


def test_a_model_before_its_variables(scene: Scene) -> None:
    """TensorFlow would take it for a model without variables; every request would fail. So it waits without end."""
    scene.copy(MODEL)
    scene.waits_for(INDEX)
    scene.copy(DATA)
    for _ in range(3):
        scene.look_now()
    assert scene.server.predict(ASK).json["predictions"][0]["v"] == [1.0]
    scene.copy(INDEX)
    scene.takes_over()
    assert scene.server.predict(ASK).json["predictions"][0]["v"] == [2.0]


def test_a_file_that_grows(scene: Scene) -> None:
    """As `cp` writes it: as long as something is added between two looks, the folder waits."""
    size = (scene.source / DATA).stat().st_size
    scene.copy(MODEL), scene.copy(INDEX)
    scene.waits_for(DATA)
    for written in (0, 1, size // 2, size - 1):
        scene.copy(DATA, written)
        scene.waits_for(f"{size - written} of the {size} bytes of {DATA}")
    scene.copy(DATA)
    scene.takes_over()


def test_a_model_file_and_an_index_that_grow(scene: Scene) -> None:
    for name in (MODEL, INDEX):
        scene.copy(name, (scene.source / name).stat().st_size // 2)
        scene.waits_for(f"the rest of {name}")
        scene.copy(name)
        scene.copy(DATA)
    scene.takes_over()


def test_what_stays_incomplete_is_loaded_and_fails(scene: Scene) -> None:
    """Nothing is added between two looks: nobody is copying. The load tells what is wrong; more bytes, another try."""
    size = (scene.source / DATA).stat().st_size
    scene.copy(MODEL), scene.copy(INDEX), scene.copy(DATA, size // 2)
    scene.waits_for(f"{size - size // 2} of the {size} bytes of {DATA}")
    scene.fails("Read less bytes than requested")
    assert scene.server.predict(ASK).json["predictions"][0]["v"] == [1.0]
    scene.copy(DATA)
    scene.look_now()
    until(lambda: scene.server.states() == {2: "AVAILABLE", 1: "END"}, "version 2 has taken over")


@pytest.mark.parametrize("runtime", ["c_api", "python"])
def test_each_file_is_waited_for(serve, saved_models, base: Path, numbered: Numbered, runtime: str) -> None:
    """A Keras model with a table and its file of words: whichever comes last."""
    source = saved_models.keras / "1"
    shutil.copytree(source, base / "1")
    server = serve("model", base, RARELY, f"--tensorflow_runtime={runtime}")
    with closing(Operator(target(server), base, numbered)) as operator:
        for version, last in enumerate((MODEL, INDEX, DATA, "assets/colours.txt"), 2):
            folder = base / str(version)
            shutil.copytree(source, folder, ignore=lambda _, names: {Path(last).name} & set(names))  # noqa: B023
            operator.look_now()
            waits = f"Waiting for {'a ' if last == MODEL else ''}{last} in {folder}"
            until(lambda: waits in server.stderr, waits)  # noqa: B023
            assert version not in server.states()
            shutil.copy(source / last, folder / last)
            operator.look_now()
            operator.settled(up=version, gone=version - 1)
    assert "failed" not in server.stderr


def test_a_loaded_version_is_not_looked_into_again(scene: Scene) -> None:
    """§6.4: what happens inside the folder of a version that serves is not noticed."""
    folder = scene.folder.parent / "1"
    shutil.rmtree(folder / "variables")
    (folder / MODEL).unlink()
    scene.copy(MODEL)  # what is copied in beside it says when the look was
    scene.waits_for(INDEX)
    assert scene.server.predict(ASK).json["predictions"][0]["v"] == [1.0]


def test_a_start_does_not_wait(base: Path, numbered: Numbered, tmp_path: Path) -> None:
    """Nothing else to serve: the command ends and says what is not there [deviation: upstream serves it, and fails]."""
    folder = numbered.add(base, 1)
    shutil.rmtree(folder / "variables")
    with Command(tmp_path, "--port=auto", "--model_name=model", f"--model_base_path={base}") as command:
        assert command.exit_status() == 255
    assert f"{folder} is incomplete: it lacks {INDEX}. It holds: saved_model.pb. Copy the whole" in command.stdout


def test_strict_loads_what_it_sees(serve, base: Path, numbered: Numbered) -> None:
    """§6.14: without its variables, and every request fails."""
    folder = numbered.add(base, 1)
    shutil.rmtree(folder / "variables")
    answer = serve("model", base, "--strict_tensorflow_serving").predict(ASK)
    assert (answer.status, "layer0" in answer.error) == (400, True)
