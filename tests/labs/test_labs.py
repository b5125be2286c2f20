"""Every lab of this checkout: in form, executed, its exercises current, its outputs the same when it runs again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from labkit.notebooks import exercises, files, run, style

FOLDER = files.labs_folder()
LABS = files.find(FOLDER)

each_lab = pytest.mark.parametrize("lab", LABS, ids=[lab.stem for lab in LABS])


@each_lab
def test_style(lab: Path) -> None:
    found = style.findings(lab)
    assert not found, "\n" + "\n".join(map(str, found))


@each_lab
def test_lab_ran_from_top_to_bottom_and_its_outputs_are_stored(lab: Path) -> None:
    code = [cell for cell in files.read(lab).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(len(cell.outputs) for cell in code) > len(code) / 3, "hardly any cell has an output to compare"


def test_exercises_are_what_the_labs_generate() -> None:
    elsewhere = "LABKIT_CI" not in os.environ  # where people fill them in
    stale = exercises.differences(LABS, spare_readers=elsewhere) + exercises.leftovers(FOLDER)
    assert not stale, "\n".join([*stale, "run `labkit exercises`"])


@pytest.mark.timeout(600)
@each_lab
def test_lab_gives_its_stored_outputs_twice_in_a_row_and_leaves_nothing_running(
    lab: Path, tmp_path: Path, compare: Callable[..., Any], twice_over: Callable[[Path], NotebookNode]
) -> None:
    nbformat.write(twice_over(lab), tmp_path / lab.name)
    compared = compare(tmp_path / lab.name, "-x")
    assert compared.returncode == 0, compared.output
    assert not compared.survivors


def test_a_changed_output_is_found(write_lab: Callable[..., Path], compare: Callable[..., Any]) -> None:
    """Proof that the comparison above compares: each kind of output is altered, and each alteration must be seen."""
    picture = 'plot.bars({"a": 1}, title="t", x="case", y="n (count)", alt="One bar stands all alone.")'
    table = 'show.table([("a", 1), ("b", 2)], ["case", "n (count)"])'
    measured = 'import time\nbegan = time.perf_counter()\nprint("took", show.milliseconds(time.perf_counter() - began))'
    cells = ["from labkit import plot, show", "print('same')", "print('text 7')", table, picture, measured, "print(1)"]
    lab = write_lab(*cells)
    run.run(lab)
    stored = files.read(lab)
    stored.cells[2].outputs[0].text = "text 8\n"
    data = stored.cells[3].outputs[0].data
    data["text/html"] = data["text/html"].replace("<td>2</td>", "<td>3</td>")
    data = stored.cells[4].outputs[0].data
    data["text/html"] = data["text/html"].replace("all alone", "not alone")
    stored.cells[5].outputs[0].text = "took 1,234 ms\n"
    stored.cells[6].outputs = []
    nbformat.write(stored, lab)
    compared = compare(lab)
    assert compared.failed_cells == [2, 3, 4, 6], compared.output


def test_a_process_that_outlives_its_kernel_is_found(
    write_lab: Callable[..., Path], compare: Callable[..., Any]
) -> None:
    lab = write_lab(
        "import subprocess, sys\n"
        'sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]\n'
        "process = subprocess.Popen(sleeper, start_new_session=True)"
    )
    assert compare(lab, patience=0.5).survivors


def test_every_sanitize_rule_is_read() -> None:
    from nbval.plugin import get_sanitize_patterns

    text = Path(__file__).with_name("sanitize.cfg").read_text(encoding="ascii")
    written = [line for line in text.splitlines() if line.startswith("regex:")]
    assert len(get_sanitize_patterns(text)) == len(written) > 0
