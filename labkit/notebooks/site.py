"""``labkit site``: the labs, with their stored outputs, and the documents as a site without a network or a server."""

import argparse
import io
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from labkit.errors import NotebookError, needs_extra
from labkit.notebooks import files
from labkit.notebooks.formulas import mathml
from labkit.notebooks.site_sources import Sources

_OWN_FILES = Path(__file__).with_name("site_files")
_SETTINGS = {
    "project": "labkit",
    "html_title": "labkit: the labs",
    "extensions": ["myst_nb", __name__],
    "html_theme": "furo",
    "html_math_renderer": "mathml",
    "html_static_path": [str(_OWN_FILES)],
    "html_css_files": ["labs.css"],
    "html_js_files": ["labs.js"],
    "html_copy_source": False,
    "html_use_index": False,
    "html_show_sphinx": False,
    "html_show_copyright": False,
    "language": "en",
    "templates_path": [],
    "exclude_patterns": ["**.download"],
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "myst_enable_extensions": ["dollarmath"],
    "myst_dmath_double_inline": True,
    "myst_heading_anchors": 4,
}


def build(labs: list[Path], to: Path) -> list[str]:
    """Builds the site of the checkout that the labs are in. Nothing is executed.

    Args:
        labs: those that become pages, in order.
        to: where the site is written; an older one is replaced when the new one is complete.

    Returns:
        What is wrong with it, such as a link that leads nowhere: one line each, empty if all is well.

    Raises:
        EnvironmentProblem: what builds the site is not installed.
        NotebookError: a lab cannot be read, a formula not drawn, or `to` holds something else.
    """
    with needs_extra("labkit site", "site"):
        import furo  # noqa: F401
        import myst_nb  # noqa: F401
        from sphinx.application import Sphinx
        from sphinx.util.console import nocolor
        from sphinx.util.docutils import docutils_namespace, patch_docutils
    to = to.resolve()  # a link stays one
    if to.exists() and not (to / "searchindex.js").is_file() and (to.is_file() or any(to.iterdir())):
        raise NotebookError(f"{to} is there and is no site that was built before; delete it, or choose another place")
    said = io.StringIO()
    nocolor()
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        for coming in (DeprecationWarning, PendingDeprecationWarning):  # Sphinx and its extensions, to each other
            warnings.simplefilter("ignore", coming)
        sources, doctrees, new = (Path(place).resolve() / name for name in ("sources", "doctrees", "site"))
        Sources(labs[0].parents[1], sources, labs).write()
        places = (sources, None, new, doctrees)
        with patch_docutils(), docutils_namespace():  # what extensions register is for this site only
            Sphinx(*places, "html", confoverrides=_SETTINGS, status=None, warning=said).build(force_all=True)
        if to.exists():
            shutil.rmtree(to)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(new, to)
    return [line.replace(f"{sources}/", "") for line in said.getvalue().splitlines() if line.strip()]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx: formulas become MathML, and languages that Pygments does not know stay as they are."""
    from docutils.nodes import SkipNode
    from pygments.lexers.special import TextLexer

    def inline(translator: Any, node: Any) -> None:
        translator.body.append(mathml(node.astext()))
        raise SkipNode

    def block(translator: Any, node: Any) -> None:
        translator.body.append(f'<div class="math">{mathml(node.astext(), display=True)}</div>')
        raise SkipNode

    for language in ("mermaid", "textproto"):
        app.add_lexer(language, TextLexer)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def main(argv: list[str]) -> int:
    """The command: 0 when the site is built, 1 when something in it is wrong."""
    parser = argparse.ArgumentParser("labkit site", description="Build the labs and documents as a static site.")
    parser.add_argument("--to", metavar="FOLDER", help="where it is written (default: build/site of this checkout)")
    arguments = parser.parse_args(argv)
    folder = files.labs_folder()
    labs = files.find(folder)
    if not labs:
        raise NotebookError(f"there are no labs in {folder}; `labkit site` needs a checkout")
    to = Path(arguments.to) if arguments.to else folder.parent / "build" / "site"
    wrong = build(labs, to)
    for line in wrong:
        print(f"labkit site: {line}", file=sys.stderr)
    print(f"The site is in {to}; open {to / 'index.html'}")
    return 1 if wrong else 0
