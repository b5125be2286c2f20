"""Running a notebook in a fresh kernel of this environment: no other kernel, an end in time, and a clean one."""

import asyncio
import contextlib
import os
import re
import signal
import time
from typing import Any, cast

import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from labkit.errors import NotebookError

LIMIT = 90.0
"""Seconds that one lab may take."""


class ThisPython(KernelSpecManager):
    """Knows one kernel: the Python that runs this, whatever kernels are registered on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        from ipykernel.kernelspec import RESOURCES, get_kernel_dict

        kernel = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
        kernel.argv = [*kernel.argv, "--log-level=CRITICAL"]  # it warns that it talks over plain TCP; that is loopback
        return kernel


class _Client(NotebookClient):
    """A client that is cancelled by a signal. Its base ends the kernel, and then trips over a kernel that is gone."""

    stopped_by: int | None = None

    async def run(self, **kwargs: Any) -> None:
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            await self.async_execute(cleanup_kc=True, **kwargs)  # a manager that is passed in is otherwise left running
        except (asyncio.CancelledError, DeadKernelError):  # in a cell, the base takes the one for the other
            if self.stopped_by is None:
                raise
            for watching in asyncio.all_tasks() - {self._task}:  # whether the kernel lives
                watching.cancel()
            raise KeyboardInterrupt(self.stopped_by) from None

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Called right after the base has put its handlers in place; these replace them."""
        with contextlib.suppress(RuntimeError):  # not in a main thread, or Windows
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self._stop, number)
        await super().async_start_new_kernel(**kwargs)

    def _stop(self, number: int) -> None:
        if self.stopped_by is None:  # a second one would interrupt the end of the kernel, which takes seconds at most
            self.stopped_by = number
            self._task.cancel()


def execute(
    notebook: NotebookNode,
    folder: os.PathLike[str],
    *,
    name: str,
    limit: float = LIMIT,
    console: Console | None = None,
    title: str = "",
) -> None:
    """Runs the notebook in `folder` in a fresh kernel of this environment and puts the outputs into it.

    Args:
        notebook: its outputs are replaced, cell by cell.
        folder: where the kernel runs.
        name: how messages call the notebook.
        limit: seconds it may take.
        console: where the progress bar is drawn while it runs; none if it is not a terminal.
        title: what stands beside the bar; `name` by default.

    Raises:
        KeyboardInterrupt: Ctrl-C, or SIGTERM; its argument is the signal. The kernel has ended.
        NotebookError: a cell failed, the kernel died, or the time was up. The message has the cell and its text.
    """
    deadline = time.perf_counter() + limit
    cells = code_cells(notebook)
    position = {cell.get("id", ""): number for number, cell in enumerate(cells, start=1)}
    running = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[cell]}"), TimeElapsedColumn())
    drawn = console is not None and console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not drawn) as progress:
        bar = progress.add_task(title or name, total=len(cells), cell="starting")

        def starting(cell: NotebookNode, cell_index: int) -> None:
            nonlocal running
            running = position.get(cell.get("id", ""), running + 1)
            first_line = cell.source.partition("\n")[0]
            progress.update(bar, completed=running - 1, cell=f"cell {running}/{len(cells)}: {first_line[:40]}")

        manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
        client = _Client(
            notebook,
            km=manager,
            resources={"metadata": {"path": str(folder)}},
            timeout_func=lambda cell: max(1, deadline - time.perf_counter()),
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            on_cell_execute=starting,
        )
        try:
            run_sync(_run_and_end)(client, manager)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
            source = cells[running - 1].source if running else "(no cell had started)"
            raise NotebookError(_what_failed(error, f"{name}, cell {running}", source, limit)) from error


async def _run_and_end(client: _Client, manager: AsyncKernelManager) -> None:
    try:
        await client.run(env=os.environ | {"LABKIT_GPU": "0"})  # outputs are those of a machine without GPUs
    finally:
        if manager.has_kernel:  # it was still starting
            await manager.shutdown_kernel(now=True)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that a kernel runs: it passes over empty ones."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def memory_of_children() -> int:
    """Bytes of memory of all processes below this one; what they share with others is shared out among all that do."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended, or is not ours to look at
            total += _memory(process)
    return total


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (AttributeError, psutil.AccessDenied):  # only Linux knows shares; elsewhere shared memory counts in each
        return int(process.memory_info().rss)


def processor_time_of_children() -> float:
    """Seconds of processor time that processes below this one took, of those that have ended; 0 on Windows."""
    times = os.times()  # psutil does not know it on macOS
    return times.children_user + times.children_system


def _what_failed(error: Exception, place: str, source: str, limit: float) -> str:
    cell = "\n".join(f"    {line}" for line in source.splitlines())
    if isinstance(error, CellExecutionError):
        traceback = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback).strip()
        return f"{place} raised {error.ename}: {error.evalue}\n\n{traceback}"
    if isinstance(error, CellTimeoutError):
        return f"{place} was still running when the lab passed its limit of {limit:g} s; {SHORTER}\n\n{cell}"
    return f"{place}: the kernel stopped ({error})\n\n{cell}"


SHORTER = "use less data or fewer steps, or give a slow machine more time with --limit=SECONDS"
