"""Where the labs are: they are in the repository, not in the package."""

from pathlib import Path

from labkit.errors import EnvironmentProblem

FIRST_LAB = Path("labs", "00_start_here.ipynb")


def root(start: Path | None = None) -> Path:
    """The folder that holds `labs/`.

    Args:
        start: where to look first, then in each folder above it; the current folder by default. What is found nowhere
            there is looked for in the checkout that labkit is installed from.

    Raises:
        EnvironmentProblem: neither has `labs/00_start_here.ipynb`.
    """
    start = Path.cwd() if start is None else start
    for folder in [start, *start.parents, Path(__file__).resolve().parents[1]]:
        if (folder / FIRST_LAB).is_file():
            return folder
    raise EnvironmentProblem(
        f"no {FIRST_LAB.as_posix()} in {start}, in a folder above it, or beside the installed labkit. "
        "The labs are in the repository, not in the package: clone it, change into it, and try again."
    )
