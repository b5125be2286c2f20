"""`labkit cluster`: a script as a cluster from the command line, with losses on demand."""

import subprocess
import sys
from pathlib import Path

import pytest

from labkit import cli

COUNTS = """
import json, os, pathlib, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
kept = pathlib.Path(f"{task['type']}-{task['index']}")
first = int(kept.read_text()) + 1 if kept.exists() else 1
for step in range(first, int(sys.argv[1]) + 1):
    print("step", step, flush=True)
    pathlib.Path(f"{kept}.new").write_text(str(step))
    os.replace(f"{kept}.new", kept)
    time.sleep(0.01)
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "count.py").write_text(COUNTS)
    return str(tmp_path / "count.py")


def test_a_task_is_lost_all_start_again_and_end(script: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    arguments = ["--chief", "1", "--worker", "2", "--kill", "worker:1@20", "--restarts", "1"]
    assert cli.main(["cluster", script, "300", *arguments, "--folder", str(tmp_path / "run")]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert any(line.startswith("[labkit] worker 1 is killed at step ") for line in lines)
    for task in ("chief 0", "worker 0", "worker 1"):
        assert [line for line in lines if task in line and not line.startswith("[labkit]")][-1] == f"[{task}] step 300"


def test_a_task_that_never_came_so_far_was_not_killed(script: str, capfd: pytest.CaptureFixture) -> None:
    assert cli.main(["cluster", script, "3", "--worker", "1", "--kill", "worker@9"]) == 0
    assert "[labkit] worker 0 was not killed at step 9: it is at step 3" in capfd.readouterr().out


def test_what_stands_behind_two_dashes_is_the_script_s(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "says.py").write_text("import sys\nprint(*sys.argv[1:])")
    assert cli.main(["cluster", str(tmp_path / "says.py"), "--worker", "1", "data", "--", "--worker", "9"]) == 0
    assert "[worker 0] data --worker 9" in capfd.readouterr().out


def test_without_restarts_a_crash_is_exit_status_1(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "fails.py").write_text("raise OSError('the disk is full')")
    assert cli.main(["cluster", str(tmp_path / "fails.py"), "--worker", "1"]) == 1
    assert "worker 0 failed (exit status 1)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--worker", "1", "--kill", "worker:1"], "--kill is 'worker:1'; a task and a step are needed"),
        (["--worker", "1", "--kill", "ps@3"], "--kill names ps 0; there are worker 0"),
        (["--worker", "1", "--link", "worker"], "--link is 'worker'; a task and its Mbit/s are needed"),
        (["--worker", "1", "--link", "ps=50"], "limits has 'ps'; tasks with a link are worker 0"),
        (["--worker", "1", "--folder", __file__], "File exists"),
        ([], "a cluster needs a chief or a worker"),
    ],
)
def test_what_makes_no_sense_is_refused(
    script: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["cluster", script, "3", *arguments])
    assert message in capsys.readouterr().err


def test_its_help_imports_no_tensorflow() -> None:
    program = (
        "import sys\nfrom labkit import cli\ntry:\n    cli.main(['cluster', '--help'])\nexcept SystemExit:\n    pass\n"
    )
    program += "sys.exit('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "--kill TASK@STEP" in run.stdout
    assert run.returncode == 0, run.stderr
