"""One page in a browser that is operated by `labkit.browser.devtools`: evaluate, click, draw, type, take a picture."""

import base64
import json
import queue
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from labkit.errors import BrowserError

if TYPE_CHECKING:
    from labkit.browser.devtools import Browser

_LOOK_SECONDS = 0.02
# Chromium drops what waits for a connection when an address of this machine comes or goes (Wi-Fi, VPN, Docker), also
# what was on its way to 127.0.0.1, and asks for none of it again.
_DROPPED = "net::ERR_NETWORK_CHANGED"
_LOADS = 4
_KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    "Space": (" ", 32, " "),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "Backspace": ("Backspace", 8, ""),
    "Delete": ("Delete", 46, ""),
}
_SHIFT = 8


class Tab:
    """One page in a browser.

    Attributes:
        console: what the page wrote to its console, and errors that nobody caught.
        requests: the addresses that it asked for, in order; also those that were refused.
    """

    def __init__(self, browser: "Browser", session: str, target: str) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self._browser, self._session, self._target = browser, session, target
        self._loaded: queue.Queue[str] = queue.Queue()  # Chromium's names of the loads that are complete
        self._dropped = threading.Event()

    def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """One command of the Chrome DevTools Protocol to this page, and its answer."""
        return self._browser.send(method, params, self._session)

    def go_to(self, url: str) -> None:
        """Leave for another address and wait until the page there has loaded.

        Where a change of this machine's network made the browser drop a part of it, it is loaded again.

        Raises:
            BrowserError: it could not be loaded.
        """
        for _ in range(_LOADS):
            self._dropped.clear()
            got = self.send("Page.navigate", {"url": url})
            error = got.get("errorText", "")
            if not error and "loaderId" in got:  # without one it is another place in the same page
                self._wait_for_load(got["loaderId"], url)
                error = _DROPPED if self._dropped.is_set() else ""
            if error != _DROPPED:
                break
        if error:
            raise BrowserError(f"{url} could not be opened: {error}")

    def _wait_for_load(self, load: str, url: str) -> None:
        deadline = time.monotonic() + self._browser.timeout
        try:
            while self._loaded.get(timeout=max(0.0, deadline - time.monotonic())) != load:
                pass  # the empty page's before it, a frame's, an error page's
        except queue.Empty:
            raise BrowserError(f"{url} did not load within {self._browser.timeout:g} s") from None

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON; a promise is waited for.

        Raises:
            BrowserError: it threw.
        """
        got = self.send(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True},
        )
        if details := got.get("exceptionDetails"):
            raise BrowserError(f"{expression!r} failed in the page: {_thrown(details)}")
        return got["result"].get("value")

    def wait_for(self, expression: str, timeout: float = 30.0) -> Any:
        """What the expression gives as soon as that is true; for an element, True.

        Raises:
            BrowserError: it was not within `timeout` seconds; the message has the page's console.
        """
        deadline = time.monotonic() + timeout
        # An element, as JSON, is an empty object, which is false in Python.
        question = f"(async () => {{ const value = await ({expression}); return value instanceof Node || value; }})()"
        while not (value := self.evaluate(question)):
            if time.monotonic() > deadline:
                said = "\n".join(self.console[-20:]) or "(nothing)"
                raise BrowserError(f"{expression!r} was not true within {timeout:g} s. The page's console:\n{said}")
            time.sleep(_LOOK_SECONDS)
        return value

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of the first element that matches, in CSS pixels, scrolled into view."""
        found = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null; "
            "e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect(); "
            "return [r.x, r.y, r.width, r.height]; })()"
        )
        if found is None:
            raise BrowserError(f"the page has nothing that matches {selector!r}")
        return tuple(found)

    def mouse(self, kind: str, x: float, y: float, *, pressed: bool = False) -> None:
        """One event of the left mouse button: ``mousePressed``, ``mouseMoved`` or ``mouseReleased``."""
        held = pressed or kind == "mousePressed"
        button = "left" if held or kind == "mouseReleased" else "none"
        event = {"type": kind, "x": x, "y": y, "button": button, "buttons": int(held)}
        self.send("Input.dispatchMouseEvent", event | {"clickCount": int(kind != "mouseMoved")})

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the first element that matches.

        Raises:
            BrowserError: there is none, or it is hidden.
        """
        left, top, width, height = self.box(selector)
        if not (width and height):
            raise BrowserError(f"{selector!r} is hidden in the page, so it cannot be clicked")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, left + width / 2, top + height / 2)

    def click_button(self, words: str) -> None:
        """Press the button that has these words on it."""
        found = f"[...document.querySelectorAll('button')].find((b) => b.textContent.trim() === {json.dumps(words)})"
        if not self.evaluate(f"{found}?.setAttribute('data-wanted', '') ?? Boolean({found})"):
            raise BrowserError(f"the page has no button {words!r}")
        self.click("[data-wanted]")
        self.evaluate(f"{found}?.removeAttribute('data-wanted')")

    def drag(self, points: Iterable[tuple[float, float]]) -> None:
        """Press at the first point, move over the others, release at the last."""
        points = list(points)
        self.mouse("mousePressed", *points[0])
        for point in points[1:]:
            self.mouse("mouseMoved", *point, pressed=True)
        self.mouse("mouseReleased", *points[-1])

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press and release one key, such as ``Tab``, ``Enter``, ``Space``, ``ArrowLeft`` or ``a``."""
        key, code, text = _KEYS.get(name, (name, ord(name.upper()[0]), name))
        event = {"key": key, "code": name, "windowsVirtualKeyCode": code, "modifiers": _SHIFT * shift}
        self.send(
            "Input.dispatchKeyEvent", event | ({"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"})
        )
        self.send("Input.dispatchKeyEvent", event | {"type": "keyUp"})

    def type(self, text: str) -> None:
        """Put `text` where the cursor is."""
        self.send("Input.insertText", {"text": text})

    def picture(self, selector: str | None = None) -> bytes:
        """A PNG of the page, or of the first element that matches."""
        params: dict[str, Any] = {"format": "png"}
        if selector:
            left, top, width, height = self.box(selector)
            params["clip"] = {"x": left, "y": top, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.send("Page.captureScreenshot", params)["data"])

    def close(self) -> None:
        """Close the tab; the browser stays."""
        self._browser.send("Target.closeTarget", {"targetId": self._target})

    def happened(self, method: str, params: dict[str, Any]) -> None:
        """Called by the browser's reader with each event of this page."""
        if method == "Page.lifecycleEvent" and params["name"] == "load":
            self._loaded.put(params["loaderId"])
        elif method == "Network.loadingFailed" and params["errorText"] == _DROPPED:
            self._dropped.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(a.get("value", a.get("description", ""))) for a in params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(_thrown(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])


def _thrown(details: dict[str, Any]) -> str:
    return details.get("exception", {}).get("description") or details["text"]
