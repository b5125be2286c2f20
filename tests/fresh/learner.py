"""What a learner types in a room without a network: `set_up.py` of a bundle, then every lab."""

import os
import subprocess
from pathlib import Path

from tests.fresh import machine

PACKAGES = ["python3", "chromium"]
"""All that a bundle asks of a machine, as docs/classroom.md says."""
_BUNDLE = "srv/labkit-bundle"


def pack(repository: Path, root: machine.Root, say: machine.Say) -> None:
    """`labkit pack` by `repository`'s own environment, for the Python of `root`.

    Raises:
        Failed: there is no environment, or the bundle could not be made.
    """
    labkit, bundle = repository / ".venv/bin/labkit", root.folder / _BUNDLE
    if not labkit.exists():
        raise machine.Failed("there is no environment to pack with; `make environment` makes it")
    with root.running("python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'") as process:
        python = process.stdout.read().strip()
    say(f"labkit pack --python {python}")
    packed = subprocess.run([labkit, "pack", bundle, "--python", python], cwd=repository)
    if packed.returncode != 0:
        raise machine.Failed(f"labkit pack ended with status {packed.returncode}")
    home = (root.folder / machine.HOME.lstrip("/")).stat()
    for path in (bundle, *bundle.rglob("*")):
        os.chown(path, home.st_uid, home.st_gid)


def set_up(root: machine.Root, say: machine.Say) -> None:
    """`set_up.py` and `labkit doctor`.

    Raises:
        Failed: one of them did.
    """
    say("set_up.py, without a network")
    root.run(f"python3 /{_BUNDLE}/set_up.py --no-open", "set_up.py", networked=False)
    root.run("labkit/.venv/bin/labkit doctor", "labkit doctor", networked=False)


def run_labs(root: machine.Root, say: machine.Say) -> None:
    """`labkit run all`.

    Raises:
        Failed: a lab did.
    """
    say("labkit run all, without a network")
    root.run("cd labkit && .venv/bin/labkit run all --html", "labkit run all", networked=False)
