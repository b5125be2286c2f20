"""What the README tells a newcomer to install: nothing else comes into the bare Debian."""

import re
from pathlib import Path

_LINE = re.compile(r"^sudo apt-get install ([a-z0-9 .+-]+?)\s*(?:#.*)?$", flags=re.MULTILINE)


def named_by(readme: Path) -> list[str]:
    """The packages of the one line of `readme` that begins with ``sudo apt-get install``.

    Raises:
        ValueError: there is no such line, or several.
    """
    found = _LINE.findall(readme.read_text(encoding="utf-8"))
    if len(found) != 1:
        raise ValueError(f"{readme} has {len(found)} lines that begin with `sudo apt-get install`; make it one")
    return found[0].split()
