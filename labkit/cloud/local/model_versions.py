"""The versions of the models: each is a resource of its own, ``…/models/M@N``, with a folder for its files."""

import re
import shutil
from pathlib import Path

from google.cloud.aiplatform_v1 import types

from labkit.cloud.local import artifacts
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.status import invalid, not_found, unmet

DEFAULT = "default"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")


class ModelVersions:
    """What is in the registry, kept in the cloud's resources."""

    def __init__(self, cloud: LocalCloud) -> None:
        """See the versions that are in `cloud`."""
        self._resources = cloud.resources
        self._cloud = cloud

    def of(self, name: str) -> list[types.Model]:
        """The versions of a model, newest first.

        Args:
            name: as in ``projects/p/locations/l/models/m``; a version behind ``@`` does not matter.

        Raises:
            ApiError: NOT_FOUND, there is no such model.
        """
        base = base_of(name)
        found = [each for each in self.all(parent_of(base)) if base_of(each.name) == base]
        if not found:
            raise not_found(f"The Model {base} does not exist.")
        return found

    def all(self, parent: str) -> list[types.Model]:
        """Every version of every model of a location, newest first."""
        return self._resources.list(parent, types.Model)

    def get(self, name: str) -> types.Model:
        """The stored message of one version.

        Args:
            name: a model's name, alone (the default version) or with ``@`` and a version's number or alias.

        Raises:
            ApiError: NOT_FOUND.
        """
        base, _, wanted = name.partition("@")
        wanted = wanted if wanted not in ("", "-") else DEFAULT
        versions = self.of(base)
        for version in versions:
            if wanted == version.version_id or wanted in version.version_aliases:
                return version
        known = ", ".join(sorted(each.version_id for each in versions))
        raise not_found(f"The Model {base} has no version {wanted!r}. Its versions: {known}.")

    def give_aliases(self, version: types.Model, aliases: list[str]) -> None:
        """Give aliases to a stored version, or take those away that start with ``-``; an alias is one version's only.

        Raises:
            ApiError: INVALID_ARGUMENT, one cannot be an alias; FAILED_PRECONDITION, there would be no default version.
        """
        added = {alias for alias in aliases if not alias.startswith("-")}
        removed = {alias[1:] for alias in aliases if alias.startswith("-")}
        added, removed = added - removed, removed - added  # what comes and goes in one request stays as it is
        check_aliases(added)
        if DEFAULT in removed and DEFAULT in version.version_aliases:
            raise unmet(
                f"The default alias cannot be removed from {version.name}: a model has exactly one default version. "
                "Give the alias to another version instead."
            )
        with self._resources.lock:
            for each in self.of(version.name):
                gone = removed if each is version else added
                kept = [alias for alias in each.version_aliases if alias not in gone]
                if each is version:
                    kept += sorted(added - set(kept))
                if kept != list(each.version_aliases):
                    each.version_aliases = kept
                    self._resources.changed(each)

    def reserve(self, base: str) -> tuple[str, Path]:
        """The number of a model's next version and the new, empty folder for its files. No number is given twice."""
        folder = self._folder(base)
        with self._resources.lock:
            folder.mkdir(parents=True, exist_ok=True)
            number = max((int(each.name) for each in folder.iterdir()), default=0) + 1
            (folder / str(number)).mkdir()
        return str(number), folder / str(number)

    def files(self, version: types.Model) -> Path:
        """The folder with a version's own copy of its artifacts, empty if it has none."""
        return self._folder(base_of(version.name)) / version.version_id

    def forget(self, version: types.Model) -> None:
        """Remove one version; its empty folder stays, so that its number is not given again."""
        self._resources.remove(version.name)
        artifacts.forget(self._cloud, version)
        folder = self.files(version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)

    def forget_model(self, base: str) -> None:
        """Remove a model with all its versions."""
        with self._resources.lock:
            for version in self.of(base):
                self.forget(version)
        shutil.rmtree(self._folder(base), ignore_errors=True)

    def _folder(self, base: str) -> Path:
        _, _, _, location, _, model = base.split("/")
        return self._cloud.folder / "models" / location / model


def base_of(name: str) -> str:
    """A model's name without its version."""
    return name.partition("@")[0]


def parent_of(name: str) -> str:
    """The location of a resource, as in ``projects/p/locations/l``."""
    return "/".join(name.split("/")[:4])


def check_aliases(aliases: set[str]) -> None:
    """Raise INVALID_ARGUMENT unless each may be an alias."""
    for alias in sorted(aliases):
        if not _ALIAS.fullmatch(alias):
            raise invalid(
                f"Invalid version alias {alias!r}. Expected [a-z][a-zA-Z0-9-]{{0,126}}[a-z0-9]: 2 to 128 letters, "
                "digits and dashes, a lower-case letter first, so that it is not taken for a version's number."
            )
