"""Sharing out tests: what belongs together stays so, and the labs that measure run when nothing else does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import side_by_side

CONFTEST = "from .side_by_side import pytest_collection_modifyitems, pytest_xdist_make_scheduler\n"
TESTS = """
import os, time
from pathlib import Path

import pytest

@pytest.mark.parametrize("lab", ["00_first", "98_times", "99_more"])
def test_it(lab):
    log = Path(os.environ["LOG"])
    process = os.environ["PYTEST_XDIST_WORKER"]
    for word in ("begins", "ends"):
        with log.open("a") as file:
            file.write(f"{word} {process} {Path(__file__).name} {lab}\\n")
        time.sleep(0.02)
"""


def run(folder: Path, status: int = 0) -> list[tuple[str, ...]]:
    """What three processes did with these tests, in order: begins or ends, the process, the file, the parameter."""
    (folder / "conftest.py").write_text(CONFTEST)
    shutil.copy(side_by_side.__file__, folder)
    log = folder.parent / "log"
    command = [sys.executable, "-m", "pytest", "-n", "3", "-p", "no:nbval", "--import-mode=importlib", "-q"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [*command, "tests"],
        cwd=folder.parent,
        env=environment | {"LOG": str(log)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return [tuple(line.split()) for line in log.read_text().splitlines()]


def test_what_belongs_together_is_in_one_process_and_what_measures_runs_alone(tmp_path: Path) -> None:
    files = [side_by_side.LABS, *side_by_side.TOGETHER, *(f"tests/test_{letter}.py" for letter in "abcd")]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(TESTS)
    events = run(tmp_path / "tests")
    assert len(events) == 2 * 3 * len(files)
    assert {process for _, process, *_ in events} == {"gw0", "gw1", "gw2"}
    for name in {*side_by_side.TOGETHER.values()}:
        together = {Path(file).name for file, unit in side_by_side.TOGETHER.items() if unit == name}
        assert len({process for _, process, file, _ in events if file in together}) == 1, name
    last = [("test_labs.py", lab) for lab in ("98_times", "98_times", "99_more", "99_more")]
    assert [tuple(rest) for _, _, *rest in events[-4:]] == last


def test_a_test_that_ends_its_process_fails_once_and_the_others_run(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(TESTS + '        if lab == "98_times": os._exit(1)\n')
    (tmp_path / "tests" / "test_b.py").write_text(TESTS)
    events = run(tmp_path / "tests", status=1)
    assert sorted(lab for word, _, file, lab in events if (word, file) == ("begins", "test_a.py")) == [
        "00_first",
        "98_times",
        "99_more",
    ]
    assert sum(word == "ends" for word, *_ in events) == 2 + 3


def test_the_files_that_are_named_are_there(repository: Path) -> None:
    files = {file for file in side_by_side.FIRST if file.endswith(".py")}
    for file in {side_by_side.LABS, *side_by_side.TOGETHER, *files}:
        assert (repository / file).is_file(), file
    labs = [lab.name for lab in (repository / "labs").glob("*.ipynb")]
    for start in side_by_side.BESIDE_OTHERS:
        assert any(f"[{lab}".startswith(start) for lab in labs), start
