"""The page server: what it serves, under which types, and what nobody gets."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from labkit.browser import PageServer

pytestmark = pytest.mark.usefixtures("browser_is_here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    model = tmp_path / "model"
    (model / "inner").mkdir(parents=True)
    (model / "model.json").write_text("{}")
    (model / "inner" / "a.bin").write_bytes(bytes(range(256)))
    (model / "out").symlink_to(tmp_path / "secret.txt")
    (model / "up").symlink_to(tmp_path)
    return model


@pytest.fixture
def server(folder: Path) -> Iterator[PageServer]:
    files = {"model": folder, "page.json": b'{"a": 1}', "one.bin": folder / "inner" / "a.bin"}
    with PageServer("run", files=files) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("", "text/html", b"<!doctype html>"),
        ("page/arrays.js", "text/javascript", b"export"),
        ("npm/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm", "application/wasm", b"\0asm"),
        ("files/model/model.json", "application/json", b"{}"),
        ("files/model/inner/a.bin", "application/octet-stream", bytes(range(256))),
        ("files/page.json", "application/json", b'{"a": 1}'),
        ("files/one.bin", "application/octet-stream", bytes(range(256))),
    ],
)
def test_a_file_comes_with_its_type_and_no_other_machine_may_be_asked(
    server: PageServer, path: str, kind: str, body: bytes
) -> None:
    answer = requests.get(server.url + path, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert body in answer.content
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["connect-src"] == "'self' blob:"
    assert "unsafe-eval" not in policy["script-src"].replace("wasm-unsafe-eval", "")
    head = requests.head(server.url + path, timeout=10)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(answer.content)))
    assert server.requests[-2].path == path


def test_a_file_that_was_written_anew_is_sent_anew(server: PageServer, folder: Path) -> None:
    address = server.url + "files/model/model.json"
    first = requests.get(address, timeout=10)
    known = {"If-None-Match": first.headers["ETag"]}
    assert requests.get(address, headers=known, timeout=10).status_code == 304
    (folder / "model.json").write_text("[]")  # as long as before
    again = requests.get(address, headers=known, timeout=10)
    assert (again.status_code, again.json()) == (200, [])


@pytest.mark.parametrize(
    "path",
    [
        "files/model",
        "files/model/",
        "files/model/inner",
        "files/model/inner/",
        "files/model/out",
        "files/model/up/secret.txt",
        "files/model/../secret.txt",
        "files/model/%2e%2e/secret.txt",
        "files/model/..%2fsecret.txt",
        "files/model//etc/passwd",
        "files//etc/passwd",
        "files/one.bin/a",
        "files/absent",
        "page/",
        "page/../page_server.py",
        "page/..%2fpage_server.py",
        "npm/",
        "npm/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/pyvenv.cfg",
        "page/%00",
        "job.js",
        "nothing",
    ],
)
def test_nothing_else_is_served(server: PageServer, path: str) -> None:
    """Sent as it stands: `requests` would tidy the path up."""
    assert raw_status(server, f"/{server.token}/{path}") in (400, 403, 404)


@pytest.mark.parametrize("path", ["/", "/files/model/model.json", "/wrong/", "/wrong/files/model/model.json"])
def test_without_the_token_there_is_nothing(server: PageServer, path: str) -> None:
    assert raw_status(server, path) == 404
    assert raw_status(server, f"/{server.token[:-1]}{path}") == 404
    assert server.requests == []


def raw_status(server: PageServer, path: str) -> int:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_only_this_machine_is_listened_to(server: PageServer) -> None:
    mine = [c for c in psutil.Process().net_connections("inet") if c.laddr.port == server.port and c.status == "LISTEN"]
    assert [c.laddr.ip for c in mine] == ["127.0.0.1"]


def test_what_a_page_posts_is_received_and_counted(folder: Path) -> None:
    got: list[tuple[str, bytes]] = []
    with PageServer("run", receive=lambda kind, body: got.append((kind, body))) as server:
        for kind in ("progress", "result", "error"):
            assert requests.post(server.url + kind, data=kind * 1000, timeout=10).status_code == 204
        assert requests.post(server.url + "other?drawing=1", timeout=10).status_code in (404, 405)
    assert got == [(kind, kind.encode() * 1000) for kind in ("progress", "result", "error")]
    assert [(r.method, r.path, r.query, r.received) for r in server.requests] == [
        ("POST", "progress", "", 8000),
        ("POST", "result", "", 6000),
        ("POST", "error", "", 5000),
        ("POST", "other", "drawing=1", 0),
    ]


def test_a_page_that_has_nobody_to_talk_to_may_not_post(server: PageServer) -> None:
    assert requests.post(server.url + "result", data=b"1", timeout=10).status_code == 405


def test_nothing_is_left_after_stop(folder: Path) -> None:
    threads = threading.active_count()
    server = PageServer("run")
    with requests.Session() as session:
        session.get(server.url, timeout=10)
        server.stop()
        server.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(server.url, timeout=10)
    assert threading.active_count() == threads


@pytest.mark.parametrize("page", ["absent", "../page", "", "run/../run"])
def test_a_page_that_does_not_exist_is_refused_with_those_that_do(page: str) -> None:
    with pytest.raises(ValueError, match=r"the pages are .*run"):
        PageServer(page)
