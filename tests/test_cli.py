"""The `labkit` command: what it lists, whom it calls, how it fails."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import checkout, cli, doctor
from labkit.errors import EnvironmentProblem, pip_install


def labkit(*arguments, **options):
    command = [sys.executable, "-m", "labkit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture
def subcommand(tmp_path, monkeypatch):
    """A function that adds the subcommand `try-it`, whose `main(argv)` has the body given."""

    def add(body):
        (tmp_path / "a_subcommand.py").write_text(f"def main(argv):\n    {body}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "a_subcommand", raising=False)
        monkeypatch.setitem(cli.COMMANDS, "try-it", ("try it", "a_subcommand:main"))

    return add


def test_help_gives_every_command_its_line():
    answer = labkit()
    assert answer.returncode == 0
    for name, (purpose, _) in cli.COMMANDS.items():
        assert f" {name} {purpose} " in " ".join(answer.stdout.split()), "Pythons break lines at other places"
    assert labkit("--help").stdout == answer.stdout


def test_every_command_has_its_function():
    for name, (_, target) in cli.COMMANDS.items():
        module, function = target.split(":")
        source = Path(cli.__file__).parent.parent / (module.replace(".", "/") + ".py")
        assert re.search(rf"^def {function}\(argv\b", source.read_text(), flags=re.MULTILINE), name


def test_an_unknown_command_is_refused_with_the_known_ones():
    answer = labkit("sreve")
    assert answer.returncode == 2
    assert "'sreve'" in answer.stderr
    assert all(name in answer.stderr for name in cli.COMMANDS)


def test_version():
    assert labkit("--version").stdout == "labkit 0.1.0\n"


def test_arguments_reach_the_command_untouched(subcommand, capsys):
    subcommand("print(argv); return 5")
    assert cli.main(["try-it", "--help", "--port=1", "--", "-x y"]) == 5
    assert capsys.readouterr().out == "['--help', '--port=1', '--', '-x y']\n"


def test_a_labkit_error_is_one_line_and_status_1(subcommand, capsys):
    subcommand("from labkit.errors import EnvironmentProblem as E; raise E('no such thing; do that')")
    assert cli.main(["try-it"]) == 1
    assert capsys.readouterr().err == "labkit try-it: no such thing; do that\n"


def test_other_errors_keep_their_traceback(subcommand):
    subcommand("raise ZeroDivisionError")
    with pytest.raises(ZeroDivisionError):
        cli.main(["try-it"])


def test_ctrl_c_is_status_130(subcommand):
    subcommand("raise KeyboardInterrupt")
    assert cli.main(["try-it"]) == 130


@pytest.mark.parametrize("arguments", [["serve", "--help"], ["serve", "--no_such_flag"]])
def test_a_reader_that_has_enough_is_no_error(arguments):
    """As in `labkit serve --help | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, "-m", "labkit", *arguments], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (255, b"")


def test_dispatching_imports_nothing_that_costs_time():
    listing = "import json, sys, labkit.cli; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, timeout=60)
    loaded = json.loads(answer.stdout)
    assert "labkit.cli" in loaded
    assert not {"argparse", "asyncio", "numpy", "psutil", "rich", "subprocess", "tensorflow"} & set(loaded)


@pytest.fixture
def course(tmp_path):
    lab = tmp_path / "course" / "labs" / "00_start_here.ipynb"
    lab.parent.mkdir(parents=True)
    lab.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return tmp_path / "course"


def test_the_labs_are_found_from_inside_them(course):
    deep = course / "labs" / "exercises"
    deep.mkdir()
    assert checkout.root(deep) == checkout.root(course) == course


def from_a_wheel(monkeypatch, folder):
    """As installed from a wheel: no checkout around the modules."""
    monkeypatch.setattr(checkout, "__file__", str(folder / "site-packages" / "labkit" / "checkout.py"))


def test_in_a_clone_every_command_finds_the_same_labs(course, tmp_path, monkeypatch, capsys):
    from_a_wheel(monkeypatch, tmp_path)
    monkeypatch.chdir(course / "labs")
    assert cli.main(["exercises"]) == 0
    assert (course / "labs" / "exercises" / "00_start_here.ipynb").is_file()
    assert cli.main(["run", "7"]) == cli.main(["pack", "bundle"]) == 1
    said = capsys.readouterr().err
    assert f"there is no lab '7' in {course / 'labs'}; the labs there are: 00" in said
    assert f"{course} is no clone" in said
    assert cli.main(["new", "97", "watch"]) == 1
    assert "a title is a verb phrase" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run 7", "exercises", "site", "pack", "new 97 Watch", "lab"])
def test_where_there_are_no_labs_every_command_says_where_they_are(command, tmp_path, monkeypatch, capsys):
    from_a_wheel(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(command.split()) == 1
    assert f"labkit {command.split()[0]}: no labs/00_start_here.ipynb in {tmp_path}" in capsys.readouterr().err


def test_the_doctor_advises_what_can_be_done_there(course, tmp_path, monkeypatch):
    from_a_wheel(monkeypatch, tmp_path)
    monkeypatch.chdir(course)
    assert "make lab" in doctor.python("3.10", bits=64).verdict
    monkeypatch.chdir(tmp_path)
    assert doctor.python("3.10", bits=64).verdict.endswith(f"then run `{pip_install('labs')}`")


def test_without_labs_the_message_says_where_they_are(tmp_path, monkeypatch):
    from_a_wheel(monkeypatch, tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"no labs/00_start_here\.ipynb in .*clone it"):
        checkout.root(tmp_path)


def test_outside_the_checkout_the_checkouts_labs_are_opened(repository, tmp_path):
    assert checkout.root(tmp_path) == repository


def test_lab_opens_jupyterlab_at_the_first_lab(course, tmp_path):
    own = {
        name: str(tmp_path / name) for name in ("HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    }
    arguments = ["lab", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    command = [sys.executable, "-m", "labkit", *arguments]
    server = subprocess.Popen(
        command, cwd=course / "labs", env={**os.environ, **own}, stderr=subprocess.PIPE, text=True
    )
    try:
        log = ""
        for line in server.stderr:
            log += line
            if re.search(r"http://127\.0\.0\.1:[1-9]\d*/lab/tree/labs/00_start_here\.ipynb\?token=", line):
                break
        else:
            pytest.fail(f"JupyterLab ended without naming its address:\n{log}")
        assert f"Serving notebooks from local directory: {course}\n" in log
    finally:
        server.kill()
        server.communicate(timeout=30)


@pytest.fixture
def opened(course, monkeypatch):
    """A function that calls `labkit lab` and hands back the environment that JupyterLab would start with."""
    pytest.importorskip("posix")
    monkeypatch.chdir(course)
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def open_lab(*argv):
        started = []

        def execv(program, command):
            started.append(dict(os.environ))
            sys.exit()  # as it does not come back

        monkeypatch.setattr(os, "execv", execv)
        with contextlib.suppress(SystemExit):
            cli.main(["lab", *argv])
        return started

    return open_lab


def test_root_is_told_how_before_jupyterlab_refuses(opened, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    opened()
    assert "make lab ARGS=--allow-root" in capsys.readouterr().err
    for argument in ("--allow-root", "--ServerApp.allow_root=True"):
        opened(argument)
        assert capsys.readouterr().err == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    opened()
    assert capsys.readouterr().err == ""


def test_the_kernel_is_this_environments_even_beside_a_users_own_of_that_name(opened):
    (environment,) = opened()
    assert environment["JUPYTER_PREFER_ENV_PATH"] == "1"


def test_a_home_that_cannot_be_written_to_is_named_before_jupyterlab_starts(opened, tmp_path, monkeypatch, capsys):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "a file" / "runtime"))
    assert opened() == []
    said = capsys.readouterr().err
    assert said.startswith(f"labkit lab: JupyterLab writes to {tmp_path / 'a file' / 'runtime'} while it runs")
    assert "Not a directory" in said and "HOME=" in said
