"""What `labkit run` leaves behind: the report, and what a run that is resumed does not do again."""

import errno
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
    """In place of kernels: which labs were run, which of them fail or are interrupted, and what happens meanwhile."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.limits: list[float] = []
        self.failing: dict[str, BaseException] = {}
        self.meanwhile: Callable[[str], object] = lambda _: None

    def execute(self, notebook: Any, folder: Path, *, name: str, limit: float, **_: Any) -> None:
        self.ran.append(name[:2])
        self.limits.append(limit)
        self.meanwhile(name)
        if name[:2] in self.failing:
            raise self.failing[name[:2]]

    def clear(self) -> None:
        self.__init__()


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
    assert re.search(r"\| 01_a\.ipynb \| ran \| 1 \| \d+\.\d \| ", said)
    assert "## 02_b.ipynb failed\n\n````text\n02_b.ipynb, cell 7 raised ValueError: no" in said
    for one in json.loads((labs / "work" / "report.json").read_text(encoding="utf-8"))["labs"]:
        assert one["when"] > "2026"


def test_memory_is_that_of_the_processes_below(labs: Path, monkeypatch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    monkeypatch.setattr(run, "memory_of_children", lambda: 123_000_000)
    labkit_run(labs, "01")
    assert re.search(r"\| 01_a\.ipynb \| ran \| 1 \| \d+\.\d \| \d+\.\d \| 123 \|", text(labs))


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
    assert re.search(r"\| 01_a\.ipynb \| ran \| 1 \| \d+\.\d \| 2\.5 \| ", text(labs))
    assert re.search(r"\| 02_b\.ipynb \| ran \| 1 \| \d+\.\d \| 1\.0 \| ", text(labs))


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


def change(lab: Path) -> None:
    lab.write_text(lab.read_text(encoding="utf-8").replace("x = 1", "x = 2"), encoding="utf-8")


def test_what_has_changed_since_runs_again(labs: Path, kernels: Kernels) -> None:
    labkit_run(labs, "all")
    kernels.clear()
    change(labs / "01_a.ipynb")
    labkit_run(labs, "all", "--resume")
    assert kernels.ran == ["01"]


@pytest.mark.parametrize("pages", [[], ["--html"]])
def test_what_is_saved_while_a_lab_runs_is_kept_and_not_taken_for_what_ran(
    labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str], pages: list[str]
) -> None:
    kernels.meanwhile = lambda name: change(labs / name) if name == "02_b.ipynb" else None
    assert labkit_run(labs, "all", *pages) == 1
    assert "02_b.ipynb was saved by another program while it ran; nothing was stored" in capsys.readouterr().err
    assert "x = 2" in (labs / "02_b.ipynb").read_text(encoding="utf-8")
    kernels.clear()
    assert labkit_run(labs, "all", "--resume", *pages) == 0
    assert kernels.ran == ["02"]


@pytest.mark.parametrize("pages", [[], ["--html"]])
def test_a_lab_gets_the_time_that_the_command_line_gives_it(labs: Path, kernels: Kernels, pages: list[str]) -> None:
    labkit_run(labs, "01", "--limit=300", *pages)
    assert kernels.limits == [300]


def test_a_full_disk_is_told_and_stops_no_lab(
    labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert labkit_run(labs, "all") == 1
    assert kernels.ran == ["01", "02", "03"]
    said = capsys.readouterr()
    assert said.err.count("cannot be stored: [Errno 28] No space left on device") == 3
    assert said.err.count("the report cannot be written to") == 1
    assert "The report is" not in said.err
    assert "interrupted" not in said.err
    assert "failed" in said.out


def test_pages_that_cannot_be_written_are_told(
    labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (taken := tmp_path / "taken").touch()
    assert labkit_run(labs, "01", "--html", str(taken)) == 1
    said = capsys.readouterr().err
    assert "01_a.ipynb cannot be stored: " in said
    assert "the index of the pages cannot be written: " in said
    assert "## 01_a.ipynb failed" in text(labs)


def test_another_environment_runs_all_again(labs: Path, kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    labkit_run(labs, "all")
    kernels.clear()
    there = report.environment() | {"fingerprint": "other"}
    monkeypatch.setattr(report, "environment", lambda: there)
    labkit_run(labs, "02", "--resume")
    assert kernels.ran == ["02"]
    assert "01_a.ipynb" not in text(labs)


def test_labkits_files_and_all_packages_belong_to_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package := tmp_path / "labkit" / "notebooks").mkdir(parents=True)
    (tmp_path / "site" / "some-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setattr(report, "__file__", str(package / "report.py"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    seen = []
    for file, content in (
        (tmp_path / "labkit" / "plot.py", "x = 1"),
        (tmp_path / "labkit" / "plot.py", "x = 2"),
        (tmp_path / "site" / "some-1.0.dist-info" / "METADATA", "Name: some\nVersion: 1.0\n"),
        (tmp_path / "site" / "some-1.0.dist-info" / "METADATA", "Name: some\nVersion: 1.1\n"),
    ):
        file.write_text(content, encoding="utf-8")
        seen.append(report.environment.__wrapped__()["fingerprint"])
        assert report.environment.__wrapped__()["fingerprint"] == seen[-1]
    assert len(set(seen)) == 4


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
    """`labkit run` in a process of its own, in the middle of a lab that would take long and has started another."""
    starts = (
        "import sys, time\nfrom pathlib import Path\nfrom labkit import processes\n"
        "sleeper = processes.start([sys.executable, '-c', 'import time; time.sleep(100)'], name='sleeper')\n"
        "Path('part').write_text(str(sleeper.pid))\nPath('part').rename('ready')\ntime.sleep(100)"
    )
    lab = write_lab("# 01 · Try", starts)
    # A shell in the background, such as one of CI, hands on that Ctrl-C is ignored.
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from labkit.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "run", "all", "--folder", str(lab.parent)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while not (lab.parent / "ready").exists() and process.poll() is None:
            time.sleep(0.05)
        yield process, lab
        process.kill()


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(os.name == "nt", reason="there Python's own Ctrl-C is used")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_kernel_and_says_how_to_go_on(
    started: tuple[subprocess.Popen[str], Path], number: signal.Signals, status: int
) -> None:
    process, lab = started
    before = lab.read_bytes()
    kernel = psutil.Process(process.pid).children()
    below = psutil.Process(process.pid).children(recursive=True)
    assert int((lab.parent / "ready").read_text(encoding="utf-8")) in [one.pid for one in below]
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == status, said
    assert "--resume goes on with what did not run" in said
    assert "Traceback" not in said
    assert not [one for one in kernel if runs(one)]
    while any(runs(one) for one in below):  # they end when they see the kernel gone
        time.sleep(0.05)
    assert lab.read_bytes() == before
    assert "interrupted: 1" in text(lab.parent)


def test_numbers_and_ranges(labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str]) -> None:
    assert labkit_run(labs, "3", "01-02", "02") == 0
    assert kernels.ran == ["01", "02", "03"]
    assert labkit_run(labs, "01-09") == 1
    assert "there is no lab '09'" in capsys.readouterr().err


def test_each_lab_says_how_many_there_are(labs: Path, kernels: Kernels, capsys: pytest.CaptureFixture[str]) -> None:
    labkit_run(labs, "all")
    assert re.search(r"lab 3 of 3  03_c\.ipynb  ran  \d+\.\d s", capsys.readouterr().err)


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


def test_pages_of_earlier_calls_stay_in_the_index_and_are_linked(labs: Path, kernels: Kernels) -> None:
    second = labs / "02_b.ipynb"
    words = second.read_text(encoding="utf-8").replace("02 · Try", "02 · Try [one](01_a.ipynb) [three](03_c.ipynb)")
    second.write_text(words, encoding="utf-8")
    kernels.failing["02"] = NotebookError("no")
    assert labkit_run(labs, "01-02", "--html") == 1
    kernels.clear()
    assert labkit_run(labs, "02", "--html") == 0
    page = (labs / "work" / "pages" / "02_b.html").read_text(encoding="utf-8")
    assert '<a href="01_a.html">one</a> three' in page
    index = (labs / "work" / "pages" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'href="(.+?)">.*?</a></td><td>(\w+)', index) == [("01_a.html", "ran"), ("02_b.html", "ran")]


def test_the_index_says_what_became_of_the_pages_run(labs: Path, kernels: Kernels) -> None:
    kernels.failing["01"] = NotebookError("no")
    labkit_run(labs, "01", "02", "--html")
    kernels.clear()
    labkit_run(labs, "02")  # its outputs go to the notebook, not to the page
    labkit_run(labs, "03", "--html")
    index = (labs / "work" / "pages" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"</a></td><td>([a-z ]+)", index) == ["failed", "of an earlier run", "ran"]


def test_the_index_leads_to_all_pages(page_of_a_run: tuple[str, Path, int]) -> None:
    _, folder, _ = page_of_a_run
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert '<a href="05_try.html">05 · Try &lt;it&gt;</a></td><td>failed, ' in index
    assert '<a href="06_b.html">06 · Be</a></td><td>ran, ' in index
