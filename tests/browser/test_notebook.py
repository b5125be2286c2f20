"""Pages inside JupyterLab itself: opened in a real browser, run by keyboard, drawn on with the mouse."""

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import requests

from labkit import processes
from labkit.browser import show
from labkit.browser.devtools import Browser
from labkit.browser.tab import Tab
from labkit.errors import BrowserError
from labkit.waiting import wait_until

pytestmark = pytest.mark.usefixtures("browser_is_here")
ABOUT = {"classes": list("0123456789"), "examples": [{"label": 1, "ink": [0, 0, 0, 16, 16, 0, 0, 0] * 8}]}
CELL = """\
import json, pathlib
from labkit.browser import show
page = show("draw", files={{"model": "model"}}, about=json.loads(pathlib.Path("about.json").read_text()),
            alt="A page to draw a digit on.", height=700, through={way!r})
page
"""
WAYS = (None, "proxy", "widget")
READY = "page().querySelector('.labkit')?.getAttribute('aria-busy') === 'false'"


@pytest.fixture(scope="module")
def notebook(browser: Browser, tmp_path_factory: pytest.TempPathFactory, drawings_web: Path) -> Iterator[Tab]:
    """A notebook in a JupyterLab of its own, with one cell for each way to show a page, its kernel ready."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "model").symlink_to(drawings_web)
    (folder / "about.json").write_text(json.dumps(ABOUT))
    cells = [nbformat.v4.new_code_cell(CELL.format(way=way)) for way in WAYS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "pages.ipynb")
    settings = ["--no-browser", "--allow-root", "--ServerApp.port=0", f"--ServerApp.root_dir={folder}"]
    places = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    with processes.start([sys.executable, "-m", "jupyterlab", *settings], name="jupyterlab", env=places) as server:
        address = r"http://127\.0\.0\.1:(\d+)/lab\?token=(\w+)"
        port, token = server.wait_for_log(address, timeout=60).groups()
        tab = browser.open(f"http://127.0.0.1:{port}/lab/tree/pages.ipynb?token={token}", width=1400, height=1100)
        tab.wait_for("document.body.innerText.includes('(ipykernel) | Idle')", timeout=60)
        yield tab


class PageInNotebook:
    """The page under one cell, wherever it is: in a frame of another origin, of the same, or in a shadow root."""

    def __init__(self, tab: Tab, number: int) -> None:
        """The cell was run, and the page under it is ready."""
        self.tab = tab
        # JupyterLab takes cells that are out of sight out of the document; their numbers stay.
        self.selector = f".jp-Cell[data-windowed-list-index='{number}']"
        self.cell = cell = f'document.querySelector("{self.selector}")'
        wait_until(self._enter)
        tab.key("Enter", shift=True)
        tab.wait_for(f"{cell}.querySelector('.jp-OutputArea-output') !== null", timeout=60)
        self.frame = tab.evaluate(f"{cell}.querySelector('iframe')?.src ?? ''")
        if self.frame:
            tab.evaluate(f"{cell}.querySelector('iframe').scrollIntoView({{block: 'center'}})")
            self.left, self.top = tab.evaluate(
                f"(() => {{ const r = {cell}.querySelector('iframe').getBoundingClientRect(); return [r.x, r.y]; }})()"
            )
        else:
            self.left = self.top = 0
        self.wait_for(READY)

    def _enter(self) -> object:
        """Whether the keyboard is in the cell after a click there: JupyterLab takes a moment to make its editors."""
        self.tab.click(f"{self.selector} .jp-InputArea-editor")
        return self.tab.evaluate(f"document.activeElement.closest('.jp-Cell') === {self.cell}")

    def evaluate(self, expression: str) -> object:
        """What an expression gives in which `page()` is the document, or the shadow root, of the page."""
        if not self.frame:
            # JupyterLab's own buttons have shadow roots, too.
            inside = "element.shadowRoot?.querySelector('.labkit')"
            root = f"[...{self.cell}.querySelectorAll('*')].find((element) => {inside})?.shadowRoot"
            return self.tab.evaluate(f"(() => {{ const page = () => {root} ?? document; return {expression}; }})()")
        frames = self.tab.send("Page.getFrameTree")["frameTree"]["childFrames"]
        frame = next((one["frame"]["id"] for one in frames if one["frame"]["url"] == self.frame), None)
        if frame is None:
            return None  # the frame is there, but has not left for its address yet
        world = self.tab.send("Page.createIsolatedWorld", {"frameId": frame})["executionContextId"]
        code = {"expression": f"(() => {{ const page = () => document; return {expression}; }})()", "contextId": world}
        return self.tab.send("Runtime.evaluate", code | {"returnByValue": True})["result"].get("value")

    def wait_for(self, expression: str) -> None:
        wait_until(lambda: self.evaluate(expression), timeout=30)

    def draw_a_one(self) -> None:
        """One stroke from top to bottom, in the middle of the paper."""
        x, y, width, height = self.evaluate(
            "(() => { const c = page().querySelector('canvas'); c.scrollIntoView({block: 'nearest'});"
            " const r = c.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()"
        )
        middle = self.left + x + width / 2
        self.tab.drag([(middle, self.top + y + height * share) for share in (0.15, 0.3, 0.5, 0.7, 0.85)])


@pytest.mark.parametrize("number", range(3), ids=["direct", "proxy", "widget"])
def test_a_page_in_jupyterlab_is_drawn_on_and_answers(notebook: Tab, number: int) -> None:
    page = PageInNotebook(notebook, number)
    expected = (r"http://127\.0\.0\.1:\d+/[\w-]+/", r"http://127\.0\.0\.1:\d+/proxy/\d+/[\w-]+/", "")[number]
    assert re.fullmatch(expected, page.frame)
    page.draw_a_one()
    page.wait_for("page().querySelector('.lk-winner').textContent === '1'")


@pytest.fixture
def shown_with(drawings_web: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    for name in ("JPY_SESSION_NAME", "JUPYTERHUB_SERVICE_PREFIX", "COLAB_RELEASE_TAG", "VSCODE_PID", "LABKIT_SHOW"):
        monkeypatch.delenv(name, raising=False)
    pages = []

    def shown(environment: dict[str, str]) -> object:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        pages.append(show("draw", files={"model": drawings_web}, about=ABOUT, alt="A page.", press="Show me one"))
        return pages[-1]

    yield shown
    for page in pages:
        page.stop()


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"JPY_SESSION_NAME": "a.ipynb"}, "direct"),
        ({"JPY_SESSION_NAME": "a.ipynb", "JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"}, "proxy"),
        ({"JPY_SESSION_NAME": "a.ipynb", "COLAB_RELEASE_TAG": "1"}, "widget"),
        ({"VSCODE_PID": "1"}, "widget"),
        ({"JPY_SESSION_NAME": "a.ipynb", "LABKIT_SHOW": "widget"}, "widget"),
        ({}, "picture"),
    ],
)
def test_the_way_follows_the_kernel(shown_with, environment: dict[str, str], way: str) -> None:
    assert shown_with(environment).way == way


def test_below_a_hub_the_address_is_the_hubs(shown_with) -> None:
    page = shown_with({"JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"})
    html = page._repr_mimebundle_()["text/html"]
    assert f'src="/user/ann/proxy/{page.server.port}/{page.server.token}/"' in html


def test_where_nobody_watches_there_is_a_picture_of_the_real_page(shown_with) -> None:
    page = shown_with({})
    shown = page._repr_mimebundle_()
    words, picture = re.search(r'<img alt="(.*?)" src="data:image/png;base64,(.*?)">', shown["text/html"]).groups()
    assert (words, shown["text/plain"]) == ("A page.", "Page: A page.")
    assert len(base64.b64decode(picture)) > 10_000, "an empty picture"
    assert any(request.path.startswith("files/model/") for request in page.server.requests)


def test_a_page_that_is_shown_again_replaces_the_one_before(shown_with) -> None:
    first, second = shown_with({}), shown_with({})
    with pytest.raises(requests.ConnectionError):
        requests.get(first.server.url, timeout=10)
    assert requests.get(second.server.url, timeout=10).status_code == 200


def test_a_page_without_its_model_gives_no_picture_but_its_words(tmp_path: Path) -> None:
    page = show("draw", files={"nothing": tmp_path}, about=ABOUT, alt="A page.", through="picture")
    with page, pytest.raises(BrowserError, match=r"The page says: .*model/model\.json"):
        page.picture()


def test_what_the_reader_hands_over_arrives(shown_with) -> None:
    page = shown_with({})
    assert page.handed_over is None
    array = {"$array": "float32", "shape": [1, 2], "base64": "AACAPwAAAEA="}
    requests.post(page.server.url + "result", json={"weights": array}, timeout=10)
    assert page.handed_over["weights"].tolist() == [[1.0, 2.0]]


def test_a_way_that_does_not_exist_is_refused(shown_with) -> None:
    with pytest.raises(ValueError, match=r"direct, proxy, widget, picture, not 'telepathy'.*LABKIT_SHOW"):
        shown_with({"LABKIT_SHOW": "telepathy"})
