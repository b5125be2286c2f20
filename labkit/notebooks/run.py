"""``labkit run NN|all``: runs labs in fresh kernels and stores their outputs. The only way outputs get into a lab."""

import argparse
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from rich.console import Console
from rich.table import Table

from labkit.errors import NotebookError
from labkit.notebooks import files
from labkit.notebooks.kernel import (
    LIMIT,
    SHORTER,
    code_cells,
    execute,
    memory_of_children,
    processor_time_of_children,
)
from labkit.notebooks.report import FAILED, INTERRUPTED, RAN, Report, Result
from labkit.serving.memory_curve import MemoryCurve


@dataclass(frozen=True)
class Ran:
    """One lab that ran: its file, its number of code cells, and the seconds it took."""

    lab: Path
    cells: int
    seconds: float


def run(lab: Path, *, limit: float = LIMIT, console: Console | None = None, name: str = "") -> Ran:
    """Runs one lab in a fresh kernel and stores its outputs.

    Args:
        lab: the notebook; it runs in its own folder and is only written when all went well.
        limit: seconds it may take.
        console: where the progress bar is drawn while it runs; none if it is not a terminal.
        name: how the bar and messages call it; its file's name by default.

    Raises:
        KeyboardInterrupt: Ctrl-C, or SIGTERM.
        NotebookError: a cell failed, the kernel died, the lab took longer than `limit`, or another program saved it
            meanwhile.
    """
    before = files.sha256(lab)
    notebook = files.read(lab)
    seconds = _timed(notebook, lab, limit, console, name)
    _require_unchanged(lab, before)
    files.write(lab, notebook)
    return Ran(lab, len(code_cells(notebook)), seconds)


def run_to_page(
    lab: Path,
    folder: Path,
    *,
    beside: Iterable[Path] = (),
    limit: float = LIMIT,
    console: Console | None = None,
    name: str = "",
) -> Ran:
    """Runs one lab in a fresh kernel and writes what it shows to a page; the notebook stays as it is.

    Args:
        lab: the notebook; it runs in its own folder.
        folder: where the page is written, also when a cell fails: up to there, with the error.
        beside: the labs that have pages there too.
        limit: seconds it may take.
        console: where the progress bar is drawn.
        name: how the bar and messages call it; its file's name by default.

    Raises:
        KeyboardInterrupt: Ctrl-C, or SIGTERM; there is no page then.
        NotebookError: as `run`.
    """
    from labkit.notebooks import pages

    before = files.sha256(lab)
    notebook = files.read(lab)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    try:
        seconds = _timed(notebook, lab, limit, console, name)
    except NotebookError as error:
        first_line = str(error).partition("\n")[0]
        pages.write(notebook, lab, folder, beside=beside, note=f"This lab did not run to its end: {first_line}")
        raise
    _require_unchanged(lab, before)
    pages.write(notebook, lab, folder, beside=beside)
    return Ran(lab, len(code_cells(notebook)), seconds)


def _timed(notebook: NotebookNode, lab: Path, limit: float, console: Console | None, name: str) -> float:
    started = time.perf_counter()
    execute(notebook, lab.parent, name=lab.name, limit=limit, console=console, title=name)
    seconds = time.perf_counter() - started
    if seconds > limit:
        raise NotebookError(f"{lab.name} took {seconds:.0f} s, longer than its limit of {limit:g} s; {SHORTER}")
    return seconds


def _require_unchanged(lab: Path, before: str) -> None:
    if files.sha256(lab) != before:
        raise NotebookError(f"{lab.name} was saved by another program while it ran; nothing was stored, run it again")


def main(argv: list[str]) -> int:
    """The command.

    Returns:
        0 when every lab ran and was written, 1 when one was not, 130 after Ctrl-C, 143 after SIGTERM; 2 is argparse's.

    Raises:
        LabkitError: there is no such lab, no folder with labs, or a report that cannot be read; nothing ran.
    """
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True, soft_wrap=True)
    folder = files.labs_folder(arguments.folder)
    labs = _chosen(folder, arguments.lab)
    report = Report(folder / "work")
    pages_folder = None
    if arguments.html is not None:
        pages_folder = Path(arguments.html) if arguments.html else folder / "work" / "pages"
    session = _Session(labs, report, console, arguments.limit, pages_folder)
    status = session.run_all(resume=arguments.resume)
    Console().print(_table(session.results))
    if not session.unwritten:
        print(f"The report is {report.folder / 'report.md'}", file=sys.stderr)
    if not session.unwritten and pages_folder is not None:
        print(f"The pages are in {pages_folder}; start at index.html", file=sys.stderr)
    if status:
        again = shlex.join(argv if arguments.resume else [*argv, "--resume"])
        print(f"labkit run {again} goes on with what did not run", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    about = "Run labs in fresh kernels and store their outputs, or write them to pages."
    parser = argparse.ArgumentParser("labkit run", description=about)
    parser.add_argument("lab", metavar="NN|NN-NN|all", nargs="+", help="numbers of labs, ranges of them, or all")
    parser.add_argument("--resume", action="store_true", help="pass over labs that ran well and have not changed since")
    parser.add_argument(
        "--html",
        metavar="FOLDER",
        nargs="?",
        const="",
        help="write each lab as a page to read offline, to FOLDER (default: work/pages beside the labs); "
        "the notebooks stay as they are",
    )
    parser.add_argument("--folder", help="the folder with the labs (default: labs/ of this checkout)")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a lab may take (default: %(default)g)")
    return parser


def _chosen(folder: Path, words: list[str]) -> list[Path]:
    """The labs that the command line asks for, each once, in order; one at least."""
    chosen: set[Path] = set()
    for word in words:
        if ends := re.fullmatch(r"(\d+)-(\d+)", word):
            first, last = (files.find(folder, end)[0].name[:2] for end in ends.groups())
            if first > last:
                raise NotebookError(f"{word} is no range of labs; write the lower number first: {last}-{first}")
            chosen |= {lab for lab in files.find(folder) if first <= lab.name[:2] <= last}
        else:
            chosen |= set(files.find(folder, word))
    if not chosen:
        raise NotebookError(f"there are no labs in {folder}")
    return sorted(chosen)


class _Session:
    """Runs labs one after the other and tells the report and the reader of each."""

    def __init__(self, labs: list[Path], report: Report, console: Console, limit: float, pages: Path | None) -> None:
        self.results: list[Result] = []
        self.unwritten = ""  # why the report, or the index of pages, is not on the disk
        self._labs, self._report, self._console, self._limit, self._pages = labs, report, console, limit, pages

    def run_all(self, *, resume: bool) -> int:
        for number, lab in enumerate(self._labs, start=1):
            place = f"lab {number} of {len(self._labs)}"
            before = self._report.results.get(lab.name)
            if resume and before and before.covers(self._written(lab)):
                self.results.append(before)
                self._console.print(f"{place}  {lab.name}  ran before", highlight=False)
                continue
            try:
                self._one(lab, f"{place}  {lab.name}")
            except KeyboardInterrupt as stopped:
                self._write_index()
                return 128 + (stopped.args[0] if stopped.args else signal.SIGINT)
        self._write_index()
        return 1 if self.unwritten or any(result.outcome != RAN for result in self.results) else 0

    def _one(self, lab: Path, name: str) -> None:
        started = time.perf_counter()
        processor_before = processor_time_of_children()
        outcome, trouble, cells = INTERRUPTED, "", 0
        curve = MemoryCurve(memory_of_children, every=1.0)
        try:
            with curve:
                ran = self._run(lab, name)
            outcome, cells = RAN, ran.cells
        except (NotebookError, OSError) as error:
            trouble = str(error) if isinstance(error, NotebookError) else f"{lab.name} cannot be stored: {error}"
            outcome = FAILED
            print(f"labkit run: {trouble}\n", file=sys.stderr)
        finally:
            seconds = ran.seconds if outcome == RAN else time.perf_counter() - started
            memory = max((size for _, size in curve.points), default=0)
            processor = processor_time_of_children() - processor_before
            result = Result(lab.name, outcome, cells, seconds, processor, memory, trouble=trouble)
            self.results.append(result.after(self._written(lab)))
            try:
                self._report.add(self.results[-1])
            except NotebookError as error:
                self._could_not_write(str(error))
            self._console.print(f"{name}  {outcome}  {seconds:.1f} s", highlight=False)

    def _could_not_write(self, why: str) -> None:
        if not self.unwritten:  # a full disk is told once, not for every lab
            print(f"labkit run: {why}\n", file=sys.stderr)
        self.unwritten = why

    def _run(self, lab: Path, name: str) -> Ran:
        if self._pages is None:
            return run(lab, limit=self._limit, console=self._console, name=name)
        beside = [*self._with_pages(self._pages), *self._labs]
        return run_to_page(lab, self._pages, beside=beside, limit=self._limit, console=self._console, name=name)

    def _written(self, lab: Path) -> list[Path]:
        if self._pages is None:
            return [lab]
        from labkit.notebooks import pages

        return [lab, pages.path_of(lab, self._pages)]

    def _with_pages(self, folder: Path) -> list[Path]:
        """The labs whose pages are there, those of earlier calls too."""
        from labkit.notebooks import pages

        return [lab for lab in files.find(self._labs[0].parent) if pages.path_of(lab, folder).is_file()]

    def _write_index(self) -> None:
        if self._pages is None:
            return
        from labkit.notebooks import pages

        rows = []
        try:
            for lab in self._with_pages(self._pages):
                result = self._report.results.get(lab.name)
                # A later run that stored its outputs in the lab says nothing of the page.
                of_page = result and str(pages.path_of(lab, self._pages).resolve()) in result.files
                what = f"{result.outcome}, {result.seconds:.0f} s" if result and of_page else "of an earlier run"
                rows.append((lab, pages.title(files.read(lab), lab), what))
            pages.write_index(rows, self._pages)
        except (NotebookError, OSError) as error:
            self._could_not_write(f"the index of the pages cannot be written: {error}")


def _table(results: list[Result]) -> Table:
    table = Table("lab", "code cells", "seconds", "processor s", "peak MB")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in results:
        if one.outcome == RAN:
            table.add_row(
                one.lab, str(one.cells), f"{one.seconds:.1f}", f"{one.processor:.1f}", f"{one.memory / 1e6:.0f}"
            )
        else:
            table.add_row(one.lab, "", one.outcome, "", "")
    well = [one for one in results if one.outcome == RAN]
    if len(well) > 1:
        table.add_section()
        seconds, processor = sum(one.seconds for one in well), sum(one.processor for one in well)
        table.add_row("all", str(sum(one.cells for one in well)), f"{seconds:.1f}", f"{processor:.1f}", "")
    return table
