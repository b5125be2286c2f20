"""What became of each lab that was run here: a report to read, and the memory of a run that is resumed."""

import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from labkit.errors import NotebookError
from labkit.notebooks import files

RAN, FAILED, INTERRUPTED = "ran", "failed", "interrupted"


@dataclass(frozen=True)
class Result:
    """What became of one lab.

    Attributes:
        lab: its file's name.
        outcome: ``ran``, ``failed`` or ``interrupted``.
        cells: how many code cells it has.
        seconds: how long it took.
        processor: how many seconds of processor time its kernel and all processes below that took.
        memory: the most bytes that these processes held together, looked at once a second.
        when: when it ended, local time.
        trouble: what went wrong.
        files: of each file that was read or written, its SHA-256 afterwards.
    """

    lab: str
    outcome: str
    cells: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    memory: int = 0
    when: str = ""
    trouble: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def after(self, paths: Iterable[Path]) -> "Result":
        """The same, with the time now and the files as they are now."""
        now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        return replace(self, when=now, files={str(path.resolve()): files.sha256(path) for path in paths})

    @property
    def still_holds(self) -> bool:
        """Whether its files are as they were then."""
        return all(files.sha256(Path(path)) == digest for path, digest in self.files.items())

    def covers(self, paths: Iterable[Path]) -> bool:
        """Whether the lab ran well, and read and wrote just these files."""
        return self.outcome == RAN and {str(path.resolve()) for path in paths} == self.files.keys()


class Report:
    """The last result of each lab in this environment; kept in ``report.json`` and ``report.md`` of `folder`.

    Results of another environment, and of labs that have changed since, are forgotten.
    """

    def __init__(self, folder: Path) -> None:
        """Reads what is there.

        Raises:
            NotebookError: ``report.json`` is not what is written here.
        """
        self.folder = folder
        self.environment = environment()
        self.results: dict[str, Result] = {}
        try:
            kept = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            if kept["environment"] == self.environment:
                results = [Result(**one) for one in kept["labs"]]
                self.results = {one.lab: one for one in results if one.still_holds}
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            raise NotebookError(
                f"{folder / 'report.json'} cannot be read ({error}); delete it and run again"
            ) from error

    def add(self, result: Result) -> None:
        """Puts a lab's result in place of its older one, and both files on the disk.

        Raises:
            NotebookError: the disk does not take them.
        """
        self.results[result.lab] = result
        labs = [asdict(self.results[name]) for name in sorted(self.results)]
        kept = json.dumps({"environment": self.environment, "labs": labs}, indent=1)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files.put(self.folder / "report.json", kept)
            files.put(self.folder / "report.md", self.text())
        except OSError as error:
            raise NotebookError(f"the report cannot be written to {self.folder}: {error}") from error

    def text(self) -> str:
        """The report in Markdown."""
        results = [self.results[name] for name in sorted(self.results)]
        counts = {outcome: sum(one.outcome == outcome for one in results) for outcome in (RAN, FAILED, INTERRUPTED)}
        about = ", ".join(value for name, value in self.environment.items() if name != "fingerprint")
        lines = ["# The last run of each lab", "", about, ""]
        lines += [", ".join(f"{outcome}: {count}" for outcome, count in counts.items() if count), ""]
        lines += [
            "| lab | result | code cells | seconds | processor seconds | peak memory, MB | ended |",
            "|---|---|--:|--:|--:|--:|---|",
        ]
        for one in results:
            numbers = f"{one.cells} | {one.seconds:.1f} | {one.processor:.1f} | {one.memory / 1e6:.0f}"
            lines.append(f"| {one.lab} | {one.outcome} | {numbers} | {one.when} |")
        for one in results:
            if one.trouble:
                lines += ["", f"## {one.lab} {one.outcome}", "", "````text", one.trouble, "````"]
        return "\n".join([*lines, ""])


@functools.cache
def environment() -> dict[str, str]:
    """What a lab's result depends on beside the lab: machine, versions, labkit's own files; as words and as a hash."""
    # What an uninstall left behind has no name.
    found = [dist for dist in importlib.metadata.distributions() if "Name" in dist.metadata]
    versions = {dist.metadata["Name"]: dist.version for dist in found}
    memory = psutil.virtual_memory().total / 2**30
    about = {
        "labkit": f"labkit {versions.get('labkit', '(not installed)')}",
        "python": f"Python {platform.python_version()}",
        "tensorflow": f"TensorFlow {versions.get('tensorflow', '(not installed)')}",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, {memory:.1f} GiB of memory",
    }
    digest = hashlib.sha256(json.dumps([about, sorted(versions.items())]).encode())
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and "node_modules" not in path.parts:
            digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return about | {"fingerprint": digest.hexdigest()}
