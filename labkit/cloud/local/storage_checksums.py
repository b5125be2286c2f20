"""An object's checksums, taken once, piece by piece as the pieces come."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import google_crc32c

from labkit.cloud.local.storage_errors import StorageError

_PIECE = 256 << 10  # bytes; it stays in the processor's cache until both sums are taken, in memory that is used again


class Checksums:
    """CRC32C and MD5 of what went by.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, *contents: bytes) -> None:
        self._crc32c = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0
        for content in contents:
            self.update(content)

    def update(self, content: bytes) -> None:
        """Go on with the next bytes."""
        for start in range(0, len(content), _PIECE):
            piece = content[start : start + _PIECE]
            self._crc32c = google_crc32c.extend(self._crc32c, piece)
            self._md5.update(piece)
        self.size += len(content)

    @property
    def crc32c(self) -> str:
        """In Base64, big-endian, as Google writes it."""
        return b64encode(self._crc32c.to_bytes(4, "big")).decode()

    @property
    def md5(self) -> str:
        """In Base64."""
        return b64encode(self._md5.digest()).decode()

    @property
    def etag(self) -> str:
        """The MD5 as the XML API's ``ETag`` has it: hexadecimal, quoted."""
        return f'"{self._md5.hexdigest()}"'

    def check(self, expected: Mapping[str, Any]) -> None:
        """Hold them against what the sender says.

        Args:
            expected: may have ``crc32c`` and ``md5Hash``.

        Raises:
            StorageError: 400, they differ.
        """
        for field, label, found in (("md5Hash", "MD5 hash", self.md5), ("crc32c", "CRC32C", self.crc32c)):
            if expected.get(field) and expected[field] != found:
                message = f'Provided {label} "{expected[field]}" doesn\'t match calculated {label} "{found}".'
                raise StorageError(400, "badDigest", message)


def in_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums that a sender wrote into headers, by their names in an object's resource."""
    expected = {"md5Hash": headers["content-md5"]} if "content-md5" in headers else {}
    for entry in headers.get("x-goog-hash", "").split(","):
        name, _, value = entry.strip().partition("=")
        if name in ("crc32c", "md5"):
            expected["md5Hash" if name == "md5" else name] = value
    return expected
