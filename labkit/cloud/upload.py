"""A model folder on its way into a bucket: several files at once, and what is done so far while it takes long."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import ModelFolderError
from labkit.show import is_watched, size

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

_PATIENCE = 2.0  # seconds before progress is shown: what a lab stores must not depend on the machine


def upload_folder(bucket: "Bucket", folder: Path, prefix: str = "", *, workers: int = 8) -> list[str]:
    """Upload the files of a folder, several at once; what is there under their names is replaced.

    It is `transfer_manager.upload_many_from_filenames` with a line of progress, which is shown after two seconds and
    vanishes at the end (in a notebook, if somebody has it open).

    Args:
        bucket: where to.
        folder: whose files, those in folders below it included. Empty folders are left out: a bucket has none.
        prefix: what the objects' names start with, as in ``models/1``.
        workers: how many files at once.

    Returns:
        The objects' names, in order.

    Raises:
        ModelFolderError: there is no such folder, or there are no files in it.
        google.api_core.exceptions.GoogleAPIError: an upload failed; others may have been done before.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        what = "has no files" if folder.is_dir() else "is not a folder"
        raise ModelFolderError(f"{folder} {what}; expected what model.export(...) wrote.")
    start = prefix.strip("/") + "/" if prefix.strip("/") else ""
    names = {start + path.relative_to(folder).as_posix(): path for path in paths}
    progress = _Progress(sum(path.stat().st_size for path in paths), f"gs://{bucket.name}/{start}")
    pool = ThreadPoolExecutor(workers)
    try:
        sent = {pool.submit(bucket.blob(name).upload_from_filename, path): path for name, path in names.items()}
        for done in as_completed(sent):
            done.result()
            progress.add(sent[done].stat().st_size)
    finally:
        pool.shutdown(cancel_futures=True)
        progress.close()
    return [*names]


class _Progress:
    """A line that says how much is done."""

    def __init__(self, total: int, where: str) -> None:
        self._total, self._where, self._done = total, where, 0
        self._start = time.monotonic()
        self._in_notebook = "ipykernel" in sys.modules
        self._drawn = is_watched() if self._in_notebook else sys.stderr.isatty()  # an unwatched one would store it
        self._shown: Any = None  # in a notebook: what stands for the line there

    def add(self, number_of_bytes: int) -> None:
        """So many more are done."""
        self._done += number_of_bytes
        if self._drawn and time.monotonic() - self._start > _PATIENCE:
            self._show(f"{size(self._done)} of {size(self._total)} in {self._where}")

    def close(self) -> None:
        """Take the line away."""
        if self._shown is not None:
            self._show("")

    def _show(self, text: str) -> None:
        if not self._in_notebook:
            self._shown = text
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif self._shown is None:
            from IPython.display import display

            self._shown = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._shown.update({"text/plain": text}, raw=True)
