"""Each rule of style fails on a lab that breaks it, made from one that breaks none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode, from_dict, v4

from labkit.notebooks import files, style
from labkit.notebooks.lab import Lab

Change = Callable[[NotebookNode], None]
PICTURE = from_dict({"image/png": "AAAA", "text/plain": "<Figure>"})


def text(old: str, new: str) -> Change:
    """Replaces text in the first cell that has it; that one must is asserted."""

    def change(notebook: NotebookNode) -> None:
        cell = next((cell for cell in notebook.cells if old in cell.source), None)
        assert cell is not None, f"no cell of the template has {old!r}"
        cell.source = cell.source.replace(old, new)

    return change


def output(*outputs: NotebookNode) -> Change:
    """Replaces what the first code cell after the setup stored; the claim cell after it goes."""

    def change(notebook: NotebookNode) -> None:
        place = next(n for n, cell in enumerate(notebook.cells) if "show.table" in cell.source)
        notebook.cells[place].outputs = list(outputs)

    return change


def printed(said: str, stream: str = "stdout") -> Change:
    return output(v4.new_output("stream", name=stream, text=said))


def drop(old: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        kept = [cell for cell in notebook.cells if old not in cell.source]
        assert len(kept) < len(notebook.cells)
        notebook.cells = kept

    return change


def insert(cell: NotebookNode) -> Change:
    """Puts a cell before the first part's code."""

    def change(notebook: NotebookNode) -> None:
        place = next(n for n, one in enumerate(notebook.cells) if "show.table" in one.source)
        notebook.cells.insert(place, cell)

    return change


def both(*changes: Change) -> Change:
    def change(notebook: NotebookNode) -> None:
        for one in changes:
            one(notebook)

    return change


def code(source: str) -> NotebookNode:
    return v4.new_code_cell(source)


def tag(notebook: NotebookNode) -> None:
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]


def recount(notebook: NotebookNode) -> None:
    notebook.cells[-1].execution_count = 99


TABLE = 'show.table(counts1.items(), ["case", "count (things)"])'
OFFENCES: list[tuple[str, Change]] = [
    ("title", text("# 98 · Watch", "# 97 · Watch")),
    ("title", text("# 98 · Watch", "# 98 - Watch")),
    ("result", text("one sentence that", "One sentence. Another that")),
    ("result", text("one sentence that says what comes out of this lab.", "")),
    ("idea-figure", text("![say in a sentence what the figure shows.](figures/98_idea.svg)", "")),
    ("you-will", text("**You need**", "You need")),
    ("you-will", text("- verb", "verb")),
    ("you-need", text("GPU: no", "")),
    ("setup-cell", text("from labkit import start\n", "import numpy\nfrom labkit import start\n")),
    ("setup-cell", text('start.workspace("98")', 'start.workspace("97")')),
    ("parts", text("## 3 · a question?", "Three.")),
    ("parts", text("## 3 · a question?", "## 4 · a question?")),
    ("part-claim", drop("assert counts2")),
    ("part-idea", text("the idea, in at most 120 words", "word " * 130)),
    ("closing", text("## In practice", "## In theory")),
    ("closing", both(text("## Next", "## N"), text("## Sources", "## Next"), text("## N\n", "## Sources\n"))),
    ("goes-wrong", text("except FileNotFoundError", "except Exception")),
    ("goes-wrong", text("except FileNotFoundError as error:", "finally:")),
    ("sources", text("](https://", "](ftp://")),
    ("sources", both(text("](https://", "](ftp://"), text("## Next\n\n", "## Next\n\n[a](https://example.org) "))),
    ("exercise-count", text("### Exercise 98.2", "Exercise two")),
    ("exercise-count", text("### Exercise 98.2", "### Exercise 98.3")),
    ("exercise-check", text('check("98.1", answer_1)', "answer_1")),
    ("exercise-check", text("# solution\n", "# my solution\n")),
    ("exercise-check", lambda notebook: next(c for c in notebook.cells if 'check("98.1"' in c.source).outputs.clear()),
    ("last-cell", text("shutil.rmtree(folder)", "folder")),
    ("last-cell", lambda notebook: notebook.cells.pop()),
    ("links", text("figures/98_idea.svg", "figures/nowhere.svg")),
    ("no-todo", text("nothing", "TODO")),
    ("empty-cell", insert(v4.new_markdown_cell(" "))),
    ("cell-length", text(TABLE, TABLE + "\npass" * 14)),
    ("cell-length", text(TABLE, TABLE + "\ndef f():" + "\n    pass" * 24)),
    ("cell-length", text(TABLE, TABLE + '\njs = """\nexport default function () {' + "\n  f();" * 21 + '\n}"""')),
    ("text-before-code", drop("what you see")),
    ("no-install", insert(code("!pip install numpy"))),
    ("no-install", insert(code("%pip install numpy"))),
    ("no-download", insert(code("keras.datasets.mnist.load_data()"))),
    ("no-download", insert(code('requests.get("https://example.org/data.csv")'))),
    ("no-semicolon", text(TABLE, TABLE + ";")),
    ("no-escape", text(TABLE, "# NBVAL_IGNORE_OUTPUT\n" + TABLE)),
    ("no-escape", tag),
    ("figure-alt", text("![say in a sentence what the figure shows.]", "![figure]")),
    ("figure-alt", text("what you see", '<img src="figures/98_idea.svg">')),
    ("claim-has-reason", text('assert counts1["second"] == 2 * counts1["first"]', "assert True")),
    ("execution-counts", recount),
    ("output-stored", output()),
    ("output-stored", insert(code("with folder as f:\n    print(1)"))),
    ("one-output", output(*(v4.new_output("stream", name=name, text="x") for name in ("stdout", "stdout")))),
    ("no-error", output(v4.new_output("error", ename="ValueError", evalue="x", traceback=[]))),
    ("no-stderr", printed("warning", "stderr")),
    ("no-widget", output(v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}))),
    ("picture-alt", output(v4.new_output("display_data", PICTURE))),
    ("picture-alt", output(v4.new_output("display_data", {"text/html": '<img src="a.png">'}))),
    ("no-path", printed("saved to /home/ada/labs/work/98")),
    ("no-path", printed("saved to C:\\Users\\ada")),
    ("no-port", printed("listening on 127.0.0.1:43121")),
    ("no-process", printed("started with pid 4312")),
    ("no-address", printed("<object object at 0x7f3a5c1b2d30>")),
    ("no-clock", printed("2026-11-23 something happened")),
    ("no-bare-time", printed("took 1.5 s")),
    ("no-bare-time", printed("8/8 - 4ms/step")),
    ("no-bare-time", printed("12.5 seconds")),
    ("no-bare-time", printed("4 ms/step")),
    ("measured-beside-claim", both(printed("took 1.50 ms"), text("assert counts1", "assert_ = counts1"))),
]


@pytest.fixture
def lab(good_lab: Path, tmp_path: Path) -> Path:
    """A copy of the good lab with its figures."""
    shutil.copytree(good_lab.parent, tmp_path / "labs")
    return tmp_path / "labs" / good_lab.name


def broken_rules(lab: Path, change: Change) -> set[str]:
    notebook = files.read(lab)
    change(notebook)
    files.write(lab, notebook)
    return {finding.rule for finding in style.findings(lab)}


def test_good_lab_breaks_no_rule(lab: Path) -> None:
    assert [str(finding) for finding in style.findings(lab)] == []


@pytest.mark.parametrize(
    ("rule", "change"), OFFENCES, ids=[f"{place}-{rule}" for place, (rule, _) in enumerate(OFFENCES)]
)
def test_rule_finds_its_offence(rule: str, change: Change, lab: Path) -> None:
    assert rule in broken_rules(lab, change)


def test_file_name_of_another_form_is_found(lab: Path) -> None:
    renamed = lab.rename(lab.with_name("98-Watch.ipynb"))
    assert "file-name" in {finding.rule for finding in style.findings(renamed)}


def test_file_that_another_program_saved_is_found(lab: Path) -> None:
    lab.write_text(lab.read_text(encoding="utf-8").replace('"name": "python3"', '"name": "mine"'), encoding="utf-8")
    assert "stored-form" in {finding.rule for finding in style.findings(lab)}


def test_every_rule_has_an_offence() -> None:
    tried = {rule for rule, _ in OFFENCES} | {"file-name", "stored-form"}
    assert tried == set(style.lab_rules) | set(style.cell_rules)


def test_a_finding_says_rule_place_and_what_to_do(lab: Path) -> None:
    notebook = files.read(lab)
    text("nothing", "TODO")(notebook)
    printed("took 1.5 s")(notebook)
    files.write(lab, notebook)
    said = "\n".join(map(str, style.findings(lab)))
    assert f"{lab.name}, cell [2]: the output has '1.5 s', a measured time" in said
    assert "print it with show.milliseconds(seconds) [no-bare-time]" in said


@pytest.mark.parametrize(
    "said",
    ["took 1.50 ms", "uses 300 MiB", "5 samples", "shape (3, 4)", "3 species", "ratio 3.1", "POST /v1/models/m"],
)
def test_harmless_outputs_are_left_alone(said: str, lab: Path) -> None:
    assert broken_rules(lab, printed(said)) == set()


def test_text_cell_may_open_several_sections(lab: Path) -> None:
    assert [section.title for section in Lab(lab).sections[-4:]] == [
        "What you learned",
        "In practice",
        "Next",
        "Sources",
    ]
