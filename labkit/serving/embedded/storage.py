"""What stands in a model's folder: its versions, and whether they are complete."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from labkit.serving.embedded.completeness import Lack, lack_of

logger = logging.getLogger(__name__)
_INT64 = range(-(1 << 63), 1 << 63)

SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
TFLITE_MODEL = "model.tflite"
Fingerprint = tuple[tuple[str, int, int], ...]  # of every file in a folder: name, size, time


def model_files(*, prefer_tflite: bool) -> tuple[str, ...]:
    """The files of which one makes a folder a version; `prefer_tflite` is the flag ``--prefer_tflite_model``."""
    return (TFLITE_MODEL, *SAVED_MODEL) if prefer_tflite else SAVED_MODEL


@dataclass(frozen=True)
class VersionFolder:
    """A version on disk.

    Attributes:
        version: its number; leading zeros of the folder's name do not count.
        path: the folder.
    """

    version: int
    path: Path

    def complete(self, files: Sequence[str] = SAVED_MODEL) -> bool:
        """Whether one of `files` stands there; in a folder that is being copied in there is none yet."""
        return any(os.path.isfile(self.path / name) for name in files)

    def lack(self, files: Sequence[str] = SAVED_MODEL) -> Lack | None:
        """What has to come before the first of `files` that stands there can be loaded; None if it can be now."""
        found = next((name for name in files if os.path.isfile(self.path / name)), None)
        if found is None:
            return Lack(f"a {files[0]}", unseen=True)
        try:
            return lack_of(self.path) if found == SAVED_MODEL[0] else None
        except OSError:
            return None  # a load says why it cannot be read

    def fingerprint(self) -> Fingerprint:
        """Names, sizes and times of its files: a version that failed to load is tried again once this changes.

        What cannot be looked at, or goes meanwhile, is no error: it changes the answer.
        """
        files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(self.path) for name in names)
        return tuple((os.path.relpath(file, self.path), *_size_and_time(file)) for file in files)


def _size_and_time(file: str) -> tuple[int, int]:
    try:
        found = os.stat(file)
    except OSError:  # gone since it was listed, or out of reach
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def version_number(name: str) -> int | None:
    """The version that a child of a model's folder stands for, None when its name is not a whole number.

    As in TensorFlow Serving the whole name must parse as int64: ``1``, ``0002`` and ``1700000000`` do, ``v1``,
    ``1.tmp`` and ``.ipynb_checkpoints`` do not and are ignored (sources/storage_path).
    """
    digits = name[1:] if name[:1] in "+-" else name
    if not (digits.isascii() and digits.isdigit() and len(digits) < 64):
        return None
    number = int(name)
    return number if number in _INT64 else None


@lru_cache(256)
def _warn_of_two(number: int, used: Path, unused: Path) -> None:
    """Once, not at every look."""
    logger.warning("Version %s stands there twice: using %s, not %s", number, used, unused)


def version_folders(base_path: Path) -> list[VersionFolder]:
    """The versions in `base_path`, lowest first. Of two names for one number (``2``, ``0002``) the last one counts.

    Raises:
        OSError: `base_path` cannot be listed.
    """
    found: dict[int, VersionFolder] = {}
    for child in sorted(base_path.iterdir(), key=lambda path: path.name):
        number = version_number(child.name)
        if number is None:
            continue
        if number in found:
            _warn_of_two(number, child, found[number].path)
        found[number] = VersionFolder(number, child)
    return [found[number] for number in sorted(found)]
