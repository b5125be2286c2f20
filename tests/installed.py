"""What is there when labkit is installed with some extras and nothing else is; the rest can be hidden from a Python."""

import importlib.metadata

from packaging.requirements import Requirement

OVERRIDDEN = {"backports.strenum"}  # by pyproject.toml, which says why
HIDDEN = "LABKIT_TEST_HIDDEN"
"""Environment variable: modules that cannot be imported, with commas between, where `HIDES` has run."""
HIDES = f"""
import os, sys
hidden = set(os.environ["{HIDDEN}"].split(","))
class Without:  # one of Python's finders, which does not find what is hidden
    def __init__(self, finder): self.finder = finder
    def __getattr__(self, name): return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if any(".".join(parts[:length]) in hidden for length in range(1, len(parts) + 1)): return None
        return self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path if hasattr(finder, "find_spec")]
"""


def packages(requirements: list[str]) -> set[str]:
    """The names of all packages that installing these brings."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        for each in {"", *wanted.extras}:
            if (wanted.name.lower(), each) not in found and wanted.name not in OVERRIDDEN:
                found.add((wanted.name.lower(), each))
                waiting += [(Requirement(line), each) for line in importlib.metadata.requires(wanted.name) or []]
    return {name for name, _ in found}


def modules(names: set[str]) -> set[str]:
    """All modules and packages of modules that these distributions hold."""
    held = set()
    for name in names:
        for file in importlib.metadata.files(name) or []:
            if file.suffix in (".py", ".so", ".pyd"):
                parts = [*file.parts[:-1], file.name.partition(".")[0]]
                held |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return held


def hidden_from(there: set[str], every: set[str]) -> set[str]:
    """What of `every` is to be hidden so that only `there` is."""
    return {name for name in every - there if name.rpartition(".")[0] in there | {""}}
