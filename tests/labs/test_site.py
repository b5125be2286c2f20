"""The site, built once from all labs and documents: its links, its search, and how it fits a phone."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from nbformat import v4

from labkit.browser.devtools import Browser
from labkit.browser.find import find_browser
from labkit.browser.tab import Tab
from labkit.errors import EnvironmentProblem, NotebookError
from labkit.notebooks import files, site
from labkit.notebooks.exercises import student_copy
from labkit.notebooks.site_sources import with_folded_solutions

OUTSIDE = re.compile(r"([a-z][a-z0-9+.-]*:)?//|mailto:|data:")
PHONE = 360
# The theme cuts off what is too wide, so the page's own width says nothing: what stands out of the screen without a box
# that scrolls.
TOO_WIDE = """[...document.querySelectorAll("article *")].filter((one) => {
  if (one.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let box = one.parentElement; box.tagName !== "ARTICLE"; box = box.parentElement)
    if (/auto|scroll/.test(getComputedStyle(box).overflowX) && box.getBoundingClientRect().right <= innerWidth + 1)
      return false;
  return true;
}).map((one) => one.tagName + " " + one.className + " " + one.textContent.slice(0, 40))"""


class Page(HTMLParser):
    """The parts of a page that a test asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.without_alt = 0
        self.math = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.ids |= {has[name] for name in ("id", "name") if name in has}
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        elif "src" in has or (tag == "link" and "href" in has):
            self.loads.append(has.get("src") or has["href"])
        self.without_alt += tag == "img" and not has.get("alt")
        self.math += tag == "math"


@pytest.fixture(scope="module")
def labs(repository: Path) -> list[Path]:
    return files.find(repository / "labs")


@pytest.fixture(scope="module")
def built(labs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, without a warning: Sphinx warns of pages that it cannot find, of languages and of formulas."""
    to = tmp_path_factory.mktemp("site")
    assert site.build(labs, to) == []
    return to


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in built.rglob("*.html")}


@pytest.fixture(scope="module")
def phone(built: Path) -> Iterator[Tab]:
    """The site opened as a file on a narrow screen."""
    try:
        find_browser()
    except EnvironmentProblem as problem:
        if os.environ.get("LABKIT_CI") == "1":
            raise
        pytest.skip(str(problem))
    with Browser() as browser:
        yield browser.open((built / "index.html").as_uri(), width=PHONE, height=740)


def test_every_lab_and_document_has_a_page_that_the_index_leads_to(repository, labs, built, pages):
    index = pages[built / "index.html"].links
    documents = [repository / "README.md", *(repository / "docs").glob("*.md")]
    for source in [*labs, *documents]:
        page = source.relative_to(repository).with_suffix(".html").as_posix()
        assert page in index


def test_every_link_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            if OUTSIDE.match(link):
                continue
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file.partition("?")[0]).resolve() if file else path
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].ids):
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(built, pages):
    outside = [f"{path.name}: {load}" for path, page in pages.items() for load in page.loads if OUTSIDE.match(load)]
    assert not [one for one in outside if ": data:" not in one]
    for style in built.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_formulas_are_mathml_and_pictures_have_words(built, pages):
    assert pages[built / "labs" / "10_model_and_data_parallelism.html"].math > 40
    assert not [path.name for path, page in pages.items() if page.without_alt]


def test_a_file_of_the_checkout_that_a_document_links_to_is_a_page(built):
    assert "tensorflow-metal" in (built / "files" / "environment-apple-gpu.yml.html").read_text(encoding="utf-8")


def test_a_lab_can_be_downloaded_and_so_can_its_exercises(repository, built, pages):
    offered = [link for link in pages[built / "labs" / "01_export_a_model.html"].links if link.endswith(".ipynb")]
    there = {(built / "labs" / link).resolve().read_bytes() for link in offered}
    lab = repository / "labs" / "01_export_a_model.ipynb"
    assert {lab.read_bytes(), files.text(student_copy(files.read(lab), lab)).encode()} <= there


def test_solutions_are_folded_below_the_cell_to_fill_in():
    source = "# solution\nx = 3\n# end of solution\ncheck('01.1', x)"
    text, blank, solved = with_folded_solutions(
        v4.new_notebook(cells=[v4.new_markdown_cell("# 01"), v4.new_code_cell(source)])
    ).cells
    assert text.source == "# 01"
    assert blank.source == "x = ...\ncheck('01.1', x)"
    assert solved.source == source
    assert solved.metadata["tags"] == ["hide-cell"]


def test_no_page_is_wider_than_a_phone_and_none_asks_another_host(built, pages, phone):
    wide = []
    for path in pages:
        phone.go_to(path.as_uri())
        wide += [f"{path.relative_to(built)}: {one}" for one in phone.evaluate(TOO_WIDE)]
    assert not wide
    assert not [address for address in phone.requests if not address.startswith(("file:", "data:"))]


def test_search_works_from_a_file(built, phone):
    phone.go_to(f"{(built / 'search.html').as_uri()}?q=incast")
    phone.wait_for("document.querySelector('#search-results li a')")
    found = phone.evaluate("[...document.querySelectorAll('#search-results li a')].map((a) => a.getAttribute('href'))")
    assert {link.partition("?")[0].partition("#")[0] for link in found} == {"labs/12_bandwidth.html"}
    assert not phone.console


@pytest.fixture
def small(tmp_path: Path) -> Callable[[str], list[Path]]:
    """Writes a checkout with one lab of one text cell."""

    def write(text: str) -> list[Path]:
        (tmp_path / "labs").mkdir()
        lab = tmp_path / "labs" / "01_try.ipynb"
        files.write(lab, v4.new_notebook(cells=[v4.new_markdown_cell(f"# 01 · Try\n\n{text}")]))
        return [lab]

    return write


@pytest.mark.parametrize("formula", [r"\nosuch{x}", r"x^1^2"])
def test_a_formula_that_cannot_be_drawn_is_told(small, tmp_path, formula):
    with pytest.raises(NotebookError, match="cannot be drawn"):
        site.build(small(f"${formula}$"), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_an_older_site_is_replaced_and_other_things_are_not(small, tmp_path):
    labs = small("Words, and a lab that is left out: [two](02_b.ipynb).")
    assert site.build(labs, tmp_path / "site") == []
    (tmp_path / "site" / "gone.html").write_text("", encoding="utf-8")
    assert site.build(labs, tmp_path / "site") == []
    assert not (tmp_path / "site" / "gone.html").exists()
    assert "02_b" not in (tmp_path / "site" / "labs" / "01_try.html").read_text(encoding="utf-8")
    with pytest.raises(NotebookError, match="no site that was built before"):
        site.build(labs, tmp_path / "labs")
    assert labs[0].exists()


def test_a_link_to_a_site_stays_a_link_and_its_site_is_replaced(small, tmp_path):
    labs, published = small("Words."), tmp_path / "published"
    published.mkdir()
    (tmp_path / "site").symlink_to(published, target_is_directory=True)
    for _ in range(2):
        assert site.build(labs, tmp_path / "site") == []
        assert (tmp_path / "site").is_symlink()
        assert (published / "index.html").is_file()
        assert not (published / "site").exists()


def test_what_sphinx_warns_of_is_told(small, tmp_path, monkeypatch):
    real = tmp_path / "private"
    real.mkdir()
    (tmp_path / "var").symlink_to(real, target_is_directory=True)  # as on macOS
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "var"))
    (wrong,) = site.build(small("Words.\n\n[nowhere](#nothing)"), tmp_path / "site")
    assert wrong.startswith("labs/01_try.ipynb")
    assert "nothing" in wrong
