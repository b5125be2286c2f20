"""Write a folder in full beside its place, then rename it into it: nobody ever sees half a model."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from labkit.errors import ModelConversionError


@contextlib.contextmanager
def written_aside(folder: str | os.PathLike[str], mark: str = "model.json") -> Iterator[Path]:
    """An empty folder to write to; when the block ends without an error it takes the place of `folder`.

    An older model at that place goes then, and only then.

    Args:
        folder: where the model shall be.
        mark: the file that every model of the kind has, by which an older one is known.

    Raises:
        ModelConversionError: `folder` is a file, or holds something that is no such model; nothing is removed then.
    """
    target = Path(folder)
    if (target / mark).is_file() and (others := _others(target, mark)):
        raise ModelConversionError(
            f"{target} holds an older model and {', '.join(others[:5])}, which would go with it. Give a folder for the "
            "model alone."
        )
    if target.exists() and not (target / mark).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ModelConversionError(
            f"{target} is there already and holds no {mark}, so it is not overwritten. Give a new or an empty folder."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
    try:
        (aside / "new").mkdir()
        yield aside / "new"
        if target.exists():
            os.rename(target, aside / "old")
        try:
            os.rename(aside / "new", target)
        except BaseException:
            if (aside / "old").exists():
                os.rename(aside / "old", target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _others(folder: Path, mark: str) -> list[str]:
    """What stands beside a model's own files."""
    return sorted(one.name for one in folder.iterdir() if one.name != mark and not fnmatch(one.name, "group*.bin"))
