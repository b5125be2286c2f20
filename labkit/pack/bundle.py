"""The bundle: a folder that a learner's machine is set up from, without a network.

    labkit-bundle/
    ├── README.txt        the two lines that a learner types
    ├── set_up.py         what they start
    ├── bundle.json       what is in here for which machines, with sizes and hashes
    ├── labs.zip          the files of this clone that git tracks, as they are now
    ├── javascript.zip    TensorFlow.js, for the labs in the browser
    └── wheels/           the packages of requirements.lock

`bundle.json` is also the memory of an interrupted run: it is written after every few packages, `complete` at the end.
"""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labkit.browser import javascript
from labkit.errors import EnvironmentProblem
from labkit.pack import lock, wheels
from labkit.pack.set_up import FORMAT
from labkit.pack.targets import PLATFORMS, Target

RECORD = "bundle.json"
SET_UP = Path(__file__).with_name("set_up.py")
README = Path(__file__).with_name("for_learners.txt")

Watch = Callable[[Target, int, int, int], None]


class Bundle:
    """A bundle in a folder: begun, gone on with, or finished.

    Args:
        folder: where it is or is going to be.
        project: the clone that it is made from.

    Raises:
        EnvironmentProblem: `folder` holds something else.
    """

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder = folder
        self.project = project
        self.wheels = folder / "wheels"
        self.chosen: dict[Target, dict[str, str]] = {}
        if folder.exists() and not folder.is_dir():
            raise EnvironmentProblem(f"{folder} is a file; name a folder for the bundle")
        if folder.is_dir() and any(folder.iterdir()):
            self._read()

    def _read(self) -> None:
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            targets = {Target(*name.rsplit("-", 1)): one["wheels"] for name, one in record["targets"].items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EnvironmentProblem(
                f"{self.folder} is not empty and is no bundle ({RECORD} cannot be read: {error}). Name another folder."
            ) from error
        self.chosen = targets

    def pack(self, targets: Iterable[Target], watch: Watch = lambda target, done, of, moving: None) -> None:
        """Put in what is missing for `targets`, and bring up to date what the bundle has for others.

        Args:
            targets: kinds of machines that it is for; those that it has stay.
            watch: called with a target, how many of how many of its packages are there, and the bytes under way.

        Raises:
            EnvironmentProblem: no network, a full disk, a package without a wheel, a file that is not the lock's, or
                a project that git does not track. What is there stays, and the next call goes on from it.
        """
        tracked = _tracked(self.project)
        packages = lock.read(self.project / "requirements.lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(complete=False)
            for target in sorted({*targets, *self.chosen}):
                self._fetch(target, [one for one in packages if target.wants(one.marker)], watch)
            self._add_the_rest(tracked)
            self._tidy()
            self._write(complete=True)
        except OSError as error:
            raise EnvironmentProblem(f"the bundle cannot be written to {self.folder}: {error}") from error

    def _fetch(self, target: Target, wanted: list[lock.Locked], watch: Watch) -> None:
        known = self.chosen.get(target, {})
        there = {str(one): known[str(one)] for one in wanted if self._has(one, known.get(str(one)))}
        self.chosen[target] = there
        missing = [one for one in wanted if str(one) not in there]
        watch(target, len(there), len(wanted), 0)
        fetching = wheels.fetch(
            missing, target, self.wheels, watch=lambda moving: watch(target, len(there), len(wanted), moving)
        )
        for few in fetching:
            there |= few
            self._write(complete=False)
            watch(target, len(there), len(wanted), 0)

    def _has(self, one: lock.Locked, wheel: str | None) -> bool:
        file = self.wheels / Path(wheel).name if wheel else None
        return file is not None and file.is_file() and wheels.sha256(file) in one.hashes

    def _add_the_rest(self, tracked: list[str]) -> None:
        _zip(self.folder / "labs.zip", ((self.project / name, name) for name in tracked))
        packages = javascript.fetch(self.project / "labkit" / "browser" / "npm")
        _zip(self.folder / "javascript.zip", _files_below(packages.parent, packages.parent.name))
        shutil.copyfile(SET_UP, self.folder / SET_UP.name)
        (self.folder / "README.txt").write_text(self._for_learners(), encoding="utf-8")

    def _for_learners(self) -> str:
        pythons: dict[str, list[str]] = {}
        for target in sorted(self.chosen):
            pythons.setdefault(PLATFORMS[target.platform]["words"], []).append(target.python)
        machines = "\n".join(f"    {words}: Python {' or '.join(one)}" for words, one in pythons.items())
        return README.read_text(encoding="utf-8").replace("{machines}", machines)

    def _tidy(self) -> None:
        """Wheels of an older lock go; the folder is the bundle's own."""
        wanted = {wheel for one in self.chosen.values() for wheel in one.values()}
        for file in self.wheels.glob("*.whl"):
            if file.name not in wanted:
                file.unlink()
        for left in self.wheels.glob(".fetching-*"):
            shutil.rmtree(left, ignore_errors=True)

    def size(self, target: Target) -> int:
        """Bytes of the wheels of one target."""
        return sum((self.wheels / wheel).stat().st_size for wheel in self.chosen[target].values())

    def _write(self, *, complete: bool) -> None:
        record: dict[str, Any] = {
            "format": FORMAT,
            "complete": complete,
            "labkit": version("labkit"),
            "lock": wheels.sha256(self.project / "requirements.lock"),
            "commit": _git(self.project, "describe", "--always", "--dirty", "--exclude=*", check=False).strip(),
            "targets": {
                str(target): {"oldest": target.oldest, "wheels": dict(sorted(one.items()))}
                for target, one in sorted(self.chosen.items())
            },
            "files": {name: self._facts(name) for name in self._names()} if complete else {},
        }
        aside = self.folder / f".{RECORD}"
        aside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        aside.replace(self.folder / RECORD)

    def _names(self) -> list[str]:
        chosen = sorted({wheel for one in self.chosen.values() for wheel in one.values()})
        return ["labs.zip", "javascript.zip", *(f"wheels/{wheel}" for wheel in chosen)]

    def _facts(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        return {"bytes": file.stat().st_size, "sha256": wheels.sha256(file)}


def _tracked(project: Path) -> list[str]:
    """What git tracks and is still there, as paths within `project` with slashes."""
    listed = _git(project, "ls-files", "-z", "--cached").split("\0")
    return [name for name in listed if name and (project / name).is_file() and not (project / name).is_symlink()]


def _git(project: Path, *arguments: str, check: bool = True) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"git does not start ({error}), and it knows which files are the labs'") from error
    if check and answer.returncode != 0:
        raise EnvironmentProblem(
            f"{project} is no clone: a bundle holds what git tracks, so pack from a clone of the repository. "
            f"git said: {answer.stderr.strip()}"
        )
    return answer.stdout


def _files_below(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file, f"{name}/{file.relative_to(folder).as_posix()}"


def _zip(archive: Path, files: Iterable[tuple[Path, str]]) -> None:
    """The same files give the same archive: no dates in it. It is there as a whole or not at all."""
    aside = archive.with_name(f".{archive.name}")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as opened:
        for file, name in files:
            about = zipfile.ZipInfo(name)
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = (0o755 if os.access(file, os.X_OK) else 0o644) << 16
            opened.writestr(about, file.read_bytes())
    aside.replace(archive)
