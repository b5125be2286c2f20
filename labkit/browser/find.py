"""Which browser runs pages without a window: the one that was named, else the first Chromium, Chrome or Edge here."""

import os
import shutil
import subprocess
from pathlib import Path

from labkit.errors import EnvironmentProblem

NAMED_BY = "LABKIT_BROWSER"
PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "msedge",
)
_versions: dict[str, str] = {}  # of browsers that started once
# Where browsers are that no program name leads to. Both lists are looked through everywhere: the folders of one system
# are not there on another.
_MAC = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium.app/Contents/MacOS/Chromium",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_WINDOWS_FOLDERS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")  # environment variables
_WINDOWS = (("Google", "Chrome", "Application", "chrome.exe"), ("Microsoft", "Edge", "Application", "msedge.exe"))
_ANSWERS_VERSION = os.name != "nt"  # on Windows `--version` opens a window instead of answering
_INSTALL = (
    "Install one (Debian: sudo apt-get install chromium; Ubuntu: sudo snap install chromium; macOS: brew install "
    f"--cask google-chrome; Windows has Edge), or name one: {NAMED_BY}=/path/to/chrome"
)


def find_browser(named: str | os.PathLike[str] | None = None) -> Path:
    """The browser to use: `named`, else what the variable ``LABKIT_BROWSER`` names, else the first found that starts.

    Args:
        named: a program's name or path.

    Raises:
        EnvironmentProblem: the named one is not there, or none was found.
    """
    source, wanted = ("browser", named) if named is not None else (NAMED_BY, os.environ.get(NAMED_BY))
    if wanted:
        if path := shutil.which(wanted):
            return Path(path)
        raise EnvironmentProblem(f"{source} is {str(wanted)!r}, but there is no such program. {_INSTALL}")
    found = [path for path in _candidates() if Path(path).is_file()]
    for path in found:
        if version(path):
            return Path(path)
    if found:
        raise EnvironmentProblem(f"{found[0]} is there but does not start. {_INSTALL}")
    raise EnvironmentProblem(f"No Chromium, Chrome or Edge was found. {_INSTALL}")


def _candidates() -> list[str]:
    paths = [path for name in PROGRAMS if (path := shutil.which(name))]
    for folder in (Path("/Applications"), Path.home() / "Applications"):
        paths += [str(folder / name) for name in _MAC]
    for variable in _WINDOWS_FOLDERS:
        if programs := os.environ.get(variable):
            paths += [os.path.join(programs, *names) for names in _WINDOWS]
    return paths


def version(path: str) -> str:
    """What a browser says it is, such as ``Chromium 156.0.8078.108``; empty if it does not start (a snap's stub)."""
    if not _ANSWERS_VERSION:
        return Path(path).name
    if path not in _versions:
        try:
            answer = subprocess.run(
                [path, "--version"], capture_output=True, encoding="utf-8", errors="replace", timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        if answer.returncode != 0:
            return ""
        _versions[path] = answer.stdout.strip()
    return _versions[path]
