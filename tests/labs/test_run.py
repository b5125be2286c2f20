"""`labkit run`: outputs stored, nothing of this machine in the file, failures leave the file alone."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from labkit import cli
from labkit.errors import NotebookError
from labkit.notebooks import files, report, run

Writer = Callable[..., Path]


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A lab that was run by the command, and the command's exit status."""
    from nbformat import v4

    folder = tmp_path_factory.mktemp("labs")
    cells = [v4.new_markdown_cell("# 05 · Try\n\n![a](figures/a.svg)")]
    sources = ["import sys\nsys.prefix", "for n in range(3):\n    print(n, flush=True)", "x = 1"]
    sources += ["import os\nos.path.basename(os.getcwd()), os.environ['LABKIT_GPU']"]
    notebook = v4.new_notebook(cells=cells + [v4.new_code_cell(source) for source in sources])
    notebook.metadata = {"kernelspec": {"name": "some-other-kernel", "display_name": "x"}, "widgets": {"a": 1}}
    notebook.cells[1].metadata = {"execution": {"iopub.execute_input": "2020"}, "tags": ["kept"]}
    (folder / "05_try.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_GPU", "1")
        status = run.main(["5", "--folder", str(folder)])
    return folder / "05_try.ipynb", status


def test_outputs_and_counts_are_stored(one_run: tuple[Path, int]) -> None:
    lab, status = one_run
    code = [cell for cell in files.read(lab).cells if cell.cell_type == "code"]
    assert status == 0
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert [len(cell.outputs) for cell in code] == [1, 1, 0, 1]
    assert code[1].outputs[0].text == "0\n1\n2\n"


def test_kernel_is_this_environment_in_the_lab_s_folder_without_gpus(one_run: tuple[Path, int]) -> None:
    code = files.read(one_run[0]).cells[1:]
    assert code[0].outputs[0].data["text/plain"] == repr(sys.prefix)
    assert code[3].outputs[0].data["text/plain"] == repr((one_run[0].parent.name, "0"))


def test_a_kernel_registered_elsewhere_under_the_same_name_is_not_used(
    write_lab: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {"argv": ["/nowhere/python", "{connection_file}"], "display_name": "other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    lab = write_lab("import sys\nsys.prefix")
    run.run(lab)
    assert files.read(lab).cells[0].outputs[0].data["text/plain"] == repr(sys.prefix)


def test_nothing_of_the_machine_is_in_the_metadata(one_run: tuple[Path, int]) -> None:
    notebook = files.read(one_run[0])
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info
    assert "widgets" not in notebook.metadata
    assert notebook.cells[1].metadata == {"tags": ["kept"]}


def test_cell_ids_stay_and_a_second_run_gives_the_same_file(one_run: tuple[Path, int]) -> None:
    lab, _ = one_run
    before = lab.read_bytes()
    run.run(lab)
    assert lab.read_bytes() == before


def test_a_bar_shows_the_cell_that_runs(write_lab: Writer) -> None:
    lab = write_lab("x = 1", "y = 2\nx + y")
    screen = Console(file=io.StringIO(), force_terminal=True, width=150, _environ={"TERM": "xterm"})
    run.run(lab, console=screen, name="lab 3 of 14")
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())
    assert re.search(r"lab 3 of 14 [━╸╺ ]+ cell 2/2: y = 2 +\d:\d\d:\d\d", drawn)


def test_a_failing_cell_is_named_and_the_file_is_untouched(
    write_lab: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = write_lab("# 01 · Try", "x = 1", "answer = x / 0")
    before = lab.read_bytes()
    assert run.main(["01", "--folder", str(lab.parent)]) == 1
    said = capsys.readouterr()
    assert "01_try.ipynb, cell 2 raised ZeroDivisionError: division by zero" in said.err
    assert "answer = x / 0" in said.err
    assert "failed" in said.out
    assert lab.read_bytes() == before
    assert sorted(path.name for path in lab.parent.iterdir()) == ["01_try.ipynb", "work"]


def test_a_dead_kernel_is_an_error(write_lab: Writer) -> None:
    lab = write_lab("import os\nos._exit(3)")
    with pytest.raises(NotebookError, match=r"cell 1: the kernel stopped(.|\n)*os\._exit\(3\)"):
        run.run(lab)


def test_a_lab_over_its_limit_is_stopped(write_lab: Writer) -> None:
    lab = write_lab("ready = True", "import time\ntime.sleep(100)")
    with pytest.raises(NotebookError, match="cell 2 was still running when the lab passed its limit of 4 s"):
        run.run(lab, limit=4)


def test_a_lab_that_was_just_too_slow_is_not_stored(write_lab: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = write_lab("print(1)")
    before = lab.read_bytes()
    monkeypatch.setattr(run, "execute", lambda *_, **__: None)
    with pytest.raises(NotebookError, match="longer than its limit of 0 s"):
        run.run(lab, limit=0)
    assert lab.read_bytes() == before


def test_one_failing_lab_does_not_stop_the_others(write_lab: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    lab = write_lab("1 / 0")
    good = write_lab("print('fine')", name="02_good.ipynb")
    assert run.main(["all", "--folder", str(lab.parent)]) == 1
    assert "02_good.ipynb" in capsys.readouterr().out
    assert files.read(good).cells[0].outputs[0].text == "fine\n"


def test_an_unknown_lab_says_which_there_are(write_lab: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    lab = write_lab("print(1)")
    assert cli.main(["run", "44", "--folder", str(lab.parent)]) == 1
    assert "labkit run: there is no lab '44'" in (said := capsys.readouterr().err)
    assert "the labs there are: 01" in said


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "all", "--folder", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["02-01"], "02-01 is no range of labs; write the lower number first: 01-02"),
        (["01", "02-01"], "02-01 is no range"),
        ([""], "there is no lab ''"),
    ],
)
def test_what_asks_for_no_lab_is_told(
    words: list[str], said: str, write_lab: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lab("print(0)", name="00_here.ipynb")
    write_lab("print(1)")
    folder = write_lab("print(2)", name="02_b.ipynb").parent
    assert cli.main(["run", *words, "--folder", str(folder)]) == 1
    assert said in capsys.readouterr().err
    assert not (folder / "work").exists()


def test_a_folder_without_labs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "all", "--folder", str(tmp_path)]) == 1
    assert f"there are no labs in {tmp_path}" in capsys.readouterr().err


def test_a_file_that_does_not_reach_the_disk_leaves_the_old_one(
    write_lab: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = write_lab("print(1)")
    before = lab.read_bytes()

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_lab("print(2)")
    with pytest.raises(NotebookError, match=r"the report cannot be written to .*: no space left"):
        report.Report(lab.parent).add(report.Result(lab.name, report.RAN))
    assert lab.read_bytes() == before
    assert list(lab.parent.iterdir()) == [lab]


def test_a_file_that_is_no_notebook_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "01_try.ipynb").write_text("{}", encoding="utf-8")
    with pytest.raises(NotebookError, match=r"01_try\.ipynb cannot be read as a notebook"):
        run.run(tmp_path / "01_try.ipynb")
