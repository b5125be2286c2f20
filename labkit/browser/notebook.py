"""A page inside the notebook: in an IFrame where the reader's browser reaches this machine, else in a widget.

direct    an IFrame with the page server's own address: JupyterLab on this machine
proxy     an IFrame below Jupyter's own address, by jupyter-server-proxy: JupyterHub, Binder, a tunnel; the page then
          has Jupyter's own origin, and could talk to it in the reader's name
widget    the page's modules inside an anywidget, everything by kernel messages: Colab, VS Code
picture   nobody is watching (nbclient, nbval): a picture of the page, taken in a headless browser
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Self

from labkit.browser import arrays, frame
from labkit.browser.devtools import Browser
from labkit.browser.page_server import PageServer
from labkit.errors import BrowserError

WAYS = ("direct", "proxy", "widget", "picture")
_READY = "document.querySelector('.labkit')?.getAttribute('aria-busy') === 'false'"
_shown: dict[str, "Shown"] = {}


def show(
    page: str,
    *,
    files: Mapping[str, str | os.PathLike[str] | bytes],
    about: Mapping[str, Any],
    alt: str,
    height: int = 520,
    through: str | None = None,
    press: str = "",
) -> "Shown":
    """Show a page in the notebook; let it stand in a cell's last line.

    Shown again, from a re-run cell, it replaces the page of the same name that was shown before.

    Args:
        page: ``draw`` or ``fine_tune``; labkit/browser/page/draw/draw.js and its like say which files they read.
        files: by name a file, a folder or bytes, as for `labkit.browser.run`.
        about: what the page reads as ``page.json``.
        alt: what is to be seen, in words, for who does not see it.
        height: of the IFrame in CSS pixels.
        through: ``direct``, ``proxy``, ``widget`` or ``picture``; by default what fits this kernel, or the variable
            ``LABKIT_SHOW``.
        press: the words on a button that is pressed before a picture is taken.

    Raises:
        EnvironmentProblem: the JavaScript packages are not installed; for a picture, there is no browser.
        ValueError: no such page, file or way.
    """
    way = through or os.environ.get(frame.CHOSEN_BY) or _fitting_way()
    if way not in WAYS:
        raise ValueError(f"a page is shown through one of {', '.join(WAYS)}, not {way!r}; look at {frame.CHOSEN_BY}")
    given = {**files, "page.json": json.dumps(dict(about)).encode()}
    shown = Shown(page, given, alt=alt, height=height, way=way, press=press)
    if before := _shown.get(page):
        before.stop()
    _shown[page] = shown
    return shown


class Shown:
    """A page that is shown until it is stopped, or its kernel ends.

    Attributes:
        way: how it is shown: ``direct``, ``proxy``, ``widget`` or ``picture``.
        server: its `PageServer`; its `requests` are all that the page has asked for, unless it is a widget.
        handed_over: what the reader last handed over from the page, None before that. Arrays are numpy arrays.
    """

    def __init__(self, page: str, files: Mapping[str, Any], *, alt: str, height: int, way: str, press: str) -> None:
        self.way = way
        self.handed_over: Any = None
        self._alt, self._height, self._press = alt, height, press
        self._widget = self._made_widget(page, files) if way == "widget" else None
        self.server = PageServer(page, files=files, receive=self._receive)

    def _made_widget(self, page: str, files: Mapping[str, Any]) -> Any:
        from labkit.browser.widget import PageWidget

        return PageWidget(page, files, height=self._height, receive=self._receive)

    def stop(self) -> None:
        """The page can be asked for no more; what is on the screen stays there. Calling it again does nothing."""
        self.server.stop()
        if self._widget is not None:
            self._widget.close()

    def picture(self, *, width: int = 900, dark: bool = False) -> bytes:
        """A PNG of the page as a headless browser shows it, once it is ready.

        Args:
            width: in CSS pixels.
            dark: whether in dark colours.

        Raises:
            BrowserError: the page did not become ready, or says that something is wrong.
            EnvironmentProblem: there is no browser.
        """
        with Browser() as browser:
            tab = browser.open(self.server.url, width=width, height=self._height, dark=dark)
            tab.wait_for(_READY)
            if self._press:
                tab.click_button(self._press)
                tab.wait_for(_READY)
            if trouble := tab.evaluate("document.querySelector('.lk-trouble')?.textContent ?? ''"):
                raise BrowserError(f"The page says: {trouble}", "\n".join(tab.console))
            return tab.picture()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Page: {self._alt}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if self._widget is not None:
            return self._widget._repr_mimebundle_()
        return {"text/html": self._html(), "text/plain": repr(self)}

    def _html(self) -> str:
        if self.way == "picture":
            return frame.picture_html(self.picture(), self._alt)
        address = frame.proxied(self.server.url) if self.way == "proxy" else self.server.url
        return frame.frame_html(address, self._alt, self._height)

    def _receive(self, kind: str, body: bytes) -> None:
        if kind == "result":
            self.handed_over = arrays.loads(body)


def _fitting_way() -> str:
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ or "VSCODE_PID" in os.environ:
        return "widget"
    return frame.fitting_way()
