"""What `labkit run` leaves behind: the report, and what a run that is resumed does not do again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit import cli
from labkit.errors import NotebookError
from labkit.notebooks import files, report, run

Writer = Callable[..., Path]


class Kernels:
    """In place of kernels: which labs were run, and which of them fail or are interrupted."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failing: dict[str, BaseException] = {}

    def execute(self, notebook: Any, folder: Path, *, name: str, **_: Any) -> None:
        self.ran.append(name[:2])
        if name[:2] in self.failing:
            raise self.failing[name[:2]]

    def clear(self) -> None:
        self.ran.clear()
        self.failing.clear()


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Kernels:
    stand_in = Kernels()
    monkeypatch.setattr(run, "execute", stand_in.execute)
    return stand_in


@pytest.fixture
def labs(write_lab: Writer) -> Path:
    """The folder of three labs."""
    for name in ("01_a.ipynb", "02_b.ipynb", "03_c.ipynb"):
        folder = write_lab(f"# {name[:2]} · Try", "x = 1", name=name).parent
    return folder


def labkit_run(folder: Path, *words: str) -> int:
    return cli.main(["run", *words, "--folder", str(folder)])


def text(folder: Path) -> str:
    return (folder / "work" / "report.md").read_text(encoding="utf-8")


def test_the_report_says_where_when_and_what(labs: Path, kernels: Kernels) -> None:
    kernels.failing["02"] = NotebookError("02_b.ipynb, cell 7 raised ValueError: no\n\nraise ValueError")
    assert labkit_run(labs, "all") == 1
    said = text(labs)
    for part in ("Python 3.", "TensorFlow 2.", "labkit 0.", " cores, ", "GiB of memory", "ran: 2, failed: 1"):
        assert part in said
    assert "| 01_a.ipynb | ran | 1 | 0.0 | " in said
    assert "## 02_b.ipynb failed\n\n````text\n02_b.ipynb, cell 7 raised ValueError: no" in said
    for one in json.loads((labs / "work" / "report.json").read_text(encoding="utf-8"))["labs"]:
        assert one["when"] > "2026"


def test_memory_is_that_of_the_processes_below(labs: Path, monkeypatch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    monkeypatch.setattr(run, "memory_of_children", lambda: 123_000_000)
    labkit_run(labs, "01")
    assert "| 01_a.ipynb | ran | 1 | 0.0 | 0.0 | 123 |" in text(labs)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell it")
def test_processor_time_is_that_of_the_processes_below(write_lab: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    lab = write_lab("import time\nwhile time.process_time() < 1:\n    pass")
    assert labkit_run(lab.parent, "01") == 0
    (kept,) = json.loads((lab.parent / "work" / "report.json").read_text(encoding="utf-8"))["labs"]
    assert kept["processor"] > 0.9
    shown = f"{kept['processor']:.1f}"
    assert f"| 01_try.ipynb | ran | 1 | {kept['seconds']:.1f} | {shown} | " in text(lab.parent)
    row = next(line for line in capsys.readouterr().out.splitlines() if "01_try.ipynb" in line)
    assert [word.strip() for word in row.split("│")][2:5] == ["1", f"{kept['seconds']:.1f}", shown]


def test_processor_time_is_this_labs_alone(labs: Path, monkeypatch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    times = iter([10.0, 12.5, 12.5, 13.5])
    monkeypatch.setattr(run, "processor_time_of_children", lambda: next(times))
    labkit_run(labs, "01", "02")
    assert "| 01_a.ipynb | ran | 1 | 0.0 | 2.5 | " in text(labs)
    assert "| 02_b.ipynb | ran | 1 | 0.0 | 1.0 | " in text(labs)


def test_a_process_that_may_not_be_looked_at_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "memory_full_info", denied)
    monkeypatch.setattr(psutil.Process, "memory_info", denied)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert run.memory_of_children() == 0
        child.communicate(b"\n")


def test_a_package_without_a_name_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "half_gone-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    there = report.environment.__wrapped__()
    assert there["labkit"] == report.environment()["labkit"]


def test_a_process_that_is_started_is_counted() -> None:
    before = run.memory_of_children()
    program = "x = bytearray(50_000_000); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        grown = run.memory_of_children() - before
        child.communicate(b"\n")
    assert grown > 50_000_000


def test_only_what_did_not_run_is_run_again(labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str]) -> None:
    kernels.failing["02"] = NotebookError("no")
    assert labkit_run(labs, "all") == 1
    assert f"labkit run all --folder {labs} --resume goes on" in capsys.readouterr().err
    kernels.clear()
    assert labkit_run(labs, "all", "--resume") == 0
    assert kernels.ran == ["02"]
    assert "lab 1 of 3  01_a.ipynb  ran before" in capsys.readouterr().err
    assert "ran: 3\n" in text(labs)


def test_without_resume_all_run_again(labs: Path, kernels: Kernels) -> None:
    labkit_run(labs, "all")
    labkit_run(labs, "all")
    assert kernels.ran == ["01", "02", "03"] * 2


@pytest.mark.parametrize("changed", ["01_a.ipynb", "exercises/01_a.ipynb"])
def test_what_has_changed_since_runs_again(labs: Path, kernels: Kernels, changed: str) -> None:
    labkit_run(labs, "all")
    kernels.clear()
    path = labs / changed
    path.write_text(path.read_text(encoding="utf-8").replace("x = 1", "x = 2"), encoding="utf-8")
    labkit_run(labs, "all", "--resume")
    assert kernels.ran == ["01"]


def test_another_environment_runs_all_again(labs: Path, kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    labkit_run(labs, "all")
    kernels.clear()
    there = report.environment() | {"fingerprint": "other"}
    monkeypatch.setattr(report, "environment", lambda: there)
    labkit_run(labs, "02", "--resume")
    assert kernels.ran == ["02"]
    assert "01_a.ipynb" not in text(labs)


def test_a_lab_that_was_run_alone_counts_too(labs: Path, kernels: Kernels) -> None:
    labkit_run(labs, "03")
    kernels.clear()
    labkit_run(labs, "all", "--resume")
    assert kernels.ran == ["01", "02"]


def test_pages_are_not_taken_for_stored_outputs(labs: Path, kernels: Kernels) -> None:
    labkit_run(labs, "01")
    kernels.clear()
    labkit_run(labs, "01", "--resume", "--html")
    labkit_run(labs, "01", "--resume", "--html")
    assert kernels.ran == ["01"]


def test_after_ctrl_c_it_goes_on_where_it_was(labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str]) -> None:
    kernels.failing["02"] = KeyboardInterrupt(signal.SIGINT)
    assert labkit_run(labs, "all") == 130
    assert kernels.ran == ["01", "02"]
    assert "--resume goes on" in capsys.readouterr().err
    assert "ran: 1, interrupted: 1" in text(labs)
    kernels.clear()
    assert labkit_run(labs, "all", "--resume") == 0
    assert kernels.ran == ["02", "03"]


def test_a_report_that_is_half_is_told(labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str]) -> None:
    (labs / "work").mkdir()
    (labs / "work" / "report.json").write_text('{"environment"', encoding="utf-8")
    assert labkit_run(labs, "all") == 1
    assert "report.json cannot be read" in (said := capsys.readouterr().err)
    assert "delete it and run again" in said
    assert kernels.ran == []


@pytest.fixture
def started(write_lab: Writer) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`labkit run` in a process of its own, in the middle of a lab that would take long."""
    lab = write_lab("# 01 · Try", "open('ready', 'w').close()\nimport time\ntime.sleep(100)")
    # A shell in the background, such as one of CI, hands on that Ctrl-C is ignored.
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from labkit.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "run", "all", "--folder", str(lab.parent)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while not (lab.parent / "ready").exists() and process.poll() is None:
            time.sleep(0.05)
        yield process, lab
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="there Python's own Ctrl-C is used")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_kernel_and_says_how_to_go_on(
    started: tuple[subprocess.Popen[str], Path], number: signal.Signals, status: int
) -> None:
    process, lab = started
    before = lab.read_bytes()
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == status, said
    assert "--resume goes on with what did not run" in said
    assert "Traceback" not in said
    assert not [one for one in below if one.is_running()]
    assert lab.read_bytes() == before
    assert "interrupted: 1" in text(lab.parent)


def test_numbers_and_ranges(labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str]) -> None:
    assert labkit_run(labs, "3", "01-02", "02") == 0
    assert kernels.ran == ["01", "02", "03"]
    assert labkit_run(labs, "01-09") == 1
    assert "there is no lab '09'" in capsys.readouterr().err


def test_each_lab_says_how_many_there_are(labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str]) -> None:
    labkit_run(labs, "all")
    assert "lab 3 of 3  03_c.ipynb  ran  0.0 s" in capsys.readouterr().err


@pytest.fixture(scope="module")
def page_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, int]:
    """The page of a lab that failed in its last cell, its folder of pages, and the command's exit status."""
    from nbformat import v4

    folder = tmp_path_factory.mktemp("labs")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")
    words = "# 05 · Try <it>\n\n![a](figures/a.svg) $x^2$ and `$HOME`\n\n$$\\frac{1}{2}$$\n\n"
    words += "[next](06_b.ipynb#1) [gone](../docs/gpu.md) [out](https://example.org)\n\n`[kept](06_b.ipynb)`"
    stale = v4.new_code_cell("print('never')", outputs=[v4.new_output("stream", text="stale\n")])
    cells = [v4.new_markdown_cell(words), v4.new_code_cell("6 * 7"), v4.new_code_cell("1 / 0"), stale]
    files.write(folder / "05_try.ipynb", v4.new_notebook(cells=cells))
    files.write(folder / "06_b.ipynb", v4.new_notebook(cells=[v4.new_markdown_cell("# 06 · Be")]))
    before = (folder / "05_try.ipynb").read_bytes()
    status = run.main(["all", "--html", str(folder / "out"), "--folder", str(folder)])
    assert (folder / "05_try.ipynb").read_bytes() == before
    assert not (folder / "exercises").exists()
    return (folder / "out" / "05_try.html").read_text(encoding="utf-8"), folder / "out", status


def test_a_page_shows_what_came_of_the_run(page_of_a_run: tuple[str, Path, int]) -> None:
    page, _, status = page_of_a_run
    assert status == 1
    assert "<pre>42</pre>" in page
    assert "ZeroDivisionError" in page
    assert "This lab did not run to its end: 05_try.ipynb, cell 2 raised ZeroDivisionError" in page
    assert "stale" not in page
    assert "<title>05 · Try &lt;it&gt;</title>" in page


def test_a_page_needs_no_other_file(page_of_a_run: tuple[str, Path, int]) -> None:
    page, _, _ = page_of_a_run
    assert "<script" not in page
    assert "<link" not in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert page.count("<math") == 2
    assert len(re.findall(r'<math [^>]*display="block"', page)) == 1
    assert "$HOME" in page


def test_links_of_a_page_lead_to_pages_or_are_none(page_of_a_run: tuple[str, Path, int]) -> None:
    page, _, _ = page_of_a_run
    assert '<a href="06_b.html#1">next</a> gone <a href="https://example.org">out</a>' in page
    assert "<code>[kept](06_b.ipynb)</code>" in page


def test_the_index_leads_to_all_pages(page_of_a_run: tuple[str, Path, int]) -> None:
    _, folder, _ = page_of_a_run
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert '<a href="05_try.html">05 · Try &lt;it&gt;</a></td><td>failed, ' in index
    assert '<a href="06_b.html">06 · Be</a></td><td>ran, ' in index
