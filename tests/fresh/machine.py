"""A bare Debian in a temporary folder, and commands run in it as if it were a machine of its own.

Each command has its own namespaces for processes and mounts. They end with it, so nothing it started or mounted is
left, whether it ends by itself, by Ctrl-C, or because this program is killed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fresh import network

Say = Callable[[str], None]
USER = "newcomer"
HOME = f"/home/{USER}"
PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc")
# The first process in there. `pivot_root`, not `chroot`: in a chroot the kernel refuses browsers their sandbox.
_MOUNT = """
set -e
cd "$1"; shown=$2; shift 2
mount --bind . .
cd "$PWD"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
echo "$shown" | while read -r path; do [ -z "$path" ] || mount --rbind -o ro "$path" ".$path"; done
mkdir -p .outside
pivot_root . .outside
umount -l .outside
cd /
"$@"
"""


class Failed(Exception):
    """A step in the bare Debian failed; the message has the end of what it wrote."""


def lacking() -> str | None:
    """What keeps this machine from making a bare Debian, and what to do; None where nothing does."""
    if sys.platform != "linux":
        return "it needs Linux, whose namespaces keep the bare Debian apart; on another system use a virtual machine"
    wanted = ("apt-get", "debootstrap", "unshare", "setpriv", "ip", "git")
    if missing := [program for program in wanted if not shutil.which(program)]:
        packages = "debootstrap util-linux iproute2 git"
        return f"there is no {' and no '.join(missing)}. Debian, Ubuntu: sudo apt-get install {packages}"
    if os.geteuid() != 0:
        return "only root may make a bare Debian: sudo make fresh (sudo --preserve-env make fresh behind a proxy)"
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode != 0:
        return "this container may not make namespaces: use a machine, or a container started with --privileged"
    return None


@dataclass(frozen=True)
class Root:
    """A Debian in `folder`, with a user who is not root."""

    folder: Path

    def install(self, packages: list[str], say: Say) -> None:
        """Follow ``apt-get install`` with `packages`, without what those recommend: the README's list is enough."""
        say(f"apt-get install {' '.join(packages)}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", "PATH": PROGRAMS, **network.variables()}
        script = f"apt-get update -q && apt-get install -q -y --no-install-recommends {' '.join(packages)}"
        with self._running(["env", "-i", *_pairs(quiet), "sh", "-c", script], shown=[]) as process:
            _finish(process, "apt-get")

    def run(self, script: str, name: str, *, networked: bool = True) -> None:
        """A shell script run by the user to its end, its lines shown as they come.

        Raises:
            Failed: its exit status is not 0; `name` says what it was.
        """
        with self.running(script, networked=networked) as process:
            show_to_the_end(process, name)

    @contextmanager
    def running(self, script: str, *, networked: bool = True) -> Iterator[subprocess.Popen]:
        """A shell script run by the user, its output on one pipe; at the end everything that it started is killed.

        Without a network there is loopback and nothing else.
        """
        variables = {"HOME": HOME, "USER": USER, "PATH": PROGRAMS, "LANG": "C.UTF-8", **network.variables()}
        person = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"]
        command = [*person, "env", "-i", f"--chdir={HOME}", *_pairs(variables), "sh", "-c", script]
        with self._running(command, network.paths(), networked) as process:
            yield process

    @contextmanager
    def _running(self, command: list[str], shown: list[Path], networked: bool = True) -> Iterator[subprocess.Popen]:
        for path in shown:
            place = self.folder / path.relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.mkdir(exist_ok=True) if path.is_dir() else place.touch()
        first = ["sh", "-c", _MOUNT, "sh", str(self.folder), "\n".join(map(str, shown)), *command]
        apart = [] if networked else ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        with _process([*ALONE, *apart, *first]) as process:
            yield process


@contextmanager
def debian(suite: str, mirror: str, say: Say) -> Iterator[Root]:
    """A bare Debian, removed at the end.

    Args:
        suite: its code name.
        mirror: the address it comes from.
        say: told each step.

    Raises:
        Failed: it could not be made.
    """
    folder = Path(tempfile.mkdtemp(prefix="labkit-fresh-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    try:
        folder.chmod(0o755)
        say(f"A bare Debian ({suite}) in {folder}")
        with _process([*ALONE, "debootstrap", "--variant=minbase", suite, str(folder), mirror]) as process:
            _finish(process, "debootstrap")
        network.settle(folder, suite, mirror)
        with Root(folder)._running(["useradd", "--create-home", "--shell", "/bin/bash", USER], []) as process:
            _finish(process, "useradd")
        network.settle_home(folder / HOME.lstrip("/"))
        yield Root(folder)
    except Failed as problem:
        say(f"Failed: {problem}")
        raise
    finally:
        say(f"Removing {folder}")
        subprocess.run(["rm", "-rf", str(folder)], check=True)  # a hundred thousand files: far faster than Python


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen]:
    # A session of its own: Ctrl-C comes to this program alone, which then ends the rest.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            _kill(process)


def _kill(process: subprocess.Popen) -> None:
    """End the namespace by its first process; `unshare` ends when the kernel has ended all others in it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if process.poll() is None:
        for pid in children.read_text().split() or [process.pid]:
            subprocess.run(["kill", "-KILL", str(pid)], stderr=subprocess.DEVNULL)
    process.wait()


def show_to_the_end(process: subprocess.Popen, name: str) -> None:
    """Show the lines of a process until it ends.

    Raises:
        Failed: its exit status is not 0; `name` says what it was.
    """
    for line in process.stdout:
        print("          ", line, end="", flush=True)
    if process.wait() != 0:
        raise Failed(f"{name} ended with status {process.returncode}")


def _finish(process: subprocess.Popen, name: str) -> None:
    written = process.stdout.read()
    if process.wait() != 0:
        raise Failed(f"{name} ended with status {process.returncode}:\n" + "\n".join(written.splitlines()[-15:]))


def _pairs(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]
