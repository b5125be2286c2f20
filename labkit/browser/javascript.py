"""Where TensorFlow.js comes from: npm packages, fetched once, checked against a lock, offline ever after.

`npm/package.json` names the packages and, under ``labkit.keep``, the few files of each that pages use (a package of
TensorFlow.js is mostly source maps). `npm/package-lock.json` is npm's own lock; its hashes are the only ones believed.

    <sys.prefix>/share/labkit/javascript/   or what LABKIT_JAVASCRIPT names
    └── 1f0c9a52be77/                       first digits of the two files' hash: another lock, another folder
        └── node_modules/                   complete or not there: written aside, then renamed
"""

import argparse
import base64
import errno
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from labkit.browser.npm_command import NODE, npm
from labkit.errors import EnvironmentProblem

MANIFEST = Path(__file__).with_name("npm")
PLACE = "LABKIT_JAVASCRIPT"
COMMAND = "python -m labkit.browser.javascript"
_ASIDE = "fetching-"
_ABANDONED_SECONDS = 3600


@dataclass(frozen=True)
class Package:
    """One npm package as the lock has it.

    Attributes:
        name: such as ``@tensorflow/tfjs``.
        version: the exact one.
        integrity: its tarball's hash as npm writes it: ``sha512-`` and base64.
        keep: patterns of the files that pages use, relative to the package; ``*`` does not cross a ``/``.
    """

    name: str
    version: str
    integrity: str
    keep: tuple[str, ...]

    def wants(self, file: str) -> bool:
        """Whether `file`, a path within the package, is kept. What says who made it under which licence always is."""
        patterns = ("package.json", "LICENSE*", *self.keep)
        return any(file.count("/") == one.count("/") and fnmatchcase(file, one) for one in patterns)


def locked(manifest: Path = MANIFEST) -> list[Package]:
    """The packages that `manifest`, a folder with package.json and package-lock.json, asks for directly.

    What they depend on in turn is in the lock too, for npm's sake, but is bundled into the files that are kept.
    """
    wanted = json.loads((manifest / "package.json").read_text(encoding="utf-8"))
    entries = json.loads((manifest / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    keep = wanted["labkit"]["keep"]
    found = ((name, entries[f"node_modules/{name}"]) for name in wanted["dependencies"])
    return [Package(name, one["version"], one["integrity"], tuple(keep[name])) for name, one in found]


def place(manifest: Path = MANIFEST) -> Path:
    """The folder of this lock's packages, whether they are there or not."""
    digest = hashlib.sha256()
    for name in ("package.json", "package-lock.json"):
        digest.update((manifest / name).read_bytes())
    return _root() / digest.hexdigest()[:12]


def _root() -> Path:
    named = os.environ.get(PLACE)
    return Path(named).expanduser().absolute() if named else Path(sys.prefix, "share", "labkit", "javascript")


def packages(manifest: Path = MANIFEST) -> Path:
    """The node_modules folder with TensorFlow.js in it.

    Raises:
        EnvironmentProblem: it was not fetched yet; nothing is fetched here, because that takes a network.
    """
    folder = place(manifest) / "node_modules"
    if folder.is_dir():
        return folder
    raise EnvironmentProblem(
        f"TensorFlow.js is not in {folder.parent.parent}. Fetch it once, with a network: `make environment`, or "
        f"`{COMMAND}` with this Python. ({PLACE}=/folder names another place.)"
    )


def fetch(manifest: Path = MANIFEST, say: Callable[[str], None] = lambda line: None) -> Path:
    """Fetch the packages if they are not there yet, and return the node_modules folder.

    npm downloads them, with the user's own settings (registry, proxy, certificates); where there is no npm, one is
    borrowed from PyPI for the occasion. A tarball is opened only after its hash was compared with the lock's.

    Args:
        manifest: a folder with package.json, package-lock.json and node.txt.
        say: called with a line for every step that takes time.

    Raises:
        EnvironmentProblem: there is no npm and none could be borrowed, the registry was not reached, a tarball is not
            the lock's, or the folder cannot be written. Nothing is kept then.
    """
    folder = place(manifest)
    if (folder / "node_modules").is_dir():
        return folder / "node_modules"
    try:
        _fetch_aside(manifest, folder, say)
    except OSError as error:
        raise EnvironmentProblem(_in_words(error, folder.parent)) from error
    return folder / "node_modules"


def _in_words(error: OSError, root: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk with {root} is full. TensorFlow.js takes 60 MB there and as much again while it is fetched."
    return f"TensorFlow.js cannot be written to {root}: {error}. Name a folder that can be: {PLACE}=/folder {COMMAND}"


def _fetch_aside(manifest: Path, folder: Path, say: Callable[[str], None]) -> None:
    root = folder.parent
    root.mkdir(parents=True, exist_ok=True)
    _tidy(root)
    with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=root, ignore_cleanup_errors=True) as temporary:
        complete = Path(temporary, "complete")
        with npm(Path(temporary, "node"), manifest / NODE, say) as run_npm:
            for package in locked(manifest):
                tarball = run_npm.pack(f"{package.name}@{package.version}", Path(temporary, "tarball"))
                say(f"{package.name} {package.version}, {len(tarball) / 1e6:.1f} MB")
                _unpack(package, tarball, complete / "node_modules" / package.name)
        _publish(complete, folder)
    if not os.environ.get(PLACE):  # a place that was named may be shared by installations of several ages
        for old in root.iterdir():
            if old != folder and not old.name.startswith(_ASIDE):
                shutil.rmtree(old, ignore_errors=True)


def _tidy(root: Path) -> None:
    """Remove what a fetch left that was killed; a young one may still be running in another process."""
    for left in root.glob(f"{_ASIDE}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _publish(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        if not (folder / "node_modules").is_dir():  # else another process was faster, with the same files
            raise


def _unpack(package: Package, tarball: bytes, folder: Path) -> None:
    """Check a tarball and write its wanted files. Contents only: no links, no modes, no names but those we ask for."""
    algorithm, _, expected = package.integrity.partition("-")
    found = base64.b64encode(hashlib.new(algorithm, tarball).digest()).decode()
    if found != expected:
        raise EnvironmentProblem(
            f"The registry's {package.name} {package.version} is not the one that labkit was made with: its "
            f"{algorithm} is {found}, package-lock.json has {expected}. Nothing was kept. A proxy or mirror may have "
            f"changed it: ask npm's other registry, if it has a mirror set (npm config get registry)."
        )
    written = set()
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as members:
        for member in members:
            name = member.name.partition("/")[2]  # the first folder is npm's, usually `package`
            content = members.extractfile(member) if member.isfile() and package.wants(name) else None
            if content is not None:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
                written.add(name)
    lacking = [one for one in package.keep if not any(fnmatchcase(name, one) for name in written)]
    if lacking:
        raise EnvironmentProblem(f"{package.name} {package.version} has no {', '.join(lacking)}: see npm/package.json.")


def main(argv: Sequence[str] | None = None) -> int:
    """The command: fetch what is not there, say where it is. 0 when it is there afterwards, else 1."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Fetch TensorFlow.js for pages (56 MB, once). Afterwards nothing needs a network."
    )
    parser.parse_args(argv)
    try:
        folder = fetch(say=lambda line: print(f"     {line}", flush=True))
    except EnvironmentProblem as problem:
        print(f"     {problem}", file=sys.stderr)
        return 1
    print(f"     TensorFlow.js is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
