"""``labkit new NN "Title"``: lays out a lab that runs and follows every rule of style but one: texts marked TODO."""

import argparse
import re
from pathlib import Path

from nbformat import NotebookNode, v4

from labkit.errors import NotebookError
from labkit.notebooks import exercises, files, run

_OPENING = """\
# NN · TITLE

TODO: one sentence that says what comes out of this lab.

![TODO: say in a sentence what the figure shows.](figures/NN_idea.svg)"""

_NEEDS = """\
**You will make** TODO: the thing, in one sentence.

**You will be able to**

- TODO: verb, what
- TODO: verb, what

**You need** labs: TODO or none · TODO minutes · memory: 1 GB · GPU: no"""

_SETUP = """\
from labkit import start

import shutil

from labkit import show
from labkit.checks import check

folder = start.workspace("NN")"""

_QUESTION = """\
## PART · TODO: a question?

TODO: the idea, in at most 120 words, a formula or a picture. What the cell below does."""

_CODE = """\
# TODO: the lesson, in the libraries that a reader will use at work.
countsPART = {"first": PART, "second": 2 * PART}
show.table(countsPART.items(), ["case", "count (things)"])"""

_SEEN = "TODO: what you see, and what follows from it:"

_CLAIM = 'assert countsPART["second"] == 2 * countsPART["first"], "TODO: the claim in words"'

_WRONG_TEXT = """\
## When it goes wrong

TODO: the failure that readers will meet, and how to read its message."""

_WRONG_CODE = """\
try:
    (folder / "missing.txt").read_text()  # TODO: the real failure
except FileNotFoundError as error:
    print(f"{type(error).__name__}: {error.strerror}")"""

_EXERCISE_TEXT = """\
### Exercise NN.PART

TODO: the question."""

_EXERCISE_CODE = """\
# solution
answer_PART = countsPART["second"]  # TODO
# end of solution
check("NN.PART", answer_PART)"""

_CLOSING = """\
## What you learned

- TODO

## In practice

TODO: what production does differently.

## Next

TODO

## Sources

- TODO: [what a reader can look up](https://www.tensorflow.org/tfx/guide/serving)"""

_CHECKS = '''\
"""Checks of lab NN."""

from typing import Any

from labkit.checks import exercise


@exercise("NN.1", hints=("TODO: a step towards the answer.", "TODO: a step that says more."))
def _(answer: Any) -> str | None:
    if answer == 2:
        return None
    if answer == 1:
        return "TODO: what a reader did who answers this"
    return "TODO: what was asked for"


@exercise("NN.2", hints=("TODO: a step towards the answer.", "TODO: a step that says more."))
def _(answer: Any) -> str | None:
    return None if answer == 4 else "TODO: what was asked for"
'''


def lay_out(number: str, title: str) -> NotebookNode:
    """The template lab, not yet run.

    Args:
        number: two digits.
        title: a verb phrase, ``"Watch a server's memory"``.
    """

    def fill(text: str, part: int = 0) -> str:
        return text.replace("TITLE", title).replace("NN", number).replace("PART", str(part))

    markdown, code = v4.new_markdown_cell, v4.new_code_cell
    cells = [markdown(fill(_OPENING)), markdown(_NEEDS), code(fill(_SETUP))]
    for part in (1, 2, 3):
        cells += [markdown(fill(_QUESTION, part)), code(fill(_CODE, part)), markdown(_SEEN), code(fill(_CLAIM, part))]
    cells += [markdown(_WRONG_TEXT), code(_WRONG_CODE), markdown("## Exercises\n\n" + fill(_EXERCISE_TEXT, 1))]
    cells += [code(fill(_EXERCISE_CODE, 1)), markdown(fill(_EXERCISE_TEXT, 2)), code(fill(_EXERCISE_CODE, 2))]
    cells += [markdown(_CLOSING), code("shutil.rmtree(folder)  # TODO: stop what the lab started")]
    notebook = v4.new_notebook(cells=cells)
    for cell in notebook.cells:
        del cell["id"]  # scrubbing gives ids made from the text, the same on every machine
    return notebook


def new(number: str, title: str, labs: Path, checks: Path) -> Path:
    """Writes a new lab, its checks, drawing and exercise copy, and runs the lab; returns the lab's file.

    Raises:
        NotebookError: the number or title is of another form, or one of the files exists.
    """
    if not re.fullmatch(r"\d\d", number):
        raise NotebookError(f"a lab's number is two digits, such as 07; this is {number!r}")
    words = "_".join(re.findall(r"[a-z0-9]+", title.lower().replace("'", "")))
    if not words or not title[0].isupper() or title.endswith("."):
        raise NotebookError(f'a title is a verb phrase like "Watch a server\'s memory"; this is {title!r}')
    lab = labs / f"{number}_{words}.ipynb"
    wanted = {checks / f"lab_{number}.py": _CHECKS.replace("NN", number)}
    wanted[labs / "figures" / f"{number}_idea.svg"] = (labs / "figures/style/boxes.svg").read_text(encoding="utf-8")
    taken = [*sorted(labs.glob(f"{number}_*.ipynb")), *(path for path in wanted if path.exists())]
    if taken:
        raise NotebookError(f"lab {number} exists: {', '.join(map(str, taken))}; nothing was written")
    for path, content in wanted.items():
        path.write_text(content, encoding="utf-8", newline="\n")
    files.write(lab, lay_out(number, title))
    run.run(lab)
    exercises.write(lab)
    return lab


def main(argv: list[str]) -> int:
    """The command: 0 when the lab was laid out; it raises as `new`."""
    parser = argparse.ArgumentParser("labkit new", description="Lay out a new lab.")
    parser.add_argument("number", metavar="NN", help="two digits")
    parser.add_argument("title", help='a verb phrase: "Watch a server\'s memory"')
    arguments = parser.parse_args(argv)
    labs = files.labs_folder()
    lab = new(arguments.number, arguments.title, labs, labs.parent / "labkit" / "checks")
    print(f"{lab}\nReplace every TODO, in labkit/checks/lab_{arguments.number}.py and figures/ too;")
    print(f"then labkit run {arguments.number}, and labkit exercises.")
    return 0
