"""labkit.preloaded: a program is what it would be with ``python``, but for TensorFlow's import."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import preloaded
from labkit.errors import ProcessError
from labkit.processes import ManagedProcess
from labkit.waiting import wait_until

from .children import runs

forks = pytest.mark.skipif(not preloaded.FORKS, reason="nothing forks here")

REFUSES_TO_FORK = """
import os
fork = os.fork
def fork_or_refuse():
    if os.path.exists(__file__.replace(".py", ".full")):
        raise OSError("no more")
    return fork()
os.fork = fork_or_refuse
"""


def run(folder: Path, text: str, *arguments: str, **options: object) -> ManagedProcess:
    script = folder / "program.py"
    script.write_text(text)
    process = preloaded.start([str(script), *arguments], name="program", **options)  # type: ignore[arg-type]
    wait_until(lambda: not process.running, timeout=60)
    process.stop()
    return process


def words(process: ManagedProcess) -> list[str]:
    return process.log().split()


@pytest.fixture
def imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hosts of this test alone, with a TensorFlow that only knows in which environment it was imported."""
    (tmp_path / "tensorflow.py").write_text("import os\nenvironment = {**os.environ}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(preloaded, "_hosts", {})
    yield
    preloaded._end_hosts()


@forks
def test_tensorflow_is_there_already_and_nothing_ran_in_it(tmp_path: Path) -> None:
    process = run(tmp_path, "import sys\nprint('tensorflow' in sys.modules, 'labkit.processes' in sys.modules)")
    assert words(process) == ["True", "False"]


def test_command_line_folder_name_and_neighbours_are_the_script_s(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("said = 'hello'")
    (tmp_path / "elsewhere").mkdir()
    text = "import os, sys\nfrom neighbour import said\nprint(said, __name__, *sys.argv[1:], os.getcwd())"
    process = run(tmp_path, text, "--steps", "3", cwd=str(tmp_path / "elsewhere"))
    assert words(process) == ["hello", "__main__", "--steps", "3", str(tmp_path / "elsewhere")]


def test_the_environment_is_the_present_one_and_what_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR", "red")
    monkeypatch.setenv("SIZE", "small")
    text = "import os\nprint(os.environ['COLOUR'], os.environ['SIZE'], os.environ['CUDA_VISIBLE_DEVICES'])"
    assert words(run(tmp_path, text, env={"SIZE": "large"})) == ["red", "large", "-1"]


@pytest.mark.parametrize(
    ("end", "status", "says"),
    [
        ("print('well')", 0, "well\n"),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('the disk is full')", 1, "the disk is full\n"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", -15, ""),
        ("import atexit\natexit.register(print, 'last')\nprint('first')", 0, "first\nlast\n"),
        ("import threading, time\nthreading.Timer(0.2, print, ['waited for']).start()", 0, "waited for\n"),
        ("print('no newline', end='')", 0, "no newline"),
    ],
)
def test_it_ends_as_any_program_does(tmp_path: Path, end: str, status: int, says: str) -> None:
    process = run(tmp_path, end)
    assert (process.exit_code, process.log()) == (status, says)


def test_a_traceback_begins_in_the_script(tmp_path: Path) -> None:
    process = run(tmp_path, "def fails():\n    raise OSError('the disk is full')\n\nfails()")
    first, where, *_, last = process.log().splitlines()
    assert process.exit_code == 1
    assert (first, last) == ("Traceback (most recent call last):", "OSError: the disk is full")
    assert where == f'  File "{tmp_path / "program.py"}", line 4, in <module>'


@forks
def test_programs_with_a_tf_config_of_their_own_share_one_import(tmp_path: Path) -> None:
    text = "import os\nprint(os.getppid(), os.environ['TF_CONFIG'])"
    (one, first), (other, second) = (words(run(tmp_path, text, env={"TF_CONFIG": each})) for each in "ab")
    assert one == other
    assert (first, second) == ("a", "b")


@forks
@pytest.mark.usefixtures("imports_nothing")
@pytest.mark.parametrize("name", ["TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS"])
def test_what_tensorflow_reads_at_its_import_is_what_the_program_was_given(tmp_path: Path, name: str) -> None:
    text = f"import tensorflow\nprint(tensorflow.environment[{name!r}])"
    assert [words(run(tmp_path, text, env={name: each})) for each in "ab"] == [["a"], ["b"]]


@forks
@pytest.mark.usefixtures("imports_nothing")
def test_programs_draw_numbers_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("import numpy.random")  # as TensorFlow does
    text = "import numpy\nprint(numpy.random.random())"
    assert words(run(tmp_path, text)) != words(run(tmp_path, text))


@forks
@pytest.mark.usefixtures("imports_nothing")
def test_a_fork_that_is_refused_ends_no_other_program(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text(REFUSES_TO_FORK)
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(600)")
    with preloaded.start([str(tmp_path / "waits.py")], name="waits") as process:
        (tmp_path / "tensorflow.full").touch()
        with pytest.raises(ProcessError, match=r"another could not be started: no more\. End what you do not need"):
            preloaded.start([str(tmp_path / "waits.py")], name="another")
        assert process.running


@forks
@pytest.mark.usefixtures("imports_nothing")
def test_a_folder_is_named_from_where_the_caller_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "")  # there is a host, in the folder of before
    (tmp_path / "here" / "there").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert words(run(tmp_path, "import os\nprint(os.path.basename(os.getcwd()))", cwd="there")) == ["there"]


@forks
@pytest.mark.usefixtures("imports_nothing")
def test_a_script_that_is_no_python_is_told_without_our_part(tmp_path: Path) -> None:
    log = run(tmp_path, "def f(:").log()
    assert "SyntaxError" in log and "runpy" not in log and "preloaded" not in log


@forks
@pytest.mark.usefixtures("imports_nothing")
def test_the_two_hosts_used_last_are_kept_and_those_at_work(tmp_path: Path) -> None:
    text = "import os, sys, time\nprint(os.getppid(), flush=True)\ntime.sleep(float(sys.argv[1]))"
    (tmp_path / "works.py").write_text(text)
    with preloaded.start([str(tmp_path / "works.py"), "600"], name="works", env={"TF_HOST": "at work"}) as process:
        hosts = {"at work": int(process.wait_for_log(r"(\d+)\n", 60)[1])}
        for each in "abac":
            hosts[each] = int(words(run(tmp_path, text, "0", env={"TF_HOST": each}))[0])
        assert [name for name, pid in hosts.items() if runs(pid)] == ["at work", "a", "c"]


def test_where_nothing_forks_it_is_a_python_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preloaded, "FORKS", False)
    process = run(tmp_path, "import os, sys\nprint(os.getppid(), 'tensorflow' in sys.modules)")
    parent = run(tmp_path, "import os\nprint(os.getppid())")
    assert words(process) == [*words(parent), "False"]


@forks
def test_a_program_can_be_ended_as_soon_as_it_is_started(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import time\ntime.sleep(600)")
    for _ in range(20):
        process = preloaded.start([str(tmp_path / "program.py")], name="program")
        process.stop(grace=0.0)
        assert not process.running


@forks
@pytest.mark.usefixtures("imports_nothing")
def test_a_host_that_was_killed_is_followed_by_another(tmp_path: Path) -> None:
    text = "import os, sys, time\nprint(os.getppid(), flush=True)\ntime.sleep(float(sys.argv[1]))"
    (tmp_path / "waits.py").write_text(text)
    process = preloaded.start([str(tmp_path / "waits.py"), "600"], name="waits")
    host = int(process.wait_for_log(r"(\d+)\n", 60)[1])
    os.kill(host, signal.SIGKILL)
    wait_until(lambda: not process.running)
    assert not runs(process.pid)
    assert int(words(run(tmp_path, text, "0"))[0]) != host
    process.stop()


@forks
@pytest.mark.usefixtures("imports_nothing")
def test_what_it_runs_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text("import os, pathlib, time\npathlib.Path('pid').write_text(f'{os.getpid()} ')\ntime.sleep(600)")
    program = f"from labkit import preloaded\npreloaded.start([{str(script)!r}], name='waits')\ninput()"
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, cwd=tmp_path)
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and " " in (tmp_path / "pid").read_text(), timeout=60)
    finally:
        parent.kill()
        parent.communicate()
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not runs(pid), timeout=60)
