"""Preconditions of a request: https://cloud.google.com/storage/docs/request-preconditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.cloud.local.storage_errors import StorageError, condition_not_met, refused

_KINDS = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")


@dataclass(frozen=True)
class Conditions:
    """What must hold for a request to be answered.

    Attributes:
        wanted: kind, as in ``GenerationMatch``, -> number; the generation 0 stands for "no such object".
    """

    wanted: Mapping[str, int]

    @classmethod
    def of(cls, query: Mapping[str, str], prefix: str = "if") -> "Conditions":
        """Those of a query.

        Args:
            query: parameters of the JSON API.
            prefix: ``ifSource`` for those on the source of a copy.

        Raises:
            StorageError: 400, not a number.
        """
        try:
            return cls({kind: int(query[prefix + kind]) for kind in _KINDS if prefix + kind in query})
        except ValueError as error:
            raise refused(f"Invalid value for a precondition: {error}") from None

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> "Conditions":
        """Those of the XML API's headers."""
        names = {
            "GenerationMatch": "x-goog-if-generation-match",
            "MetagenerationMatch": "x-goog-if-metageneration-match",
        }
        return cls.of({f"if{kind}": headers[name] for kind, name in names.items() if name in headers})

    def check(self, resource: Mapping[str, Any] | None, *, reading: bool = False) -> None:
        """Hold them against a resource.

        Args:
            resource: an object's or a bucket's; None: there is none.
            reading: a "not match" that does not hold is answered with 304 then, as nothing has changed.

        Raises:
            StorageError: 412 or 304, one does not hold.
        """
        for kind, number in self.wanted.items():
            field = "metageneration" if kind.startswith("Meta") else "generation"
            there = int(resource[field]) if resource is not None else 0
            negated = kind.endswith("NotMatch")
            if (there == number) == negated:
                if reading and negated:
                    raise StorageError(304, "notModified", "Not modified.")
                raise condition_not_met()
