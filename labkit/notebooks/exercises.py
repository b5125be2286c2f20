"""``labkit exercises``: the student copies of the labs, made from the labs and never written by hand.

In a lab, an exercise's solution stands between the comment lines ``# solution`` and ``# end of solution``. In the copy
in ``labs/exercises/`` those lines are gone and what they assigned is ``...``.

Readers fill these copies in, often where they lie. So only this command writes them, and a copy carries a digest of its
name and its cells: where it no longer fits, the file is a reader's, and is kept.
"""

import argparse
import ast
import copy
import difflib
import hashlib
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labkit.errors import NotebookError
from labkit.notebooks import files

_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)# solution[ \t]*\n(?P<body>.*?)^[ \t]*# end of solution[ \t]*$", re.DOTALL | re.MULTILINE
)
_MARK = re.compile(r"^[ \t]*# (?:end of )?solution[ \t]*$", re.MULTILINE)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_LINK = re.compile(r"""(\]\(|\bsrc=["']|\bhref=["'])([^)"'\s]+)""")


def blank(source: str) -> str:
    """A code cell without its solutions.

    Each solution becomes ``name = ...`` for every name it assigns; ``return ...`` where it returns; else ``...``.

    Raises:
        NotebookError: a ``# solution`` without its ``# end of solution``, the other way round, or no Python between.
    """
    blanked = _BLOCK.sub(lambda block: textwrap.indent(_placeholder(block["body"]), block["indent"]), source)
    if _MARK.search(blanked):
        raise NotebookError(
            "a solution starts with the line '# solution' and ends with the line '# end of solution'; "
            f"one of the two is missing in:\n{source}"
        )
    return blanked


def _placeholder(solution: str) -> str:
    try:
        tree = ast.parse(textwrap.dedent(solution))
    except SyntaxError as error:
        raise NotebookError(f"a solution is whole statements; this one is not ({error.msg}):\n{solution}") from error
    inside = list(_outside_definitions(tree))
    if any(isinstance(node, ast.Return) for node in inside):
        return "return ..."
    names = dict.fromkeys(name for node in inside for name in _bound_by(node))
    return "\n".join(f"{name} = ..." for name in names) or "..."


def _outside_definitions(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes below `tree` in order, without what stands inside functions and classes."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, _DEFINITIONS):
            yield from _outside_definitions(node)


def _bound_by(node: ast.AST) -> list[str]:
    """The names that a statement defines or assigns; loop variables and the like are not part of an answer."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            pass
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.NamedExpr(target=target):
            targets = [target]
        case _:
            return []
    names = [leaf for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def student_copy(notebook: NotebookNode, lab: Path) -> NotebookNode:
    """The student's copy of a lab: no solutions, no outputs, links that work one folder further down.

    Args:
        notebook: the lab's content.
        lab: the lab's file, for its name and for the targets of its links.

    Raises:
        NotebookError: as `blank`.
    """
    student = copy.deepcopy(notebook)
    for cell in student.cells:
        if cell.cell_type == "code":
            try:
                cell.source = blank(cell.source)
            except NotebookError as error:
                raise NotebookError(f"{lab.name}: {error}") from error
            cell.outputs, cell.execution_count = [], None
        elif cell.cell_type == "markdown":
            cell.source = _LINK.sub(lambda link: link[1] + _one_folder_up(link[2], lab), cell.source)
    note = (
        f"*This copy of [{lab.name}](../{lab.name}) is generated (`labkit exercises`) and changes with the lab. "
        "Save it under another name, fill in each `...`, and run the cells from top to bottom.*"
    )
    student.cells.insert(0, nbformat.v4.new_markdown_cell(note, id="generated"))
    files.scrub(student)
    student.metadata["labkit"] = {"generated": _digest(student, lab.name)}
    return student


def _one_folder_up(target: str, lab: Path) -> str:
    """A relative link, seen from ``exercises/``. Links between labs stay: the copies lie side by side too."""
    elsewhere = re.match(r"[a-z][a-z0-9+.-]*:|[#/]", target)
    if elsewhere or files.LAB_NAME.fullmatch(target.partition("#")[0]):
        return target
    return f"../{target}"


def path_of(lab: Path) -> Path:
    """Where the student's copy of a lab lies."""
    return lab.parent / "exercises" / lab.name


def write(lab: Path, *, overwrite: bool = False) -> bool:
    """Makes a lab's copy and puts it in its place, but not over one that a reader has changed.

    Args:
        overwrite: over that one, too.

    Returns:
        Whether it was written.

    Raises:
        NotebookError: as `blank`.
    """
    path, student = path_of(lab), student_copy(files.read(lab), lab)
    if path.exists() and not overwrite and not _generated(path):
        return False
    path.parent.mkdir(exist_ok=True)
    files.put(path, files.text(student))
    return True


def _generated(path: Path) -> str | None:
    """The digest that a copy carries, while it fits: the copy may be old then, or have been run. Else a reader's."""
    try:
        there = files.read(path)
    except NotebookError:
        return None
    digest = _digest(there, path.name)
    return digest if there.metadata.get("labkit") == {"generated": digest} else None


def _digest(notebook: NotebookNode, name: str) -> str:
    """Of the cells' texts: outputs and metadata are there as soon as a reader has run the copy."""
    cells = [[cell.cell_type, cell.source] for cell in notebook.cells]
    return hashlib.sha256(json.dumps([name, cells]).encode()).hexdigest()


def differences(labs: list[Path], *, spare_readers: bool = False) -> list[str]:
    """What is not as it would be generated now: one entry a file, with the lines that differ. Empty when all is.

    Args:
        spare_readers: pass over copies that a reader has filled in or run.
    """
    found = []
    for lab in labs:
        path, student = path_of(lab), student_copy(files.read(lab), lab)
        current = files.text(student)
        stored = path.read_text(encoding="utf-8") if path.exists() else ""
        if not stored:
            found.append(f"{path} is missing")
        elif spare_readers and _generated(path) in (None, student.metadata["labkit"]["generated"]):
            continue
        elif stored != current:
            diff = difflib.unified_diff(stored.splitlines(), current.splitlines(), "stored", "generated", "", "", 0, "")
            found.append("\n".join([f"{path} is not what its lab generates:", *list(diff)[:20]]))
    return found


def leftovers(folder: Path) -> list[str]:
    """Student copies whose lab is gone or was renamed; what readers saved beside them is theirs."""
    labs = {path_of(lab) for lab in files.find(folder)}
    left = [path for path in sorted((folder / "exercises").glob("*.ipynb")) if path not in labs]
    return [f"{path} belongs to no lab; it was left when one was renamed" for path in left if _generated(path)]


def main(argv: list[str]) -> int:
    """The command: 0 when all copies are written, or with ``--check`` when they are current; else 1.

    Raises:
        LabkitError: there is no folder with labs, or a lab's solutions cannot be taken out.
    """
    parser = argparse.ArgumentParser("labkit exercises", description="Make the student copies of the labs.")
    parser.add_argument("--check", action="store_true", help="write nothing, say what is not current")
    parser.add_argument("--overwrite", action="store_true", help="write over copies that were filled in, too")
    parser.add_argument("--folder", help="the folder with the labs (default: labs/ of this checkout)")
    arguments = parser.parse_args(argv)
    folder = files.labs_folder(arguments.folder)
    labs = files.find(folder)
    if arguments.check:
        found = differences(labs) + leftovers(folder)
    else:
        kept = [path_of(lab) for lab in labs if not write(lab, overwrite=arguments.overwrite)]
        found = [
            f"{path} is not as it was generated (answers?) and is kept; --overwrite writes over it" for path in kept
        ]
    for one in found:
        print(one, file=sys.stderr)
    if found and arguments.check:
        print("labkit exercises: run `labkit exercises` to bring the copies up to date", file=sys.stderr)
    return 1 if found else 0
