"""``labkit run NN|all``: runs labs in fresh kernels and stores their outputs. The only way outputs get into a lab."""

import argparse
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from labkit.errors import NotebookError
from labkit.notebooks import exercises, files

LIMIT = 90.0
"""Seconds that one lab may take."""


@dataclass(frozen=True)
class Ran:
    """One lab that ran: its file, its number of code cells, and the seconds it took."""

    lab: Path
    cells: int
    seconds: float


class ThisPython(KernelSpecManager):
    """Knows one kernel: the Python that runs this, whatever kernels are registered on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        from ipykernel.kernelspec import RESOURCES, get_kernel_dict

        kernel = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
        kernel.argv = [*kernel.argv, "--log-level=CRITICAL"]  # it warns that it talks over plain TCP; that is loopback
        return kernel


def run(lab: Path, *, limit: float = LIMIT, console: Console | None = None) -> Ran:
    """Runs one lab in a fresh kernel, stores its outputs and writes its exercise copy.

    Args:
        lab: the notebook; it runs in its own folder and is only written when all went well.
        limit: seconds it may take.
        console: where the progress bar is drawn while it runs; none if it is not a terminal.

    Raises:
        NotebookError: a cell failed, the kernel died, or the lab took longer than `limit`.
    """
    notebook = files.read(lab)
    started = time.perf_counter()
    execute(notebook, lab.parent, name=lab.name, limit=limit, console=console)
    seconds = time.perf_counter() - started
    if seconds > limit:
        raise NotebookError(f"{lab.name} took {seconds:.0f} s, longer than its limit of {limit:g} s; {_SHORTER}")
    student = exercises.student_copy(notebook, lab)
    files.write(lab, notebook)
    exercises.write(student, lab)
    return Ran(lab, len(_code_cells(notebook)), seconds)


def execute(
    notebook: NotebookNode, folder: Path, *, name: str, limit: float = LIMIT, console: Console | None = None
) -> None:
    """Runs the notebook in `folder` in a fresh kernel of this environment and puts the outputs into it.

    Raises:
        NotebookError: a cell failed, the kernel died, or the time was up. The message has the cell and its text.
    """
    deadline = time.perf_counter() + limit
    code_cells = _code_cells(notebook)
    position = {cell.get("id", ""): number for number, cell in enumerate(code_cells, start=1)}
    running = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[cell]}"), TimeElapsedColumn())
    drawn = console is not None and console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not drawn) as progress:
        bar = progress.add_task(name, total=len(code_cells), cell="starting")

        def starting(cell: NotebookNode, cell_index: int) -> None:
            nonlocal running
            running = position.get(cell.get("id", ""), running + 1)
            first_line = cell.source.partition("\n")[0]
            progress.update(bar, completed=running - 1, cell=f"cell {running}/{len(code_cells)}: {first_line[:40]}")

        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython()),
            resources={"metadata": {"path": str(folder)}},
            timeout_func=lambda cell: max(1, deadline - time.perf_counter()),
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            on_cell_execute=starting,
        )
        try:
            # A manager that is passed in is otherwise left running; outputs are those of a machine without GPUs.
            client.execute(cleanup_kc=True, env=os.environ | {"LABKIT_GPU": "0"})
        except (CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
            source = code_cells[running - 1].source if running else "(no cell had started)"
            raise NotebookError(_what_failed(error, f"{name}, cell {running}", source, limit)) from error


def _what_failed(error: Exception, place: str, source: str, limit: float) -> str:
    cell = "\n".join(f"    {line}" for line in source.splitlines())
    if isinstance(error, CellExecutionError):
        traceback = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback).strip()
        return f"{place} raised {error.ename}: {error.evalue}\n\n{traceback}"
    if isinstance(error, CellTimeoutError):
        return f"{place} was still running when the lab passed its limit of {limit:g} s; {_SHORTER}\n\n{cell}"
    return f"{place}: the kernel stopped ({error})\n\n{cell}"


_SHORTER = "use less data or fewer steps, or give a slow machine more time with --limit=SECONDS"


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that a kernel runs: it passes over empty ones."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def main(argv: list[str]) -> int:
    """The command: 0 when every lab ran and was stored, 1 when one was not, 2 when the arguments are wrong."""
    parser = argparse.ArgumentParser("labkit run", description="Run labs in fresh kernels and store their outputs.")
    parser.add_argument("lab", metavar="NN|all", help="the lab's number, or all")
    parser.add_argument("--folder", help="the folder with the labs (default: labs/ of this checkout)")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a lab may take (default: %(default)g)")
    arguments = parser.parse_args(argv)
    console = Console(stderr=True)
    ran: list[Ran] = []
    failures: list[str] = []
    try:
        labs = files.find(files.labs_folder(arguments.folder), arguments.lab)
    except NotebookError as error:
        print(f"labkit run: {error}", file=sys.stderr)
        return 1
    for lab in labs:
        try:
            ran.append(run(lab, limit=arguments.limit, console=console))
        except NotebookError as error:
            failures.append(lab.name)
            print(f"labkit run: {error}\n", file=sys.stderr)
    Console().print(_times(ran, failures))
    return 1 if failures else 0


def _times(ran: list[Ran], failures: list[str]) -> Table:
    table = Table("lab", "code cells", "seconds")
    table.columns[1].justify = table.columns[2].justify = "right"
    rows: dict[str, tuple[Any, ...]] = {one.lab.name: (one.cells, f"{one.seconds:.1f}") for one in ran}
    rows |= dict.fromkeys(failures, ("", "failed"))
    for name in sorted(rows):
        table.add_row(name, *map(str, rows[name]))
    if len(ran) > 1:
        table.add_section()
        table.add_row("all", str(sum(one.cells for one in ran)), f"{sum(one.seconds for one in ran):.1f}")
    return table
