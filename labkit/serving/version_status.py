"""How clients name a version, and what a server says of its versions; the same over both protocols."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VersionStatus:
    """One version as the server reports it.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error_code: OK, or why it failed to load.
        error_message: the same in words.
    """

    version: int
    state: str
    error_code: str
    error_message: str


def one_version(version: int | None, label: str | None) -> None:
    """A request names a version by its number, by its label, or not at all.

    Raises:
        ValueError: by both.
    """
    if version is not None and label is not None:
        raise ValueError(f"A request names a version by number or by label, not both; got {version} and {label!r}")
