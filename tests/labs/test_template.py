"""`labkit new`, and the whole way of a lab: laid out, filled in, run, in form, its outputs the same again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from labkit import checks
from labkit.errors import NotebookError
from labkit.notebooks import style, template


def test_new_lab_breaks_no_rule_but_the_one_about_todo(laid_out: Path) -> None:
    assert {finding.rule for finding in style.findings(laid_out)} == {"no-todo"}


def test_todo_in_the_checks_of_a_lab_is_found(laid_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = laid_out.parents[1] / "labkit" / "checks"
    monkeypatch.setattr(checks, "__file__", str(folder / "__init__.py"))
    assert any("labkit/checks/lab_98.py is still to be written" in str(found) for found in style.findings(laid_out))


def test_new_refuses_to_overwrite(laid_out: Path, labkit_in: Callable[..., Any]) -> None:
    root = laid_out.parents[1]
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    done = labkit_in(root, "new", "98", "Another title")
    assert done.returncode == 1
    assert "lab 98 exists" in done.stderr
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("number", "title", "said"),
    [("7", "Watch", "two digits"), ("07", "watch", "verb phrase"), ("07", "Watch.", "verb phrase"), ("07", "", "verb")],
)
def test_a_bad_number_or_title_is_refused(number: str, title: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=said):
        template.new(number, title, tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(300)
def test_filled_in_template_is_a_lab_that_holds(
    good_lab: Path, compare: Callable[..., Any], twice_over: Callable[[Path], NotebookNode], tmp_path: Path
) -> None:
    assert style.findings(good_lab) == []
    notebook = twice_over(good_lab)
    printed = [output.get("text") for cell in notebook.cells for output in cell.outputs]
    assert printed.count("98.1: not answered yet\n") == 1
    assert printed.count("98.1: right\n") == 2
    nbformat.write(notebook, tmp_path / good_lab.name)
    compared = compare(tmp_path / good_lab.name, "-x", labkit_of=good_lab.parents[1])
    assert compared.returncode == 0, compared.output
    assert f"{len(notebook.cells)} passed" in compared.output
    assert not compared.survivors
