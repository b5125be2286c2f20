"""How this machine reaches packages, so that a bare Debian on it reaches them too: mirror, proxy, certificates.

Nothing is named here; all of it is read from this machine's own settings.
"""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

_VARIABLES = re.compile(
    r"(PIP|UV|NPM_CONFIG)_\w+|(HTTPS?|FTP|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|NODE_EXTRA_CA_CERTS",
    flags=re.IGNORECASE,
)
_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/etc/npmrc", "/etc/uv/uv.toml")
_OWN_FILES = (".config/pip/pip.conf", ".pip/pip.conf", ".npmrc", ".config/uv/uv.toml")
_PATH = re.compile(r"(?:^|[\s=\"',])(?:file://)?(/[^\s\"',]+)", flags=re.MULTILINE)


def suite() -> str:
    """This machine's Debian or Ubuntu by its code name, such as ``trixie``."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")


def mirror() -> str:
    """The address that this machine's own `apt` takes its suite from.

    Raises:
        LookupError: it has none.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        address, release, component = line.split()
        if release == suite() and component == "main":
            return address
    raise LookupError(f"apt has no source for {suite()}; name one: make fresh ARGS=--mirror=<address>")


def variables() -> dict[str, str]:
    """Proxies, certificates, and the settings of pip, uv and npm in this process's environment."""
    return {name: value for name, value in os.environ.items() if _VARIABLES.fullmatch(name)}


def paths() -> list[Path]:
    """The files and folders that those settings name, such as certificates or an index on disk; none inside another."""
    read = [file.read_text(errors="replace") for file in (*map(Path, _FILES), *_own()) if file.is_file()]
    texts = [*variables().values(), *read]
    named = {Path(path) for text in texts for path in _PATH.findall(text) if Path(path).exists()} - {Path("/")}
    return sorted(path for path in named if not named & set(path.parents))


def _own() -> list[Path]:
    return [Path.home() / name for name in _OWN_FILES]


def settle(root: Path, suite: str, mirror: str) -> None:
    """Write this machine's settings of names, apt, pip, uv and npm into `root`."""
    for file in map(Path, _FILES):
        if file.is_file():
            _copy(file, root / file.relative_to("/"))
    (root / "etc/apt/sources.list").write_text(f"deb {mirror} {suite} main\n")
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True).stdout
    (root / "etc/apt/apt.conf.d/99fresh").write_text(dump)


def settle_home(home: Path) -> None:
    """Write this user's own settings into the home of another, `home`, who becomes their owner."""
    owner = home.stat()
    for name in _OWN_FILES:
        if (Path.home() / name).is_file():
            _copy(Path.home() / name, home / name)
    for path in home.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)  # it may be a link that leads out of the root
    shutil.copyfile(file, to)
