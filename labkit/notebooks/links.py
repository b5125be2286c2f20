"""The links in a lab's text cells and in documents, for those who write them to another place."""

import posixpath
import re
from collections.abc import Callable

from nbformat import NotebookNode

_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|#")


def changed(text: str, change: Callable[[str], str | None]) -> str:
    """A Markdown text with other targets in its links to files. Pictures, addresses and code stay.

    Args:
        change: gives the new target for a target; None leaves the link's text without a link.
    """

    def one(link: re.Match[str]) -> str:
        if _OUTSIDE.match(link["target"]):
            return link[0]
        target = change(link["target"])
        return link["text"] if target is None else f"[{link['text']}]({target})"

    parts = _CODE.split(text)
    held = {f"\0{number}\0": part for number, part in enumerate(parts) if number % 2}
    text = "".join(f"\0{number}\0" if number % 2 else part for number, part in enumerate(parts))
    text = _LINK.sub(one, text)
    for mark, code in held.items():
        text = text.replace(mark, code)
    return text


def change_in(notebook: NotebookNode, change: Callable[[str], str | None]) -> None:
    """The same for all text cells of a notebook, in place."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = changed(cell.source, change)


def resolved(target: str, folder: str) -> str:
    """The path that a link in a file of `folder` leads to, seen from the checkout."""
    return posixpath.normpath(posixpath.join(folder, target.partition("#")[0]))
