"""What a server says of its versions, over either protocol."""

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
