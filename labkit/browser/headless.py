"""Run one script in a headless browser and get back what it returns."""

import contextlib
import json
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit import processes
from labkit.browser import arrays, chromium
from labkit.browser.devtools import Browser
from labkit.browser.find import find_browser
from labkit.browser.page_server import PageServer
from labkit.errors import BrowserError
from labkit.processes import ManagedProcess

BACKENDS = ("cpu", "wasm", "webgl", "webgpu")
_LOOK_SECONDS = 0.1  # between two looks at whether the browser still runs


def run(
    script: str | os.PathLike[str],
    *,
    files: Mapping[str, str | os.PathLike[str] | bytes] | None = None,
    args: Mapping[str, Any] | None = None,
    backend: str | None = "wasm",
    timeout: float = 60.0,
    browser: str | os.PathLike[str] | None = None,
    on_progress: Callable[[Any], object] | None = None,
) -> Any:
    """Run `script` in a page of a headless browser that is started for it, and return what it returns.

        run("predict.js", files={"model": "work/06/web_model"}, args={"image": image})

    The script is a module with one default export, ``export default async function ({ tf, args, report }) {...}``:
    `tf` is TensorFlow.js with the backend set, `args` what was given here, `report(anything)` sends progress.

    Args:
        script: a file, or the text of one (with a line break in it).
        files: what the script finds below ``files/``: by name a file, a folder, or bytes.
        args: JSON values; numpy arrays arrive as ``{data: TypedArray, shape: [...]}``.
        backend: ``wasm``, ``cpu``, ``webgl``, ``webgpu``, or None: then `tf` is undefined, and the script may
            ``import ... from '@litertjs/core'``.
        timeout: seconds from when its page is opened; the browser's start is not counted.
        browser: the program, by default what `labkit.browser.find_browser` finds.
        on_progress: called in this thread with each message that the script reported, in order.

    Returns:
        What the script returned; tensors, typed arrays and buffers anywhere in it as numpy arrays.

    Raises:
        BrowserError: the script threw, did not return in time, or the browser ended; `log` has the browser's words.
        EnvironmentProblem: there is no browser, or the JavaScript packages are not installed.
        ValueError: no such backend or file.
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; it is one of {', '.join(BACKENDS)}, or None for no TensorFlow.js")
    messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
    texts = {
        "job.js": ("text/javascript", _source(script)),
        "job.json": ("application/json", arrays.dumps({"backend": backend, "args": dict(args or {})})),
    }
    program = find_browser(browser)
    with (
        PageServer("run", files=files, texts=texts, receive=lambda *message: messages.put(message)) as server,
        _opened(program, server.url) as (process, crashed),
    ):
        for kind, body in _messages(messages, program, process, crashed, timeout):
            if kind == "progress" and on_progress is not None:
                on_progress(arrays.loads(body))
            elif kind == "result":
                return arrays.loads(body)
            elif kind == "error":
                raise _script_failed(json.loads(body), server.url, process.log())
    raise AssertionError("messages end with a result or an error")


@contextlib.contextmanager
def _opened(program: Path, url: str) -> Iterator[tuple[ManagedProcess, Callable[[], bool]]]:
    """A browser with the page, and what says whether that has crashed.

    The address goes by a pipe: it holds the secret, and what programs are started with can be read by every user of a
    machine. (Not on Windows, which has no such pipe.)
    """
    if not processes.PASSES_DESCRIPTORS:
        with chromium.running(program, [url]) as process:
            yield process, lambda: False
        return
    with Browser(browser=program) as browser:
        browser.send("Target.setDiscoverTargets", {"discover": True})
        browser.send("Target.createTarget", {"url": url})
        yield browser.process, browser.crashed.is_set


def _source(script: str | os.PathLike[str]) -> bytes:
    if isinstance(script, str) and "\n" in script:
        return script.encode()
    if not Path(script).is_file():
        raise ValueError(f"script is {str(script)!r}; there is no such file, and a text of one has line breaks")
    return Path(script).read_bytes()


def _messages(
    messages: queue.Queue[tuple[str, bytes]],
    program: Path,
    process: ManagedProcess,
    crashed: Callable[[], bool],
    timeout: float,
) -> Iterator[tuple[str, bytes]]:
    """What the page sends, one after the other.

    Raises:
        BrowserError: the browser ended, or the time was up.
    """
    deadline = time.monotonic() + timeout
    last = b""
    while (left := deadline - time.monotonic()) > 0:
        ended = not process.running  # asked first, so that its last message is not missed
        with contextlib.suppress(queue.Empty):
            kind, body = messages.get(timeout=min(left, _LOOK_SECONDS))
            last = body if kind == "progress" else last
            yield kind, body
            continue
        if crashed():
            raise BrowserError("The page crashed, as pages do that take too much memory.", process.log())
        if ended:
            raise chromium.ended(program, process)
    log = process.log()
    progress = f"The last it reported: {last.decode(errors='replace')[:500]}" if last else "It reported no progress."
    said = chromium.console(log)
    raise BrowserError(
        f"The script did not return within {timeout:g} s. {progress}"
        + (f"\nThe page's console:\n{said}" if said else ""),
        log,
    )


def _script_failed(error: Mapping[str, str], url: str, log: str) -> BrowserError:
    stack, message = error["stack"].strip(), error["message"]
    text = stack if message in stack else f"{message}\n    {stack}" if stack else message
    said = chromium.console(log)
    console = f"\nThe page's console:\n{said}" if said else ""
    return BrowserError(f"The script failed in the browser: {text}{console}".replace(url, ""), log)
