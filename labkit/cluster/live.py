"""What a cluster is doing, shown while somebody waits for it: a table that vanishes, or what the tasks print."""

import re
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from labkit import show
from labkit.cluster.task_process import TaskProcess

if TYPE_CHECKING:
    import pandas

_PATIENCE_SECONDS = 1.0  # what is done sooner needs no table
_EVERY_SECONDS = 0.5
_COLOURS = (36, 33, 35, 32, 34, 31, 96, 93, 95, 92)  # ANSI; the name is there as well
_RESET = "\x1b[0m"


class LiveView:
    """A context manager; `update` may be called as often as one likes."""

    def __init__(self, tasks: Iterable[TaskProcess], table: Callable[[], "pandas.DataFrame"], stream: bool) -> None:
        """Shows `table`, or with `stream` the lines that `tasks` have printed and go on to print."""
        self._tasks = list(tasks)
        self._table, self._stream = table, stream
        self._in_notebook = _runs_in_a_kernel()
        self._nobody_looks = not stream and not (_can_draw() and (show.is_watched() or not self._in_notebook))
        self._next = time.monotonic() + (0.0 if stream else _PATIENCE_SECONDS)
        self._shown_lines = 0  # in a terminal
        self._shown: Any = None  # in a notebook: what stands for the table there
        self._read: dict[Path, int] = {}  # bytes of each log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._stream:
            self._print_new_lines(at_the_end=True)
        else:
            self._take_away()

    def update(self) -> None:
        """Show how things are, if it is time to."""
        if self._nobody_looks or time.monotonic() < self._next:
            return  # nbval would keep every table
        self._next = time.monotonic() + _EVERY_SECONDS
        if self._stream:
            self._print_new_lines()
        elif self._in_notebook:
            from IPython.display import display

            if self._shown is None:
                self._shown = display(self._table(), display_id=True)
            else:
                self._shown.update(self._table())
        elif sys.stderr.isatty():
            text = self._table().to_string()
            self._take_away()
            print(text, file=sys.stderr, flush=True)
            self._shown_lines = text.count("\n") + 1

    def say(self, text: str) -> None:
        """Print what is no task's, between the lines that tasks print."""
        if self._stream:
            print("[labkit]", text, flush=True)

    def _take_away(self) -> None:
        if self._shown is not None:  # `clear_output` would take away what the cell has printed, too
            self._shown.update({"text/html": "", "text/plain": ""}, raw=True)
            self._shown = None
        if self._shown_lines:
            print(f"\x1b[{self._shown_lines}A\x1b[J", end="", file=sys.stderr, flush=True)
        self._shown_lines = 0

    def _print_new_lines(self, at_the_end: bool = False) -> None:
        colourful = self._in_notebook or sys.stdout.isatty()
        for number, task in enumerate(self._tasks):
            name = f"[{task.task}]"
            if colourful:
                name = f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{name}{_RESET}"
            for line in self._new_lines(task, at_the_end):
                print(name, line, flush=True)

    def _new_lines(self, task: TaskProcess, at_the_end: bool) -> list[str]:
        lines = []
        paths = task.log_paths()
        for path in paths:
            with open(path, "rb") as log:
                log.seek(self._read.get(path, 0))
                new = log.read()
            ended = at_the_end or path != paths[-1]  # of a task that was started again only the last log grows
            whole = new if ended else b"".join(new.rpartition(b"\n")[:2])
            self._read[path] = self._read.get(path, 0) + len(whole)
            lines += re.split("\r?\n", whole.decode(errors="replace").removesuffix("\n")) if whole else []
        return lines


def _can_draw() -> bool:
    return find_spec("pandas") is not None  # in the extra `cluster`; without it somebody waits without a table


def _runs_in_a_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
