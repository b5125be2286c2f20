"""The student copies: what becomes of solutions, outputs and links, and how a stale copy is reported."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
    student = files.read(lab.parent / "exercises" / lab.name)
    assert "is generated" in student.cells[0].source
    assert student.cells[2].outputs == []
    assert student.cells[2].execution_count is None


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
