"""Wheels for any kind of machine, fetched by pip with its user's own settings and checked against the lock."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.pack.lock import Locked
from labkit.pack.targets import Target

# So many packages a call of pip: what an interrupted one had fetched is lost, and each start costs a second.
TOGETHER = 8
_UNREACHED = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Max retries exceeded",
    "ConnectTimeoutError",
    "Connection broken",
    "Read timed out",
    "ProxyError",
)


def fetch(
    wanted: list[Locked], target: Target, folder: Path, *, watch: Callable[[int], None] = lambda count: None
) -> Iterator[dict[str, str]]:
    """Fetch the wheels of `wanted` into `folder`, a few packages at a time.

    A file that is there already with the right hash is not fetched again.

    Args:
        folder: where wheels are, those for other targets too.
        watch: called twice a second with the number of bytes that pip has under way.

    Yields:
        after each few: which file each package got, by ``name==version``.

    Raises:
        EnvironmentProblem: no network, a full disk, a package without a wheel for `target`, or a file that is not
            the lock's. What was fetched before stays.
    """
    if importlib.util.find_spec("pip") is None:
        raise EnvironmentProblem(
            f"pip is not in this environment. Add it: {sys.executable} -m ensurepip; where that is missing (Debian), "
            f"{sys.executable} -m uv pip install pip"
        )
    folder.mkdir(parents=True, exist_ok=True)
    groups = -(-len(wanted) // TOGETHER)
    for first in range(groups):  # neighbours apart: two versions of one package are no business for one call
        few = wanted[first::groups]
        _download(few, target, folder, watch)
        yield {str(one): _chosen(one, target, folder) for one in few}


def sha256(file: Path) -> str:
    """A file's sha256 in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _chosen(one: Locked, target: Target, folder: Path) -> str:
    wheel = one.best(folder.glob("*.whl"), target)
    if wheel is None or sha256(wheel) not in one.hashes:
        found = "nothing that fits" if wheel is None else f"{wheel.name}, which is not the lock's"
        raise EnvironmentProblem(
            f"pip left {found} in {folder} for {one} on {target}. Remove that file and try again; nothing else is lost."
        )
    return wheel.name


def _download(few: list[Locked], target: Target, folder: Path, watch: Callable[[int], None]) -> None:
    """One call of pip. It writes aside in `folder` first, not in a small /tmp, and moves what is complete."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder, ignore_cleanup_errors=True) as aside:
        requirements, said = Path(aside, "wanted.txt"), Path(aside, "said.txt")
        requirements.write_text("".join(_line(one) for one in few), encoding="utf-8")
        with said.open("wb") as log:
            pip = subprocess.Popen(_command(requirements, target, folder), stdout=log, stderr=log, env=_settings(aside))
            try:
                while not _ended(pip):
                    watch(_bytes_in(Path(aside)))
            finally:
                pip.kill()  # after Ctrl-C; it has ended otherwise
                pip.wait()
        if pip.returncode != 0:
            raise EnvironmentProblem(_in_words(said.read_text(encoding="utf-8", errors="replace"), few, target, folder))


def _line(one: Locked) -> str:
    return " ".join([str(one), *(f"--hash=sha256:{digest}" for digest in sorted(one.hashes))]) + "\n"


def _command(requirements: Path, target: Target, folder: Path) -> list[str]:
    # The lock decides what is installed. Some of its packages say that they are for older Pythons only; uv takes them.
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--ignore-requires-python"]
    quiet = ["--disable-pip-version-check", "--progress-bar=off", "--no-input", "--no-cache-dir", "--retries=3"]
    platforms = [f"--platform={tag}" for tag in target.platform_tags()]
    place = ["--python-version", target.python, "--dest", str(folder), "--requirement", str(requirements)]
    return [sys.executable, "-m", "pip", "download", *options, *quiet, *platforms, *place]


def _settings(aside: str) -> dict[str, str]:
    return os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), aside)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return False
    return True


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):  # unlike rglob, it passes over what pip removes meanwhile
        for file in files:
            with suppress(OSError):
                total += Path(place, file).stat().st_size
    return total


def _in_words(said: str, few: list[Locked], target: Target, folder: Path) -> str:
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    words = f"pip said: {(errors[-1] if errors else said.strip()[-300:])[:300]}"
    if "No space left on device" in said or "Errno 28" in said:
        return f"The disk with {folder} is full; a platform takes 1 GB. Free some, or name another folder. {words}"
    if any(sign in said for sign in _UNREACHED):
        return (
            f"The package index was not reached. What is in {folder} stays: the same command goes on from there, "
            f"with a network or with pip's proxy set (PIP_PROXY). {words}"
        )
    if "DO NOT MATCH THE HASHES" in said:
        return (
            f"The package index has another file than requirements.lock, for one of {', '.join(map(str, few))}. It was "
            f"not kept. A proxy or mirror may have changed it: try another index (PIP_INDEX_URL). {words}"
        )
    if "No matching distribution" in said:
        return f"A package has no wheel for {target}. Leave that platform or Python out, or try another one. {words}"
    return f"pip could not fetch the wheels for {target}. {words}"
