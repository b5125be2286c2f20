"""An upload into the local cloud, beside the least that a copy over HTTP takes: `requests` into Python's `http.server`.

Google's client writes into a bucket through the proxy and TLS, with checksums on both sides; the copy has none of it.
As a program, `python -m bench.cloud_upload`, this is the copy's server.
"""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench import report
from bench.turns import take_turns
from bench.words import middle, paragraph, ratio
from labkit import processes, show

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

CASE = "cloud, upload"
CLOUD, COPY = "Google's client, local cloud", "requests, http.server"
FILES = 8
FILE_BYTES = 25_000_000
_COPY_READY = r"copies at (\d+)"


def measure_upload(run: report.Run, work: Path, rounds: int) -> None:
    """Seconds to upload 200 MB as 8 files at once; and to copy them over loopback HTTP."""
    folder = work / "upload"
    folder.mkdir()
    for number in range(FILES):
        (folder / str(number)).write_bytes(os.urandom(FILE_BYTES))
    with _bucket() as bucket, _copy_server() as url:
        sides = {CLOUD: lambda: _upload(bucket, folder), COPY: lambda: _copy(url, folder)}
        run.add(CASE, "s", take_turns(sides, rounds))


def _upload(bucket: "Bucket", folder: Path) -> float:
    from google.cloud.storage import transfer_manager

    names = [path.name for path in folder.iterdir()]
    start = time.perf_counter()
    transfer_manager.upload_many_from_filenames(
        bucket, names, str(folder), max_workers=FILES, worker_type=transfer_manager.THREAD, raise_exception=True
    )
    return time.perf_counter() - start


def _copy(url: str, folder: Path) -> float:
    import requests

    def put(path: Path) -> None:
        with path.open("rb") as file:
            requests.put(f"{url}/{path.name}", data=file, timeout=60).raise_for_status()

    start = time.perf_counter()
    with ThreadPoolExecutor(FILES) as pool:
        list(pool.map(put, folder.iterdir()))
    return time.perf_counter() - start


def section(run: report.Run) -> list[str]:
    """The page's section, if the run has numbers for it."""
    if CASE not in run.cases:
        return []
    cloud, copy = (middle(run.cases[CASE][side]) for side in (CLOUD, COPY))
    verdict = report.judge(run, report.Bar(CASE, CLOUD, (COPY,), None, more_is_better=False))
    said = (
        f"{show.size(FILES * FILE_BYTES)} in {FILES} files at once take Google's client {cloud} s "
        f"into the local cloud's bucket, through proxy and TLS, with checksums on both sides. Put by `requests` into "
        f"Python's `http.server`, which has none of it, they take {copy} s. "
        f"The ratio is {ratio(verdict.ratio)} ({ratio(verdict.low)} to {ratio(verdict.high)})."
    )
    return ["## An upload into the local cloud", "", *paragraph(said)]


@contextmanager
def _bucket() -> "Iterator[Bucket]":
    from google.cloud import storage

    from labkit.cloud.session import start_local

    with start_local() as gcp, storage.Client(project=gcp.project) as client:
        yield client.bucket(gcp.bucket)


@contextmanager
def _copy_server() -> Iterator[str]:
    process = processes.start([sys.executable, "-m", "bench.cloud_upload"], name="copies", ready=_COPY_READY)
    try:
        yield f"http://127.0.0.1:{process.wait_for_log(_COPY_READY, timeout=1)[1]}"
    finally:
        process.stop()


class _Copies(BaseHTTPRequestHandler):
    """Keeps what is put, and nothing else."""

    protocol_version = "HTTP/1.1"
    kept: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self) -> None:
        self.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), _Copies) as server:
        print(f"copies at {server.server_address[1]}", flush=True)
        server.serve_forever()
