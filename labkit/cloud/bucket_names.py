"""What a bucket may be called: https://cloud.google.com/storage/docs/buckets#naming."""

import re

RULE = (
    "3 to 63 of a-z, 0-9, '-', '_' (several such parts with '.' between them: up to 222, and no IP address), "
    "a letter or digit at both ends, no 'goog' at the start, no 'google'"
)


def fits(name: str) -> bool:
    """Whether a bucket may have this name; `RULE` says it in words."""
    return (
        3 <= len(name) <= (222 if "." in name else 63)
        and re.fullmatch(r"[a-z0-9][-_.a-z0-9]*[a-z0-9]", name) is not None
        and all(0 < len(part) <= 63 for part in name.split("."))
        and not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
        and not name.startswith("goog")
        and "google" not in name
    )
