"""A local web page in a notebook: in an IFrame where the reader's browser reaches this machine, else as a picture.

direct    an IFrame with the page's own address: JupyterLab on this machine
proxy     an IFrame below Jupyter's own address, by jupyter-server-proxy: JupyterHub, Binder, a tunnel; the page then
          has Jupyter's own origin, and could talk to it in the reader's name
picture   nobody is watching (nbclient, nbval): a picture of the page, taken in a headless browser
"""

import base64
import contextlib
import html
import os
from typing import Any
from urllib.parse import urlsplit

from labkit import show
from labkit.browser.devtools import Browser

CHOSEN_BY = "LABKIT_SHOW"


class Frame:
    """A page that stands in a cell's output.

    Attributes:
        way: how it is shown: ``direct``, ``proxy`` or ``picture``.
    """

    def __init__(
        self, url: str, *, alt: str, ready: str = "true", height: int = 520, through: str | None = None
    ) -> None:
        """Let it stand in a cell's last line.

        Args:
            url: the page's address on this machine, as in ``http://127.0.0.1:41234/``.
            alt: what is to be seen, in words, for who does not see it.
            ready: a JavaScript expression that is true once the page is complete; a picture waits for it.
            height: in CSS pixels.
            through: ``direct``, ``proxy`` or ``picture``; by default what fits this kernel, or the variable
                ``LABKIT_SHOW``.

        Raises:
            ValueError: there is no such way.
        """
        self.way = through or os.environ.get(CHOSEN_BY) or fitting_way()
        if self.way not in ("direct", "proxy", "picture"):
            raise ValueError(f"a page is framed through direct, proxy or picture, not {self.way!r}; see {CHOSEN_BY}")
        self._url, self._alt, self._ready, self._height = url, alt, ready, height

    def picture(self, *, width: int = 900) -> bytes:
        """A PNG of the page as a headless browser shows it, once it is ready.

        Raises:
            BrowserError: the page did not become ready.
            EnvironmentProblem: there is no browser.
        """
        with Browser() as browser:
            tab = browser.open(self._url, width=width, height=self._height)
            tab.wait_for(self._ready)
            return tab.picture()

    def __repr__(self) -> str:
        return f"Page: {self._alt}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if self.way == "picture":
            return {"text/html": picture_html(self.picture(), self._alt), "text/plain": repr(self)}
        address = proxied(self._url) if self.way == "proxy" else self._url
        return {"text/html": frame_html(address, self._alt, self._height), "text/plain": repr(self)}


def fitting_way() -> str:
    """``proxy`` on a hub, ``direct`` in a notebook that somebody has open, else ``picture``."""
    if "JUPYTERHUB_SERVICE_PREFIX" in os.environ:
        return "proxy"
    return "direct" if show.is_watched() else "picture"


def proxied(url: str) -> str:
    """The path below Jupyter's own address at which jupyter-server-proxy answers for this local address.

    Raises:
        ValueError: the address has no port.
    """
    parts = urlsplit(url)
    if parts.port is None:
        raise ValueError(f"{url!r} names no port; a page on this machine has one, as in http://127.0.0.1:41234/")
    query, fragment = (mark + text if text else "" for mark, text in (("?", parts.query), ("#", parts.fragment)))
    return f"{_base_url()}proxy/{parts.port}{parts.path or '/'}{query}{fragment}"


def frame_html(address: str, alt: str, height: int) -> str:
    """An IFrame with this page."""
    style = f"width: 100%; height: {height}px; border: 0"
    return f'<iframe src="{html.escape(address)}" title="{html.escape(alt)}" style="{style}"></iframe>'


def picture_html(png: bytes, alt: str) -> str:
    """A picture with its words below it."""
    picture, words = base64.b64encode(png).decode("ascii"), html.escape(alt)
    return f'<figure><img alt="{words}" src="data:image/png;base64,{picture}"><figcaption>{words}</figcaption></figure>'


def _base_url() -> str:
    """The path below which Jupyter answers: the hub's, or that of the server that started this kernel."""
    if prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        return prefix
    with contextlib.suppress(ImportError):
        from jupyter_server.serverapp import list_running_servers

        for server in list_running_servers():
            if str(server["pid"]) == os.environ.get("JPY_PARENT_PID"):
                return str(server["base_url"])
    return "/"
