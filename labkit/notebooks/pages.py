"""A lab that has run as one HTML file: pictures, styles and formulas inside, so it is read anywhere and offline."""

import copy
import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from labkit.notebooks import links
from labkit.notebooks.formulas import mathml

_SHELL = Path(__file__).with_name("page")


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, display=True)


class _Exporter(HTMLExporter):
    """The body of a page; formulas are drawn here, where nbconvert's pages fetch a program that does it."""

    @jinja2.pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        return MarkdownWithMath(renderer=_Renderer(escape=False, embed_images=True, path=path)).render(source)


def path_of(lab: Path, folder: Path) -> Path:
    """Where the page of a lab is written."""
    return folder / f"{lab.stem}.html"


def write(notebook: NotebookNode, lab: Path, folder: Path, *, beside: Iterable[Path] = (), note: str = "") -> Path:
    """Writes a lab's page.

    Args:
        notebook: the lab with its outputs.
        lab: its file, for its name and its figures.
        folder: where pages are; made if it is not there.
        beside: the labs that have or will have pages there; links to others become text.
        note: a line above everything else.

    Raises:
        NotebookError: a formula cannot be drawn.
    """
    known = {one.name for one in beside} | {lab.name}

    def page(target: str) -> str | None:
        name, mark, anchor = target.partition("#")
        return f"{Path(name).stem}.html{mark}{anchor}" if name in known else None

    shown = copy.deepcopy(notebook)
    links.change_in(shown, page)
    resources = {"metadata": {"path": str(lab.parent), "name": lab.stem}}
    body, _ = _Exporter(template_name="basic").from_notebook_node(shown, resources)
    return _put(path_of(lab, folder), title=title(notebook, lab), body=body, note=note)


def write_index(rows: Iterable[tuple[Path, str, str]], folder: Path) -> Path:
    """Writes the page that leads to all others.

    Args:
        rows: of each lab its file, its title, and what became of it.
    """
    lines = [
        f'<tr><td><a href="{path_of(lab, folder).name}">{html.escape(name)}</a></td><td>{html.escape(what)}</td></tr>'
        for lab, name, what in rows
    ]
    table = f"<table><tr><th>lab</th><th>result</th></tr>{''.join(lines)}</table>"
    return _put(folder / "index.html", title="Labs", body=f"<h1>Labs</h1>\n{table}", note="")


def title(notebook: NotebookNode, lab: Path) -> str:
    """A lab's own title, or its file's name if it has none."""
    headings = [cell.source for cell in notebook.cells if cell.cell_type == "markdown" and cell.source.startswith("# ")]
    return headings[0].partition("\n")[0].removeprefix("# ") if headings else lab.name


def _put(path: Path, **parts: str) -> Path:
    text = jinja2.Template((_SHELL / "page.html").read_text(encoding="utf-8")).render(style=_style(), **parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _style() -> str:
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    own = (_SHELL / "page.css").read_text(encoding="utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n.highlight {{ background: none }}\n{own}"
