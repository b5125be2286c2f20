"""A headless browser that is looked at and operated from Python, by the Chrome DevTools Protocol over two pipes.

Pipes, not a port: whoever may talk to a browser's debugging port may read its user's files. Not on Windows, where
Chromium takes such pipes in another way.
"""

import contextlib
import json
import os
import queue
import select
import threading
import time
from typing import Any, Self

from labkit import processes
from labkit.browser import chromium
from labkit.browser.find import find_browser
from labkit.browser.tab import Tab
from labkit.errors import BrowserError, EnvironmentProblem

_LOOK_MILLISECONDS = 100  # between two looks at whether the time is over
# Chromium reads commands from descriptor 3 and writes to 4, each message ended by a zero byte.
_WRAPPER = """
import os, sys
reading, writing = int(sys.argv[1]), int(sys.argv[2])
reading, writing = os.dup(reading), os.dup(writing)
spare = [os.dup(reading), os.dup(writing)]
while min(spare) < 5:
    spare = [os.dup(spare[0]), os.dup(spare[1])]
os.dup2(spare[0], 3)
os.dup2(spare[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A running headless browser; a context manager that ends it.

    Attributes:
        program: its file.
        pid: its process id.
        version: what it says it is, such as ``Chrome/156.0.8078.108``.
    """

    def __init__(self, *, browser: str | os.PathLike[str] | None = None, timeout: float = 60.0) -> None:
        """It is started, and ready for `open`.

        Args:
            browser: the program, by default what `labkit.browser.find_browser` finds.
            timeout: seconds that one command may take.

        Raises:
            BrowserError: it ended at once.
            EnvironmentProblem: there is no browser, or this is Windows.
        """
        if not processes.PASSES_DESCRIPTORS:
            raise EnvironmentProblem(
                "A browser's pictures are not taken on Windows; open the page in a browser yourself."
            )
        self.program = find_browser(browser)
        self.timeout = timeout
        self._stack = contextlib.ExitStack()
        self._next_id = 0
        self._lock = threading.Lock()
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}
        self.crashed = threading.Event()
        theirs_in, self._commands = os.pipe()
        self._events, theirs_out = os.pipe()
        os.set_blocking(self._commands, False)
        wrapper = [*chromium.python_wrapper(_WRAPPER), str(theirs_in), str(theirs_out)]
        try:
            self.process = self._stack.enter_context(
                chromium.running(
                    self.program, ["--remote-debugging-pipe"], wrapper=wrapper, pass_fds=(theirs_in, theirs_out)
                )
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, name="browser events", daemon=True)
        self._reader.start()
        try:
            self.version = self.send("Browser.getVersion")["product"]
        except BaseException:
            self.stop()
            raise

    def open(self, url: str, *, width: int = 1000, height: int = 700, dark: bool = False, touch: bool = False) -> Tab:
        """A new tab, once the page at `url` has loaded.

        Args:
            url: its address.
            width: of the page in CSS pixels.
            height: of the page in CSS pixels.
            dark: whether the page is told that its user prefers a dark scheme.
            touch: whether there is a touch screen.
        """
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        tab = self._tabs[session] = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.send(f"{domain}.enable")
        tab.send("Page.setLifecycleEventsEnabled", {"enabled": True})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        tab.send("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.send("Emulation.setEmulatedMedia", {"features": [scheme]})
        if touch:
            tab.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
        tab.go_to(url)
        return tab

    def send(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        """One command and its answer; the methods are those of the Chrome DevTools Protocol.

        Raises:
            BrowserError: the browser refused it, ended, or did not answer in time.
        """
        with self._lock:
            self._next_id += 1
            number = self._next_id
            answer = self._answers[number] = queue.Queue()
            message = {"id": number, "method": method, "params": params or {}}
            data = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
            deadline = time.monotonic() + self.timeout
            taken = select.poll()  # `select.select` knows no descriptors above 1023
            try:
                taken.register(self._commands, select.POLLOUT)
                while data and time.monotonic() < deadline:
                    if taken.poll(_LOOK_MILLISECONDS):
                        data = data[os.write(self._commands, data) :]
            except (OSError, ValueError):  # of a pipe that is broken, or closed by `stop`
                raise chromium.ended(self.program, self.process) from None
            if data:  # half a command is there: no other can follow
                self.process.stop(grace=0)
                raise BrowserError(f"{method} was not taken within {self.timeout:g} s", self.process.log())
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    got = answer.get(timeout=0.1)
                    break
                if not self.process.running:
                    raise chromium.ended(self.program, self.process)
                if time.monotonic() > deadline:
                    raise BrowserError(f"{method} was not answered within {self.timeout:g} s", self.process.log())
        finally:
            del self._answers[number]
        if "error" in got:
            raise BrowserError(f"The browser refused {method}: {got['error'].get('message')}", self.process.log())
        return got["result"]

    def stop(self) -> None:
        """End the browser. Calling it again does nothing."""
        self._stack.close()
        self._reader.join()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._commands, self._events):
            with contextlib.suppress(OSError):
                os.close(pipe)
        self._commands = self._events = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _read(self) -> None:
        waiting = b""
        while data := os.read(self._events, 1 << 16):
            *messages, waiting = (waiting + data).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    with contextlib.suppress(KeyError):  # nobody waits any more
                        self._answers[message["id"]].put(message)
                elif message["method"] == "Target.targetCrashed":
                    self.crashed.set()
                elif tab := self._tabs.get(message.get("sessionId", "")):
                    tab.happened(message["method"], message["params"])
