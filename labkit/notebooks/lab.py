"""A lab as its style rules see it: cells with a place that a person can find, grouped in sections."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nbformat import NotebookNode

from labkit.notebooks import files

_PICTURE = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        node: the cell as stored.
        number: place among the code cells, from 1, which is its execution count in a lab that ran; 0 for text.
    """

    node: NotebookNode
    number: int

    @property
    def is_code(self) -> bool:
        return self.node.cell_type == "code"

    @property
    def source(self) -> str:
        return self.node.source

    @property
    def outputs(self) -> list[NotebookNode]:
        return self.node.get("outputs", [])

    @property
    def where(self) -> str:
        """How a message names the cell: ``cell [3]`` or ``text 'You will make'``."""
        if self.is_code:
            return f"cell [{self.number}]"
        first = next((line for line in self.source.splitlines() if line.strip()), "(empty)")
        return f"text {first[:50]!r}"

    @property
    def printed(self) -> str:
        """Everything textual that the cell's outputs hold; pictures left out."""
        texts = []
        for output in self.outputs:
            texts.append(output.get("text", ""))
            data = output.get("data", {})
            texts += [data[kind] for kind in ("text/plain", "text/html", "text/markdown") if kind in data]
        return _PICTURE.sub("", "\n".join(texts))


@dataclass(frozen=True)
class Section:
    """A ``## `` heading and the cells under it, the heading's own cell first."""

    title: str
    cells: list[Cell] = field(default_factory=list)

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_code]

    @property
    def text(self) -> str:
        return "\n\n".join(cell.source for cell in self.cells if not cell.is_code)


class Lab:
    """A lab that was read.

    Args:
        path: its file.

    Raises:
        NotebookError: the file is no notebook.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notebook = files.read(path)
        self.number = path.name[:2]

    @cached_property
    def cells(self) -> list[Cell]:
        cells, number = [], 0
        for node in self.notebook.cells:
            number += node.cell_type == "code"
            cells.append(Cell(node, number if node.cell_type == "code" else 0))
        return cells

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_code]

    @property
    def text(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.is_code]

    @cached_property
    def opening(self) -> str:
        """The text before the first code cell."""
        texts = []
        for cell in self.cells:
            if cell.is_code:
                break
            texts.append(cell.source)
        return "\n\n".join(texts)

    @cached_property
    def sections(self) -> list[Section]:
        """The ``## `` sections in order; a text cell with several headings is in each of their sections."""
        found: list[Section] = []
        for cell in self.cells:
            titles = [] if cell.is_code else re.findall(r"^## +(.+?)\s*$", cell.source, re.MULTILINE)
            for title in titles:
                found.append(Section(title, [cell]))
            if found and not titles:
                found[-1].cells.append(cell)
        return found

    def section(self, title: str) -> Section | None:
        return next((section for section in self.sections if section.title.lower() == title.lower()), None)

    @cached_property
    def parts(self) -> list[Section]:
        """The numbered sections, ``## 1 · ...``."""
        return [section for section in self.sections if re.match(r"\d+ · ", section.title)]

    def exercises(self) -> Iterator[tuple[str, list[Cell]]]:
        """Each exercise's number as its heading gives it, with the cells under that heading."""
        section = self.section("Exercises")
        number = ""
        cells: list[Cell] = []
        for cell in section.cells if section else ():
            heading = None if cell.is_code else re.search(r"^### Exercise (\S+)", cell.source, re.MULTILINE)
            if heading and number:
                yield number, cells
            if heading:
                number, cells = heading[1].rstrip(":."), []
            cells.append(cell)
        if number:
            yield number, cells
