"""What the site is made of: the labs and the documents, written anew so that every link leads somewhere."""

import copy
import posixpath
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labkit.notebooks import exercises, files, links

SHOWN = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
_INDEX = """# Labs

Real model servers, browsers, devices and clusters in Jupyter labs, on one laptop.

```{{toctree}}
:hidden:
:caption: Labs
{labs}
```

```{{toctree}}
:hidden:
:caption: Documents
{documents}
```

{table}
"""


class Sources:
    """The checkout at `root`, as the folder that Sphinx reads."""

    def __init__(self, root: Path, to: Path, labs: list[Path]) -> None:
        """Nothing is written yet.

        Args:
            root: the checkout.
            to: an empty folder.
            labs: those that become pages.
        """
        self._root, self._to, self._labs = root, to, labs
        documents = sorted((root / "docs").glob("*.md")) if (root / "docs").is_dir() else []
        self._documents = [root / name for name in SHOWN if (root / name).is_file()] + documents
        self._pages = {path.relative_to(root).as_posix() for path in [*labs, *self._documents]}

    def write(self) -> None:
        """Writes all pages, and the files that they show or offer."""
        for lab in self._labs:
            self._lab(lab)
        for document in self._documents:
            place = document.relative_to(self._root).as_posix()
            text = links.changed(document.read_text(encoding="utf-8"), self._in(place))
            self._put(place, text)
        for folder in ("labs/figures", "docs"):
            if (self._root / folder).is_dir():
                ignore = shutil.ignore_patterns("*.md", "style", "__pycache__", "work")
                shutil.copytree(self._root / folder, self._to / folder, dirs_exist_ok=True, ignore=ignore)
        self._put("index.md", self._index())

    def _lab(self, lab: Path) -> None:
        place = lab.relative_to(self._root).as_posix()
        notebook = with_folded_solutions(files.read(lab))
        links.change_in(notebook, self._in(place))
        offers = [f"{{download}}`this lab <{lab.name}.download/{lab.name}>`"]
        offers.append(f"{{download}}`its exercises to fill in <{lab.name}.download/exercises/{lab.name}>`")
        self._put(f"{place}.download/{lab.name}", lab.read_text(encoding="utf-8"))
        # Made anew: the one in labs/exercises may be filled in.
        student = exercises.student_copy(files.read(lab), lab)
        self._put(f"{place}.download/exercises/{lab.name}", files.text(student))
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell(f"To run: {' · '.join(offers)}", id="download"))
        self._put(place, files.text(notebook))

    def _in(self, place: str) -> Callable[[str], str | None]:
        """What becomes of a link in the page at `place`."""
        folder = posixpath.dirname(place)

        def change(target: str) -> str | None:
            path = links.resolved(target, folder)
            if path in self._pages:
                return target
            if not (self._root / path).is_file():
                return None  # a folder, or a lab that this site leaves out
            if path.startswith("docs/"):
                return target
            self._put(f"files/{path}.md", _as_page(path, self._root / path))
            return posixpath.relpath(f"files/{path}.md", folder or ".")

        return change

    def _index(self) -> str:
        rows = [f"| [{_title(lab)}](labs/{lab.name}) | {_subtitle(lab)} | {_minutes(lab)} |" for lab in self._labs]
        documents = [path.relative_to(self._root).with_suffix("").as_posix() for path in self._documents]
        return _INDEX.format(
            labs="\n".join(f"labs/{lab.stem}" for lab in self._labs),
            documents="\n".join(documents),
            table="\n".join(["| lab | what you will have at the end | time |", "|---|---|---|", *rows]),
        )

    def _put(self, place: str, text: str) -> None:
        path = self._to / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def with_folded_solutions(notebook: NotebookNode) -> NotebookNode:
    """The lab with each solution behind a line to press, and above it the cell as a student gets it."""
    shown = copy.deepcopy(notebook)
    shown.cells = []
    for cell in notebook.cells:
        cell = copy.deepcopy(cell)
        if cell.cell_type == "code" and (blank := exercises.blank(cell.source)) != cell.source:
            shown.cells.append(nbformat.v4.new_code_cell(blank, id=f"{cell.id}-blank"))
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-cell"]
            cell.metadata["mystnb"] = {"code_prompt_show": "A solution", "code_prompt_hide": "Hide the solution"}
        shown.cells.append(cell)
    return shown


def _as_page(path: str, file: Path) -> str:
    """A file of the checkout as a page of its own."""
    language = {".yml": "yaml", ".py": "python"}.get(file.suffix, "docker" if file.name == "Dockerfile" else "text")
    return f"---\norphan: true\n---\n\n# {path}\n\n`````{language}\n{file.read_text(encoding='utf-8')}\n`````\n"


def _title(lab: Path) -> str:
    return files.read(lab).cells[0].source.partition("\n")[0].removeprefix("# ")


def _subtitle(lab: Path) -> str:
    """The sentence below the title, without its links."""
    sentence = files.read(lab).cells[0].source.partition("\n")[2].strip().partition("\n\n")[0]
    return links.changed(sentence, lambda target: None).replace("\n", " ")


def _minutes(lab: Path) -> str:
    """As the lab says it itself, where it says what a reader needs."""
    texts = [cell.source for cell in files.read(lab).cells if cell.cell_type == "markdown"]
    return next((found[0] for text in texts if (found := re.search(r"\d+ minutes", text))), "")
