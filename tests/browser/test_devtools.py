"""A browser that is operated from Python: pages are opened, looked at, clicked, typed into."""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit import processes
from labkit.browser import PageServer
from labkit.browser.devtools import Browser
from labkit.browser.tab import Tab
from labkit.errors import BrowserError, ProcessError

PAGE = b"""
const log = (text) => { document.body.dataset.log = (document.body.dataset.log ?? '') + text + ' '; };
export default function () {
  document.body.innerHTML = '<button style="margin:20px">b</button><input><canvas width=100 height=80></canvas>';
  document.querySelector('button').onclick = () => log('clicked');
  const canvas = document.querySelector('canvas');
  for (const kind of ['pointerdown', 'pointermove', 'pointerup']) {
    canvas.addEventListener(kind, (event) => { if (event.buttons || kind === 'pointerup') log(kind + event.offsetX); });
  }
  document.querySelector('input').onkeydown = (event) => log(event.key);
  console.log('ready', 1);
}
"""


@pytest.fixture
def server() -> Iterator[PageServer]:
    texts = {"job.js": ("text/javascript", PAGE), "job.json": ("application/json", b'{"backend": null, "args": {}}')}
    with PageServer("run", texts=texts, receive=lambda *_: None) as running:
        yield running


def test_a_page_is_operated_by_mouse_and_keyboard(browser: Browser, server: PageServer) -> None:
    tab = browser.open(server.url)
    tab.wait_for("document.querySelector('canvas') !== null")
    tab.click("button")
    x, y, width, height = tab.box("canvas")
    assert (width, height) == (100, 80)
    tab.drag([(x + 10, y + 10), (x + 20, y + 10), (x + 30, y + 10)])
    tab.click("input")
    tab.type("typed")
    tab.key("a")
    tab.key("ArrowLeft")
    tab.key("Tab", shift=True)
    expected = ["clicked", "pointerdown10", "pointermove20", "pointermove30", "pointerup30", "a", "ArrowLeft", "Tab"]
    assert tab.evaluate("document.body.dataset.log").split() == expected
    assert tab.evaluate("document.querySelector('input').value") == "typeda"
    assert tab.evaluate("document.activeElement.tagName") == "BUTTON"
    assert "ready 1" in tab.console
    assert server.url + "job.js" in tab.requests
    tab.close()


def test_a_picture_has_the_size_of_the_page_or_of_an_element(browser: Browser, server: PageServer) -> None:
    tab = browser.open(server.url, width=640, height=320)
    tab.wait_for("document.querySelector('canvas') !== null")
    assert png_size(tab.picture()) == (640, 320)
    assert png_size(tab.picture("canvas")) == (100, 80)
    tab.close()


def png_size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_is_told_what_scheme_its_user_prefers(browser: Browser, server: PageServer, dark: bool) -> None:
    tab = browser.open(server.url, dark=dark)
    assert tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is dark
    tab.close()


def test_what_fails_in_the_page_is_an_error_with_its_words(browser: Browser, server: PageServer) -> None:
    tab = browser.open(server.url)
    with pytest.raises(BrowserError, match="ReferenceError: absent is not defined"):
        tab.evaluate("absent()")
    with pytest.raises(BrowserError, match=r"nothing that matches 'table'"):
        tab.click("table")
    tab.wait_for("document.querySelector('button') !== null")
    tab.evaluate("document.querySelector('button').hidden = true")
    with pytest.raises(BrowserError, match=r"'button' is hidden"):
        tab.click("button")
    tab.evaluate("console.warn('look here')")
    with pytest.raises(BrowserError, match=r"(?s)not true within 0.1 s.*look here"):
        tab.wait_for("false", timeout=0.1)
    with pytest.raises(BrowserError, match=r"refused Page\.fly"):
        tab.send("Page.fly")
    with pytest.raises(BrowserError, match="could not be opened"):
        tab.go_to("http://127.0.0.1:9/")
    tab.close()


def test_no_other_machine_is_reached_even_by_name(browser: Browser, server: PageServer) -> None:
    tab = browser.open("about:blank")
    with pytest.raises(BrowserError, match="ERR_NAME_NOT_RESOLVED"):
        tab.go_to(server.url.replace("127.0.0.1", "localhost"))
    tab.close()


def lose(tab: Tab, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell `tab` about its next loads that the browser dropped a part of them."""
    left = [{"requestId": "1", "errorText": "net::ERR_NETWORK_CHANGED"}] * times
    send = tab.send

    def sent(method: str, params: dict[str, Any]) -> dict[str, Any]:
        answer = send(method, params)
        if method == "Page.navigate" and left:
            tab.happened("Network.loadingFailed", left.pop())
        return answer

    monkeypatch.setattr(tab, "send", sent)


def test_a_page_that_a_change_of_the_network_left_in_pieces_is_loaded_again(
    browser: Browser, server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = browser.open("about:blank")
    lose(tab, 2, monkeypatch)
    tab.go_to(server.url)
    assert [request.path for request in server.requests].count("") == 3
    monkeypatch.undo()
    tab.wait_for("document.querySelector('canvas') !== null")
    lose(tab, 99, monkeypatch)
    with pytest.raises(BrowserError, match="could not be opened: net::ERR_NETWORK_CHANGED"):
        tab.go_to(server.url)
    tab.close()


def test_nothing_is_left_of_a_browser_and_it_listens_to_nobody() -> None:
    processes.folder()  # the guard, and its pipe, are there from now on
    descriptors = psutil.Process().num_fds()
    with Browser() as browser:
        mine = [psutil.Process(browser.pid), *psutil.Process(browser.pid).children(recursive=True)]
        assert len(mine) > 1
        gone_or_in_the_sandbox = (psutil.NoSuchProcess, psutil.AccessDenied)  # root alone may look into that
        for process in mine:
            with contextlib.suppress(*(gone_or_in_the_sandbox if process.pid != browser.pid else ())):
                assert [c for c in process.net_connections("tcp") if c.status == "LISTEN"] == []
        tab = browser.open("about:blank")
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in mine)
    assert psutil.Process().num_fds() <= descriptors
    with pytest.raises(BrowserError):
        tab.evaluate("1")


def test_a_browser_that_cannot_be_started_leaves_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    processes.folder()
    descriptors = psutil.Process().num_fds()

    def refuse(*_: object, **__: object) -> None:
        raise ProcessError("no more processes")

    monkeypatch.setattr(processes, "start", refuse)
    with pytest.raises(ProcessError, match="no more processes"):
        Browser()
    assert psutil.Process().num_fds() == descriptors


def test_it_works_beside_more_than_a_thousand_open_files() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("so many files may not be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while stack.enter_context(open(os.devnull, "rb")).fileno() < 1024:
            pass
        with Browser() as browser:
            assert browser.version


def test_a_browser_that_ends_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'cannot open display'\nexit 3\n")
    broken.chmod(0o755)
    descriptors = psutil.Process().num_fds()
    with pytest.raises(BrowserError, match=r"(?s)exit status 3.*cannot open display"):
        Browser(browser=broken)
    assert psutil.Process().num_fds() <= descriptors
