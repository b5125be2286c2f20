"""Models that are there and wrong: the command ends and says so, or the version before goes on: §1.7, §6.11."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from soak.models import Numbered
from soak.swaps import Operator

from ..served import Command, until
from .target import target

ASK = {"instances": [[1.0]]}
DATA = "variables/variables.data-00000-of-00001"


def _write(path: Path, content: bytes) -> None:
    path.unlink()  # it may be a link to another model's file
    path.write_bytes(content)


def _cut(path: Path, size: int) -> None:
    _write(path, path.read_bytes()[:size])


def _flip(path: Path) -> None:
    """Another byte in the middle, the same size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    _write(path, bytes(content))


def _endless(index: Path) -> None:
    """The index's header says that there are 2147483647 files of variables."""
    content = index.read_bytes()
    one_shard = bytes.fromhex("08011a020801")
    assert content.count(one_shard) == 1
    _write(index, content.replace(one_shard, bytes.fromhex("08ffffffff07")))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no SavedModel": (lambda folder: _write(folder / "saved_model.pb", b"x"), "Read less bytes than requested"),
    "an empty SavedModel": (lambda folder: _cut(folder / "saved_model.pb", 0), "Could not find meta graph"),
    "half a SavedModel": (lambda folder: _cut(folder / "saved_model.pb", 3000), "Read less bytes than requested"),
    "half the variables": (lambda folder: _cut(folder / DATA, 500_000), "Read less bytes than requested"),
    "no bytes of variables": (lambda folder: _cut(folder / DATA, 0), "Read less bytes than requested"),
    "a wrong byte in the variables": (lambda folder: _flip(folder / DATA), "Checksum does not match"),
    "half an index of variables": (lambda folder: _cut(folder / "variables" / "variables.index", 60), "not an sstable"),
    "an endless index": (
        lambda folder: _endless(folder / "variables" / "variables.index"),
        "block checksum mismatch",
    ),
    "no shard": (lambda folder: (folder / DATA).unlink(), "variables.data-00000-of-00001"),
}


@pytest.mark.parametrize("title", BROKEN)
def test_a_start_with_it_ends(base: Path, numbered: Numbered, tmp_path: Path, title: str) -> None:
    """§1.7: exit 255 with TensorFlow's own words."""
    spoil, message = BROKEN[title]
    spoil(numbered.add(base, 1))
    with Command(tmp_path, "--port=auto", "--model_name=m", f"--model_base_path={base}") as command:
        assert command.exit_status() == 255
    assert command.stdout.startswith("Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available:")
    assert message in command.stdout
    assert "Traceback" not in command.output


def test_nothing_happens_to_users(serve, base: Path, numbered: Numbered) -> None:
    """§6.11, §6.12: one broken version after the other arrives, then a good one."""
    numbered.add(base, 1)
    server = serve("model", base, "--max_num_load_retries=0", "--file_system_poll_wait_seconds=60")
    with closing(Operator(target(server), base, numbered)) as operator:

        def given_up(number: int) -> bool:
            operator.look_now()  # the second look finds that nothing was added
            return server.states().get(number) == "END"

        for number, (spoil, message) in enumerate(BROKEN.values(), 2):
            folder = numbered.aside(base, number)
            spoil(folder)
            folder.rename(base / str(number))
            until(lambda: given_up(number), f"version {number} was given up")  # noqa: B023
            status = server.ask("GET", f"/v1/models/model/versions/{number}").json["model_version_status"][0]["status"]
            assert message in status["error_message"]
            assert server.predict(ASK).json["predictions"][0]["v"] == [1.0]
            shutil.rmtree(base / str(number))
        numbered.add(base, 100)
        operator.look_now()
        operator.settled(up=100, gone=1)
    assert server.predict(ASK).json["predictions"][0]["v"] == [100.0]
    assert "Traceback" not in server.stderr
