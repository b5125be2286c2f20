"""A page and its files on a free port of this machine, for a browser here or behind Jupyter's proxy.

Below one address nobody can guess (`PageServer.url`, its last part is a random token) there are

    ./            the page's index.html
    page/...      what pages are made of: labkit/browser/page
    npm/...       TensorFlow.js and LiteRT.js
    files/...     the files that were given
    job.js        for the page "run" only: the script, and job.json: its arguments
    progress, result, error       POST: what the page has to say

All addresses in a page are relative to `url`, so it works below a proxy's prefix as well. A Content-Security-Policy
keeps its requests (fetch, pictures, scripts) at this server.
"""

import asyncio
import base64
import contextlib
import hashlib
import mimetypes
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from labkit.browser.page_files import PAGES, PageFiles
from labkit.errors import needs_extra

with needs_extra("labkit.browser", "browser"):
    import tornado.httpserver
    import tornado.web
    from tornado.httputil import HTTPServerRequest

LARGEST_MESSAGE = 512 * 2**20
# Windows' registry may call JavaScript text/plain, and a browser then refuses modules.
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
# 'wasm-unsafe-eval' lets WebAssembly be compiled, not JavaScript text. A page with a job may do that as well:
# tfjs-tflite does, and the job is a script that was given as text anyway.
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob: {more}; worker-src 'self' blob:; "
    "connect-src 'self' blob:; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)


@dataclass(frozen=True)
class PageRequest:
    """One request that the server was asked.

    Attributes:
        method: GET, HEAD or POST.
        path: what follows the token, such as ``files/model/model.json``.
        query: what stood behind a ``?`` in the address.
        received: bytes of its body.
    """

    method: str
    path: str
    query: str
    received: int


class PageServer:
    """Serves one page until it is stopped: loopback only, under a secret path, nothing but what is listed above.

    A context manager. Attributes:
        url: the page's address, ``http://127.0.0.1:PORT/TOKEN/``.
        port: its port.
        token: its secret.
        requests: what was asked of it so far, each a `PageRequest`; requests with a wrong token are not among them.
    """

    def __init__(
        self,
        page: str,
        *,
        files: Mapping[str, str | os.PathLike[str] | bytes] | None = None,
        texts: Mapping[str, tuple[str, bytes]] | None = None,
        receive: Callable[[str, bytes], Any] | None = None,
    ) -> None:
        """The page can be asked for from now on.

        Args:
            page: a folder of labkit/browser/page with an ``index.html``: ``draw``, ``fine_tune`` or ``run``.
            files: what stands below ``files/``: by its name a file, a folder, or the bytes of a file.
            texts: further addresses by name, each its content type and bytes.
            receive: called in the server's thread with ``progress``, ``result`` or ``error`` and the bytes posted.

        Raises:
            EnvironmentProblem: the JavaScript packages are not installed.
            ValueError: no such page; a name in `files` with odd characters; a file that is not there.
        """
        index = PAGES / page / "index.html"
        if not re.fullmatch(r"\w+", page) or not index.is_file():
            pages = sorted(folder.parent.name for folder in PAGES.glob("*/index.html"))
            raise ValueError(f"there is no page {page!r}; the pages are {', '.join(pages)}")
        self.token = secrets.token_urlsafe(24)
        self.requests: list[PageRequest] = []
        self._application = self._routes(index, PageFiles(files or {}), dict(texts or {}), receive)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/{self.token}/"
        self._loop = asyncio.SelectorEventLoop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"page server {self.port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and answer no more. Calling it again does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = tornado.httpserver.HTTPServer(self._application, max_body_size=LARGEST_MESSAGE)
        server.add_socket(self._listener)
        await self._stopping.wait()
        server.stop()
        with contextlib.suppress(OSError):  # so that a forked child does not go on accepting
            self._listener.shutdown(socket.SHUT_RDWR)
        await server.close_all_connections()
        self._listener.close()

    def _routes(
        self, index: Path, files: PageFiles, texts: dict[str, Any], receive: Callable[..., Any] | None
    ) -> tornado.web.Application:
        policy = _POLICY.format(
            more=" ".join([*_inline_hashes(index), *(["'unsafe-eval'"] if "job.js" in texts else [])])
        )
        texts[""] = ("text/html; charset=utf-8", index.read_bytes())
        root = f"/{self.token}"
        common = {"policy": policy}
        return tornado.web.Application(
            [
                (rf"{root}/((?:page|npm|files)/.*)", _File, {"files": files, **common}),
                (rf"{root}/(progress|result|error)", _Post, {"receive": receive, **common}),
                (rf"{root}/([\w.]*)", _Text, {"texts": texts, **common}),
            ],
            default_handler_class=_Nothing,
            note=self._note,
            log_function=lambda handler: None,  # a file that is missing is the page's affair, not the notebook's
        )

    def _note(self, request: HTTPServerRequest) -> None:
        prefix = f"/{self.token}/"
        if request.path.startswith(prefix):
            path = request.path.removeprefix(prefix)
            self.requests.append(PageRequest(str(request.method), path, request.query, len(request.body)))


class _Answer(tornado.web.RequestHandler):
    """What all answers share: the page's policy, no guessing of types, no address passed on, plain errors."""

    def initialize(self, policy: str = "default-src 'none'", **given: Any) -> None:
        self.policy = policy
        self.given = given

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")
        self.clear_header("Server")

    def prepare(self) -> None:
        self.settings["note"](self.request)  # before the answer, so that who has that finds the request listed
        self.set_header("Content-Security-Policy", self.policy)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {self._reason}\n")


class _Nothing(_Answer):
    def prepare(self) -> None:
        super().prepare()
        raise tornado.web.HTTPError(404)


class _Text(_Answer):
    def get(self, name: str) -> None:
        if name not in self.given["texts"]:
            raise tornado.web.HTTPError(404)
        kind, body = self.given["texts"][name]
        self.set_header("Content-Type", kind)
        self.set_header("Content-Length", str(len(body)))
        self.finish(body if self.request.method == "GET" else None)

    head = get


class _Post(_Answer):
    def post(self, kind: str) -> None:
        if self.given["receive"] is None:
            raise tornado.web.HTTPError(405)
        self.given["receive"](kind, self.request.body)
        self.set_status(204)


class _File(_Answer, tornado.web.StaticFileHandler):
    """A file with its type and its ETag; how it is found is `PageFiles`' affair."""

    def initialize(self, files: PageFiles, policy: str) -> None:  # type: ignore[override]  # each has its own
        _Answer.initialize(self, policy)
        tornado.web.StaticFileHandler.initialize(self, path="")
        self.files = files

    async def get(self, path: str, include_body: bool = True) -> None:
        try:
            found = self.files.locate(path)
        except FileNotFoundError:
            raise tornado.web.HTTPError(404) from None
        if isinstance(found, Path):
            self.root = str(found.parent)
            await super().get(found.name, include_body)
        else:
            self.set_header("Content-Type", _type(path))
            self.set_header("Content-Length", str(len(found)))
            await self.finish(found if include_body else None)

    def compute_etag(self) -> str | None:
        """Of the file as it is now; tornado's own is that of the file when it was first asked for, for ever."""
        path = getattr(self, "absolute_path", None)
        if not path:
            return None  # bytes
        now = os.stat(path)
        return f'"{now.st_mtime_ns:x}-{now.st_size:x}-{now.st_ino:x}"'

    def get_content_type(self) -> str:
        return _type(self.absolute_path or "")


def _type(path: str) -> str:
    return _TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def _inline_hashes(index: Path) -> list[str]:
    """What a policy calls the scripts that stand in the page itself (import maps can stand nowhere else)."""
    scripts = re.findall(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", index.read_bytes(), flags=re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts]
