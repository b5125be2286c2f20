"""Style rules: what is written in cells."""

import re
from collections.abc import Iterator
from pathlib import Path

from labkit import checks
from labkit.notebooks.lab import Cell, Lab
from labkit.notebooks.style import cell_rule, lab_rule

LINES, LINES_OF_DEFINITION = 15, 25

_INSTALL = re.compile(r"^\s*[!%].*\b(pip|pip3|uv|conda|mamba|apt|apt-get|brew|npm)\b", re.MULTILINE)
_DOWNLOADS = re.compile(
    r"\b(get_file|urlretrieve|urlopen|fetch_openml|from_pretrained|load_dataset|wget|curl)\b"
    r"|\bdatasets\.\w+\.load_data\(|\btfds\.|\bhub\.(load|KerasLayer)\b|weights=[\"']imagenet"
    r"|\brequests\.\w+\(\s*f?[\"']https?://(?!127\.0\.0\.1|localhost)"
)
_ESCAPES = re.compile(r"^\s*#\s*(NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)", re.MULTILINE)


@lab_rule
def no_todo(lab: Lab) -> Iterator[str]:
    texts = {cell.where: cell.source for cell in lab.cells}
    own_checks = Path(checks.__file__).with_name(f"lab_{lab.number}.py")
    if own_checks.exists():
        texts[f"labkit/checks/{own_checks.name}"] = own_checks.read_text(encoding="utf-8")
    for where, text in texts.items():
        for line in re.findall(r"\bTODO\b.*", text):
            yield f"{where} is still to be written: {line[:60]!r}"


@cell_rule
def empty_cell(cell: Cell) -> Iterator[str]:
    if not cell.source.strip():
        yield "an empty cell; delete it"


@cell_rule
def cell_length(cell: Cell) -> Iterator[str]:
    lines = sum(1 for line in cell.source.splitlines() if line.strip())
    # Python's, or a script for a page, which is one function of JavaScript.
    defines = re.search(r"^\s*(async\s+def|def|class|export\s+default)\b", cell.source, re.MULTILINE)
    limit = LINES_OF_DEFINITION if defines else LINES
    if cell.is_code and lines > limit:
        yield f"{lines} lines of code; {limit} at most ({LINES}, with a definition {LINES_OF_DEFINITION}): split it"


@lab_rule
def text_before_code(lab: Lab) -> Iterator[str]:
    for before, cell in zip([None, *lab.cells], lab.cells, strict=False):
        if cell.is_code and (before is None or before.is_code):
            yield f"no text stands before {cell.where}; say what it is about to do or what was just seen"


@cell_rule
def no_install(cell: Cell) -> Iterator[str]:
    for line in _INSTALL.finditer(cell.source) if cell.is_code else ():
        yield f"installs something ({line[0].strip()[:40]!r}); what a lab needs belongs into the environment's lock"


@cell_rule
def no_download(cell: Cell) -> Iterator[str]:
    for call in _DOWNLOADS.finditer(cell.source) if cell.is_code else ():
        yield f"downloads something ({call[0][:40]!r}); labs run offline: use labkit.data, or make the data"


@cell_rule
def no_semicolon(cell: Cell) -> Iterator[str]:
    if cell.is_code and cell.source.rstrip().endswith(";"):
        yield "ends with ';', which hides the output from readers but not from the comparison; assign it to a name"


@cell_rule
def no_escape(cell: Cell) -> Iterator[str]:
    escapes = {match[1] for match in _ESCAPES.finditer(cell.source)} if cell.is_code else set()
    for escape in sorted(escapes | set(cell.node.metadata.get("tags", []))):
        yield f"{escape!r} takes the cell out of the comparison of outputs; make the output the same every time instead"


@cell_rule
def figure_alt(cell: Cell) -> Iterator[str]:
    if cell.is_code:
        return
    alts = re.findall(r"!\[([^\]]*)\]\(", cell.source)
    for image in re.findall(r"<img\b[^>]*>", cell.source):
        alts.append((re.search(r"""\balt=["']([^"']*)""", image) or [None, ""])[1])
    for alt in alts:
        if len(alt.split()) < 4:
            yield f"a figure's alternative text is {alt!r}; say in a sentence what it shows: ![sentence](figures/...)"


@lab_rule
def claim_has_reason(lab: Lab) -> Iterator[str]:
    for cell in lab.code:
        if re.search(r"^\s*assert\s+(True|1|not False)\b\s*(,|$)", cell.source, re.MULTILINE):
            yield f"{cell.where} asserts a constant; assert what the text says"
