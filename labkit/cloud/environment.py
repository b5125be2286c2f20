"""The variables that make Google's libraries find the local cloud, and nothing of the machine's own account."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# Each of these, where it is set, leads past the local cloud or to an account of the machine's owner.
_ELSEWHERE = (
    "CLOUDSDK_ACTIVE_CONFIG_NAME",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_CONTEXT_AWARE_CERTIFICATE_CONFIG_FILE_PATH",
    "CLOUDSDK_CONTEXT_AWARE_USE_CLIENT_CERTIFICATE",
    "CLOUDSDK_CORE_PROJECT",
    "CLOUD_ML_PROJECT_ID",
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "GCE_METADATA_ROOT",
    "GCLOUD_PROJECT",
    "GOOGLE_API_CERTIFICATE_CONFIG",
    "GOOGLE_API_KEY",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "GOOGLE_CLOUD_REGION",
    "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
    "LABKIT_CLOUD_PROJECT",
    "STORAGE_EMULATOR_HOST",
)
_PROXIES = ("https_proxy", "HTTPS_PROXY")
_ALL_PROXIES = ("all_proxy", "ALL_PROXY")


def of_local_cloud(given: Mapping[str, str], folder: Path) -> dict[str, str | None]:
    """All variables to set for a local cloud; None for those that must not be set.

    Args:
        given: what the local cloud's process named.
        folder: its folder; the `gcloud` command looks there, and finds no account.
    """
    empty: dict[str, str | None] = dict.fromkeys(_ELSEWHERE)
    return {**empty, "CLOUDSDK_CONFIG": str(folder / "gcloud"), **given}


@contextmanager
def changed(variables: Mapping[str, str | None]) -> Iterator[None]:
    """This process's environment with `variables`, and then as it was before.

    A variable that somebody else changes in the meantime stays as they left it.
    """
    before = {name: os.environ.get(name) for name in variables}
    try:
        put(variables)
        yield
    finally:
        for name, value in variables.items():
            if os.environ.get(name) == value:
                _put(name, before[name])


def put(variables: Mapping[str, str | None]) -> None:
    """Set or unset variables of this process."""
    for name, value in variables.items():
        _put(name, value)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def proxy() -> str | None:
    """The proxy through which this machine reaches others, such as a company's; None if there is none.

    One for all protocols counts only if it speaks HTTP: many of those speak SOCKS.
    """
    for name in _PROXIES:
        if found := os.environ.get(name):
            return found
    return next((url for name in _ALL_PROXIES if (url := os.environ.get(name, "")).startswith("http://")), None)
