"""Style rules: what is stored as output, so that comparing it means something on every machine."""

import ast
import re
from collections.abc import Iterable, Iterator

from labkit.notebooks.lab import Cell, Lab
from labkit.notebooks.style import cell_rule, lab_rule

MEASURED = re.compile(r"\d (?:ms|MiB)\b")
"""What `labkit.show.milliseconds` and `labkit.show.memory` print, and tests/labs/sanitize.cfg blanks."""

_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|var|opt|usr|mnt|work|private)/[\w./-]*|\b[A-Z]:\\\w+")
_PORT = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1?\]|0\.0\.0\.0):\d+|\bport[ =:]+\d+", re.IGNORECASE)
_PROCESS = re.compile(r"\bpid[ =:]+\d+", re.IGNORECASE)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}|<[\w. ]+ 0x[0-9a-fA-F]{6,}")
_CLOCK = re.compile(r"\b\d{1,2}:\d\d:\d\d\b|\b20\d\d-\d\d-\d\d\b")
_TIME = re.compile(r"\d[\d.,]*(?: ?(?:s|sec|secs|seconds?|µs|us|ns|m?s/step)|ms)\b", re.IGNORECASE)


@lab_rule
def execution_counts(lab: Lab) -> Iterator[str]:
    counts = [cell.node.get("execution_count") for cell in lab.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}: no single clean run; use labkit run {lab.number}"


@cell_rule
def output_stored(cell: Cell) -> Iterator[str]:
    if cell.is_code and not cell.outputs and _shows(cell.source):
        yield "prints or shows something, but no output is stored, so nothing would be compared; use labkit run"


def _shows(source: str) -> bool:
    """Whether running the cell must leave an output, as far as its text tells."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # magics
        return False
    last = statements[-1] if statements else None
    return _is_value(last) or any(_prints(statement) for statement in _always_run(statements))


def _is_value(statement: ast.stmt | None) -> bool:
    """A last line that Jupyter shows. A call may return None; those of labkit's tables and figures do not."""
    if not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Await | ast.Constant):
        return False
    if isinstance(statement.value, ast.Call):
        return ast.unparse(statement.value.func).startswith(("show.", "plot."))
    return True


def _always_run(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in statements:
        yield statement
        if isinstance(statement, ast.With):
            yield from _always_run(statement.body)


def _prints(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    function = call.func if isinstance(call, ast.Call) else None
    return isinstance(function, ast.Name) and function.id in {"print", "display", "check", "hint"}


@cell_rule
def one_output(cell: Cell) -> Iterator[str]:
    if len(cell.outputs) > 1:
        kinds = ", ".join(output.output_type for output in cell.outputs)
        yield f"has {len(cell.outputs)} outputs ({kinds}); one a cell: split the cell or put it into one table"


@cell_rule
def no_error(cell: Cell) -> Iterator[str]:
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"stores an error ({output.get('ename')}); catch it by its type and print type and message"


@cell_rule
def no_stderr(cell: Cell) -> Iterator[str]:
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stderr":
            yield f"writes to stderr ({output.text[:60]!r}); find out why, and stop it at its source"


@cell_rule
def no_widget(cell: Cell) -> Iterator[str]:
    for output in cell.outputs:
        if any("widget" in kind for kind in output.get("data", {})):
            yield "stores a widget, which is empty in a file and never compared; show a table or a picture"


@cell_rule
def picture_alt(cell: Cell) -> Iterator[str]:
    for output in cell.outputs:
        data = output.get("data", {})
        html = data.get("text/html", "")
        bare = [image for image in re.findall(r"<img\b[^>]*>", html) if not re.search(r'\balt="[^"]', image)]
        if bare or ("<img" not in html and any(kind.startswith("image/") for kind in data)):
            yield "shows a picture without alternative text; draw it with labkit.plot, which asks for it"


@cell_rule
def no_path(cell: Cell) -> Iterator[str]:
    yield from _forbidden(cell, _PATH, "a path of this machine; print it relative to the lab, or its name only")


@cell_rule
def no_port(cell: Cell) -> Iterator[str]:
    yield from _forbidden(cell, _PORT, "a port, which is another one on each run; leave it out")


@cell_rule
def no_process(cell: Cell) -> Iterator[str]:
    yield from _forbidden(cell, _PROCESS, "a process id, which is another one on each run; leave it out")


@cell_rule
def no_address(cell: Cell) -> Iterator[str]:
    yield from _forbidden(cell, _ADDRESS, "a memory address; print what matters about the object instead")


@cell_rule
def no_clock(cell: Cell) -> Iterator[str]:
    yield from _forbidden(cell, _CLOCK, "a date or time of day; leave it out")


@cell_rule
def no_bare_time(cell: Cell) -> Iterator[str]:
    yield from _forbidden(cell, _TIME, "a measured time in a form of its own; print it with show.milliseconds(seconds)")


def _forbidden(cell: Cell, pattern: re.Pattern[str], what: str) -> Iterator[str]:
    match = pattern.search(cell.printed)
    if match:
        yield f"the output has {match[0]!r}, {what}"


@lab_rule
def measured_beside_claim(lab: Lab) -> Iterator[str]:
    code = lab.code
    for cell, following in zip(code, [*code[1:], None], strict=True):
        beside = cell.source + "\n" + (following.source if following else "")
        if MEASURED.search(cell.printed) and not re.search(r"^\s*assert\b", beside, re.MULTILINE):
            yield (
                f"{cell.where} shows a measured number, which the comparison of outputs blanks; "
                "assert what is true of it in this cell or the next"
            )
