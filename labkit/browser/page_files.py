"""What a page may read, whichever way it asks: pages' own modules, the JavaScript packages, and what was given."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from labkit.browser import javascript

PAGES = Path(__file__).with_name("page")


class PageFiles:
    """Files by the paths that pages use: ``page/...``, ``npm/...``, ``files/NAME``, ``files/NAME/...``, no others."""

    def __init__(self, files: Mapping[str, str | os.PathLike[str] | bytes]) -> None:
        """They are looked for when they are asked for; that they are there is checked now.

        Args:
            files: what stands below ``files/``: by its name a file, a folder, or the bytes of a file.

        Raises:
            EnvironmentProblem: the JavaScript packages are not installed.
            ValueError: a name with a slash or other odd characters; a file that is not there.
        """
        self._roots: dict[str, Path] = {"page": PAGES, "npm": javascript.packages()}
        self._given = {name: _checked(name, given) for name, given in files.items()}

    def locate(self, path: str) -> Path | bytes:
        """The file, or the bytes, behind `path`. No link leads out of the folder that was given.

        Raises:
            FileNotFoundError: there is none.
        """
        room, _, rest = path.partition("/")
        root: Path | bytes | None = self._roots.get(room)
        if room == "files":
            name, _, rest = rest.partition("/")
            root = self._given.get(name)
        if root is None or "\0" in rest or (isinstance(root, bytes) and rest):
            raise FileNotFoundError(path)
        if isinstance(root, bytes) or (not rest and root.is_file()):
            return root
        inside = os.path.realpath(root)
        real = os.path.realpath(os.path.join(inside, rest))
        if not real.startswith(inside.rstrip(os.sep) + os.sep) or not os.path.isfile(real):
            raise FileNotFoundError(path)
        return Path(real)

    def read(self, path: str) -> bytes:
        """The bytes behind `path`.

        Raises:
            FileNotFoundError: there are none.
        """
        found = self.locate(path)
        return found if isinstance(found, bytes) else found.read_bytes()


def _checked(name: str, given: str | os.PathLike[str] | bytes) -> Path | bytes:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"files has the name {name!r}; a name is letters, digits, '_', '-' and '.', as model.tflite")
    if isinstance(given, bytes):
        return given
    if not Path(given).exists():
        raise ValueError(f"files[{name!r}] is {str(given)!r}, and there is nothing")
    return Path(given).absolute()
