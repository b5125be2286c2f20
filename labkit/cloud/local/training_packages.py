"""The Python packages of a training job, unpacked where its processes find them."""

import sys
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from labkit.cloud.local.objects import Objects
from labkit.cloud.local.status import invalid

if sys.version_info >= (3, 12):
    import tarfile
else:
    from backports import tarfile  # Python before 3.11.4 has no filter that refuses names outside the folder


@dataclass(frozen=True)
class Packages:
    """What was unpacked.

    Attributes:
        path: folders for the processes' ``PYTHONPATH``.
        unmet: requirements that this environment does not meet, as in ``polars>=1``. Nothing is installed.
    """

    path: tuple[Path, ...]
    unmet: tuple[str, ...]


def unpack(objects: Objects, uris: Sequence[str], folder: Path) -> Packages:
    """Copy packages from their bucket and unpack them.

    Args:
        objects: what is in the buckets.
        uris: source distributions (``.tar.gz``) and wheels.
        folder: where to; each gets its own folder in it.

    Raises:
        ApiError: NOT_FOUND, a package is not there; INVALID_ARGUMENT, it is no such package.
    """
    path: list[Path] = []
    requirements: list[str] = []
    for number, uri in enumerate(uris):
        place = folder / str(number)
        place.mkdir(parents=True)
        archive = place / uri.rpartition("/")[2]
        archive.write_bytes(objects.read(uri))
        root = _unpack_one(archive, place, uri)
        path += [each for each in (root, root / "src") if each.is_dir()]
        requirements += _requirements(root)
    return Packages(tuple(path), tuple(each for each in dict.fromkeys(requirements) if not _is_met(each)))


def _unpack_one(archive: Path, place: Path, uri: str) -> Path:
    """Unpack `archive` and return the folder that modules are found in."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(place / "wheel")
            return place / "wheel"
        with tarfile.open(archive) as source:
            source.extractall(place / "source", filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise invalid(
            f"The package {uri} cannot be unpacked ({error}). Expected a source distribution (.tar.gz) or a wheel "
            "(.whl)."
        ) from None
    inside = list((place / "source").iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else place / "source"


def _requirements(root: Path) -> Iterable[str]:
    """What a package's own files say that it requires, extras left out."""
    for file in (*root.glob("*.egg-info/requires.txt"), *root.glob("src/*.egg-info/requires.txt")):
        yield from file.read_text(encoding="utf-8").partition("\n[")[0].splitlines()
    for file in root.glob("*.dist-info/METADATA"):
        yield from HeaderParser().parsestr(file.read_text(encoding="utf-8")).get_all("Requires-Dist", [])


def _is_met(text: str) -> bool:
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return True
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except InvalidRequirement:
        return not text.strip()
    except metadata.PackageNotFoundError:
        return False
