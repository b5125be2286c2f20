"""The student copies: what becomes of solutions, outputs and links, and how a stale copy is reported."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode, v4

from labkit import cli
from labkit.errors import NotebookError
from labkit.notebooks import exercises, files, run

Writer = Callable[..., Path]


def solved(*lines: str) -> str:
    return "\n".join(["before = 1", "# solution", *lines, "# end of solution", "after = 2"])


@pytest.mark.parametrize(
    ("solution", "left"),
    [
        (["answer = 42"], "answer = ..."),
        (["a = 1", "b, (c, *d) = 2, (3, 4)", "a = 5"], "a = ...\nb = ...\nc = ...\nd = ..."),
        (["answer: int = 42"], "answer = ..."),
        (["total = 0", "for n in range(3):", "    total += n"], "total = ..."),
        (["with open(f) as file:", "    text = file.read()"], "text = ..."),
        (["def double(x):", "    inner = 2 * x", "    return inner"], "double = ..."),
        (["if (n := len(x)) > 2:", "    y = n"], "n = ...\ny = ..."),
        (["x.name = 3", "x[0] = 4", "print(x)"], "..."),
        ([], "..."),
    ],
)
def test_a_solution_becomes_the_names_it_assigns(solution: list[str], left: str) -> None:
    assert exercises.blank(solved(*solution)) == f"before = 1\n{left}\nafter = 2"


def test_a_solution_inside_a_function_returns_dots_and_keeps_its_indentation() -> None:
    source = "def double(x):\n    # solution\n    y = 2 * x\n    return y\n    # end of solution\n\nprint(double)"
    assert exercises.blank(source) == "def double(x):\n    return ...\n\nprint(double)"


def test_two_solutions_in_one_cell() -> None:
    source = "# solution\na = 1\n# end of solution\nkeep = 0\n# solution\nb = 1\n# end of solution"
    assert exercises.blank(source) == "a = ...\nkeep = 0\nb = ..."


@pytest.mark.parametrize("source", ["# solution\na = 1", "a = 1\n# end of solution"])
def test_a_missing_mark_is_an_error(source: str) -> None:
    with pytest.raises(NotebookError, match="one of the two is missing"):
        exercises.blank(source)


def test_a_solution_that_is_no_python_is_an_error() -> None:
    with pytest.raises(NotebookError, match="whole statements"):
        exercises.blank(solved("if x:"))


@pytest.mark.parametrize(
    ("link", "in_the_copy"),
    [
        ("![a](figures/01.svg)", "![a](../figures/01.svg)"),
        ('<img alt="a" src="figures/01.svg">', '<img alt="a" src="../figures/01.svg">'),
        ("[design](../docs/design.md#why)", "[design](../../docs/design.md#why)"),
        ("[next](02_serve_a_model.ipynb#part)", "[next](02_serve_a_model.ipynb#part)"),
        ("[page](https://example.org/figures/a.svg)", "[page](https://example.org/figures/a.svg)"),
        ("[part](#part-2)", "[part](#part-2)"),
    ],
)
def test_links_work_one_folder_further_down(link: str, in_the_copy: str, write_lab: Writer) -> None:
    lab = write_lab(f"# 01 · Try\n\n{link}")
    student = exercises.student_copy(files.read(lab), lab)
    assert student.cells[1].source.endswith(in_the_copy)


def test_a_copy_says_that_it_is_generated_and_has_no_outputs(write_lab: Writer) -> None:
    lab = write_lab("# 01 · Try", "print(1)")
    run.run(lab)
    assert files.read(lab).cells[1].outputs
    exercises.write(lab)
    student = files.read(exercises.path_of(lab))
    assert "is generated" in student.cells[0].source
    assert student.cells[2].outputs == []
    assert student.cells[2].execution_count is None


def fill_in(path: Path, *, to: Path | None = None) -> bytes:
    """What JupyterLab does: the cell is changed, its output and the kernel's version are stored, the rest is kept."""
    notebook = files.read(path)
    notebook.cells[2].source = notebook.cells[2].source.replace("...", "42")
    save_as_run(notebook, to or path)
    return (to or path).read_bytes()


def save_as_run(notebook: NotebookNode, path: Path) -> None:
    notebook.cells[2].outputs, notebook.cells[2].execution_count = [v4.new_output("stream", text="1\n")], 1
    notebook.metadata["language_info"]["version"] = "3.12.1"
    nbformat.write(notebook, path)


@pytest.fixture
def lab(write_lab: Writer) -> Path:
    """A lab with a solution, and its copy."""
    lab = write_lab("# 01 · Try", "x = 0\n# solution\nanswer = 1\n# end of solution")
    assert exercises.main([f"--folder={lab.parent}"]) == 0
    return lab


def change(lab: Path) -> None:
    lab.write_text(lab.read_text(encoding="utf-8").replace("01 · Try", "01 · Try again"), encoding="utf-8")


@pytest.mark.parametrize("command", ["run 01", "run all --html", "exercises"])
def test_no_command_writes_over_answers(command: str, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "execute", lambda *_, **__: None)
    answers = fill_in(exercises.path_of(lab))
    change(lab)
    cli.main([*command.split(), "--folder", str(lab.parent)])
    assert exercises.path_of(lab).read_bytes() == answers


def test_answers_that_are_kept_are_told_and_go_only_when_asked_for(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exercises.path_of(lab)
    fill_in(path)
    assert exercises.main([f"--folder={lab.parent}"]) == 1
    assert f"{path} is not as it was generated (answers?) and is kept; --overwrite" in capsys.readouterr().err
    assert exercises.main([f"--folder={lab.parent}", "--overwrite"]) == 0
    assert exercises.differences([lab]) == []


def test_a_copy_without_a_digest_is_kept(lab: Path) -> None:
    path = exercises.path_of(lab)
    notebook = files.read(path)
    del notebook.metadata["labkit"]
    nbformat.write(notebook, path)
    assert not exercises.write(lab)
    path.write_text("{}", encoding="utf-8")
    assert not exercises.write(lab)


def test_a_copy_that_is_old_or_was_only_run_is_written_anew(lab: Path) -> None:
    path = exercises.path_of(lab)
    change(lab)
    save_as_run(files.read(path), path)
    assert exercises.main([f"--folder={lab.parent}"]) == 0
    assert exercises.differences([lab]) == []


def test_what_readers_do_is_no_difference_where_they_are_spared(lab: Path) -> None:
    path = exercises.path_of(lab)
    save_as_run(files.read(path), path)
    assert exercises.differences([lab], spare_readers=True) == []
    assert exercises.differences([lab])
    change(lab)
    assert exercises.differences([lab], spare_readers=True)
    fill_in(path)
    assert exercises.differences([lab], spare_readers=True) == []
    assert exercises.differences([lab])
    path.unlink()
    assert exercises.differences([lab], spare_readers=True) == [f"{path} is missing"]


def test_a_copy_under_a_name_of_its_own_is_the_readers(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = exercises.path_of(lab)
    answers = fill_in(path, to=path.with_name("mine.ipynb"))
    save_as_run(files.read(path), path.with_name("01_try-Copy1.ipynb"))
    assert exercises.main(["--check", f"--folder={lab.parent}"]) == 0
    assert exercises.main(["--overwrite", f"--folder={lab.parent}"]) == 0
    assert path.with_name("mine.ipynb").read_bytes() == answers
    assert not capsys.readouterr().err


def test_check_says_what_differs_and_writes_nothing(write_lab: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    lab = write_lab("# 01 · Try", "answer = 1")
    folder = f"--folder={lab.parent}"
    copy_of_it = lab.parent / "exercises" / lab.name
    assert exercises.main(["--check", folder]) == 1
    assert f"{copy_of_it} is missing" in capsys.readouterr().err
    assert not copy_of_it.exists()
    assert exercises.main([folder]) == 0
    assert exercises.main(["--check", folder]) == 0
    stored = copy_of_it.read_bytes().replace(b"answer = 1", b"answer = 7")
    copy_of_it.write_bytes(stored)
    capsys.readouterr()
    assert exercises.main(["--check", folder]) == 1
    said = capsys.readouterr().err
    assert "answer = 7" in said
    assert "answer = 1" in said
    assert "run `labkit exercises`" in said
    assert copy_of_it.read_bytes() == stored


def test_a_copy_without_a_lab_is_reported(write_lab: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    lab = write_lab("answer = 1")
    folder = f"--folder={lab.parent}"
    exercises.main([folder])
    lab.rename(lab.with_name("02_renamed.ipynb"))
    assert exercises.main(["--check", folder]) == 1
    assert "01_try.ipynb belongs to no lab" in capsys.readouterr().err


def test_an_unfinished_solution_names_the_lab(write_lab: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    lab = write_lab("x = 0\n# solution\nanswer = 1")
    assert cli.main(["exercises", f"--folder={lab.parent}"]) == 1
    assert "labkit exercises: 01_try.ipynb: a solution starts with" in capsys.readouterr().err
