"""Labs as files: finding them, reading them, writing them so that the same lab is the same file on every machine."""

import copy
import hashlib
import os
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labkit import checkout
from labkit.errors import NotebookError

LAB_NAME = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")


def labs_folder(folder: str | Path | None = None) -> Path:
    """The folder with the labs: the one given, else ``labs`` of the checkout.

    Raises:
        EnvironmentProblem: there is no checkout.
        NotebookError: the one given is not there.
    """
    if folder is None:
        return checkout.root() / "labs"
    if not Path(folder).is_dir():
        raise NotebookError(f"there is no folder {folder}; say where the labs are: --folder=FOLDER")
    return Path(folder)


def find(folder: Path, number: str = "all") -> list[Path]:
    """The labs in `folder`, in order.

    Args:
        number: ``"all"``, or one lab's number (``"01"``, ``"1"``).

    Raises:
        NotebookError: there is no such lab.
    """
    labs = sorted(path for path in folder.glob("*.ipynb") if LAB_NAME.fullmatch(path.name))
    if number == "all":
        return labs
    chosen = [path for path in labs if number and path.name.startswith(f"{number:0>2}_")]
    if not chosen:
        known = ", ".join(path.name[:2] for path in labs) or "none"
        raise NotebookError(f"there is no lab {number!r} in {folder}; the labs there are: {known}")
    return chosen


def read(path: Path) -> NotebookNode:
    """Reads a notebook.

    Raises:
        NotebookError: the file is no notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises whatever its JSON reader or its validator raises
        raise NotebookError(f"{path} cannot be read as a notebook: {error}") from error


def write(path: Path, notebook: NotebookNode) -> None:
    """Scrubs the notebook and puts it in place in one step."""
    scrub(notebook)
    put(path, text(notebook))


def put(path: Path, content: str) -> None:
    """Writes a file in one step: it is the old one or the new one, never half, after a power cut too."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, or ``missing`` where there is none to read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"


def text(notebook: NotebookNode) -> str:
    """The notebook as the text of its file.

    Raises:
        NotebookError: it breaks the notebook format.
    """
    try:
        return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"
    except nbformat.ValidationError as error:
        raise NotebookError(f"this is no valid notebook: {error}") from error


def scrubbed(notebook: NotebookNode) -> NotebookNode:
    """A scrubbed copy; see `scrub`."""
    clean = copy.deepcopy(notebook)
    scrub(clean)
    return clean


def scrub(notebook: NotebookNode) -> None:
    """Removes what depends on the machine, the time or the Python version: timestamps, widget state, versions.

    Tags stay. Cell ids stay; a missing or repeated one is made from the cell's place and text.
    """
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: set[str] = set()
    for index, cell in enumerate(notebook.cells):
        if cell.get("id", "") in seen | {""}:
            cell.id = hashlib.sha256(f"{index}\n{cell.source}".encode()).hexdigest()[:8]
        seen.add(cell.id)
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
