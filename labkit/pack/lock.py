"""requirements.lock, read: which exact packages one kind of machine needs, and their hashes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from labkit.errors import EnvironmentProblem
from labkit.pack.targets import Target

_BLOCK = re.compile(r"^([A-Za-z0-9].*?)\s*\\?\n((?:[ \t].*\n?)*)", flags=re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Locked:
    """One package of the lock.

    Attributes:
        name: as the package index writes it.
        version: the exact one.
        marker: on which machines it is installed; None means on all.
        hashes: sha256 of every file of that version, in hexadecimal.
    """

    name: str
    version: str
    marker: Marker | None
    hashes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    def best(self, wheels: Iterable[Path], target: Target) -> Path | None:
        """Among `wheels` the one of this package that an installer would choose on `target`; None if none fits."""
        fitting = [(rank, wheel) for wheel in wheels if (rank := self._rank(wheel, target)) is not None]
        return min(fitting)[1] if fitting else None

    def _rank(self, wheel: Path, target: Target) -> int | None:
        try:
            name, version, _, wheel_tags = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            return None
        same = name == canonicalize_name(self.name) and version == Version(self.version)
        return target.rank(wheel_tags) if same else None


def read(lock: Path) -> list[Locked]:
    """Every package of a lock.

    Raises:
        EnvironmentProblem: there is no such file, or a package in it has no exact version or no hash.
    """
    if not lock.is_file():
        raise EnvironmentProblem(f"there is no {lock}; a bundle is packed from a clone of the labs, with its lock")
    return [_locked(line, below, lock) for line, below in _BLOCK.findall(lock.read_text(encoding="utf-8"))]


def _locked(line: str, below: str, lock: Path) -> Locked:
    requirement = Requirement(line.removesuffix("\\"))
    exact = [one.version for one in requirement.specifier if one.operator == "=="]
    hashes = frozenset(_HASH.findall(below))
    if len(exact) != 1 or not hashes:
        raise EnvironmentProblem(f"{lock} has {line!r} without an exact version or without hashes; write it: make lock")
    return Locked(requirement.name, exact[0], requirement.marker, hashes)
