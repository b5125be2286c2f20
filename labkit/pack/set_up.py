"""Sets the labs up from a bundle of `labkit pack`, without a network, and opens the first one: python3 set_up.py

It is copied into the bundle and stands alone there: one file, long for that reason, with nothing but Python's own
library. Any Python 3 from 3.6 on can start it, so types that 3.6 does not have stand in quotes; the labs themselves get
one that the bundle has packages for. What it does is what `make lab` does.
"""

import argparse
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

FORMAT = 2
DISK_WANTED = 5 * 10**9
SYSTEMS = {
    ("linux", "x86_64"): "linux",
    ("linux", "aarch64"): "linux-arm64",
    ("darwin", "arm64"): "macos",
    ("win32", "AMD64"): "windows",
}
# On Windows the machine can be ARM and the Python, which decides, x86-64.
PROBE = """
import platform, struct, sys, sysconfig
machine = {"win-amd64": "AMD64"}.get(sysconfig.get_platform(), platform.machine())
print(sys.platform, machine, "%d.%d" % sys.version_info[:2], 8 * struct.calcsize("P"))
print(platform.mac_ver()[0] if sys.platform == "darwin" else platform.libc_ver()[1])
"""
BIN = "Scripts" if os.name == "nt" else "bin"
PROGRAM = ".exe" if os.name == "nt" else ""
# What make looks for: with these, `make lab` has nothing left to do.
READY, JAVASCRIPT = ".venv/ready", ".venv/javascript"
LABS = ".venv/labs"  # which labs.zip they came from

if TYPE_CHECKING:
    Files = dict[str, dict[str, Any]]  # of bundle.json: a file's name within the bundle, its bytes and its sha256


class Trouble(Exception):
    """What went wrong, and what to do, for the reader."""


def main(argv: "list[str] | None" = None) -> int:
    """Set up and open the labs; 1 when it could not be done."""
    given = arguments(argv)
    folder = given.folder.expanduser().absolute()
    try:
        # The Python that it was made of may be gone.
        if not ((folder / JAVASCRIPT).is_file() and python_in(folder).is_file()):
            set_up(given.place, folder)
        elif are_others(given.place, folder):
            print("\nThis bundle has other labs than yours. For them name another folder: set_up.py /another/folder")
        print(f"\nThe labs are in {folder}. The same command opens them again.", flush=True)
        return 0 if given.no_open else open_labs(folder)
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"\n{error}. Is there room on the disk, may you write to {folder}, and is the bundle still there? "
            "The same command goes on from here.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here; a file under way begins anew.", file=sys.stderr)
        return 130


def open_labs(folder: Path) -> int:
    """JupyterLab in place of this program: it asks when Ctrl-C comes. What leads other Pythons to modules goes."""
    for name in ("PYTHONPATH", "PYTHONHOME"):
        os.environ.pop(name, None)
    os.chdir(str(folder))
    command = [str(python_in(folder)), "-m", "labkit", "lab"]
    if os.name == "posix":
        os.execv(command[0], command)
    return wait_for(command)


def wait_for(command: "list[str]") -> int:
    """A command's status, whatever Ctrl-C does here: the command gets it too, and JupyterLab then asks its user."""
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass


def arguments(argv: "list[str] | None") -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Set the labs up without a network, and open the first one.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path.home() / "labkit", help="(default: %(default)s)")
    parser.add_argument(
        "--from",
        dest="place",
        metavar="PLACE",
        default=str(Path(__file__).absolute().parent),
        help="the bundle: a folder, or an address that serves one (default: where this file is)",
    )
    parser.add_argument("--no-open", action="store_true", help="only set up")
    return parser.parse_args(argv)


def set_up(place: str, folder: Path) -> None:
    """All steps. Each can be repeated: learners' files stay, and only the environment is made anew."""
    record = read_record(place)
    files = record["files"]
    check_folder(folder, record["lock"])
    python, target = python_for(record["targets"])
    packages = record["targets"][target]["wheels"]
    needed = ["labs.zip", "javascript.zip", *("wheels/" + inside(name) for name in packages.values())]
    bundle = bring(place, folder, needed, files)
    installer = next("wheels/" + packages[name] for name in packages if name.startswith("uv=="))
    labs, javascript, uv = (verified(bundle, name, files) for name in ("labs.zip", "javascript.zip", installer))
    step(1, f"The labs, in {folder}")
    unpack(labs, folder, keep="labs")
    step(2, f"A new environment in .venv with {' '.join(python)} ({target})")
    make_environment(python, folder)
    step(3, f"{len(packages)} packages (3 GB; 1 to 5 minutes)")
    try:
        install(uv, bundle, folder)
    except Trouble:
        for name in needed:  # 1 GB, so read only when something failed
            verified(bundle, name, files)
        raise
    (folder / READY).touch()
    step(4, "TensorFlow.js")
    unpack(javascript, folder / ".venv/share/labkit/javascript")
    (folder / LABS).write_text(files["labs.zip"]["sha256"], encoding="utf-8")
    (folder / JAVASCRIPT).touch()
    shutil.rmtree(str(folder / ".bundle"), ignore_errors=True)


def is_served(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def are_others(place: str, folder: Path) -> bool:
    """Whether labs that are set up are known to be another bundle's; where no bundle is in reach, they are not."""
    try:
        known = (folder / LABS).read_text(encoding="utf-8")
        return not is_served(place) and known != read_record(place)["files"]["labs.zip"]["sha256"]
    except (OSError, Trouble):
        return False


def bring(place: str, folder: Path, needed: "list[str]", files: "Files") -> Path:
    """Where the bundle can be read; one that is served is fetched."""
    aside = folder / ".bundle"
    if not is_served(place):
        check_sizes(Path(place), needed, files)
    shutil.rmtree(str(folder / ".venv"), ignore_errors=True)  # half-made
    check_disk(folder, aside)
    folder.mkdir(parents=True, exist_ok=True)
    if not is_served(place):
        return Path(place)
    download(place, needed, files, aside)
    return aside


def step(number: int, what: str) -> None:
    print(f"{number}/4  {what}", flush=True)


def inside(name: str) -> str:
    """A file's name, if it is one and no way to somewhere else."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\:"):
        raise Trouble(f"This bundle names a file {name!r}, which is no plain name. Take another copy of it.")
    return name


def read_record(place: str) -> "dict[str, Any]":
    """What is in the bundle, for which machines."""
    try:
        read = b"".join(fetch(place, "bundle.json")) if is_served(place) else Path(place, "bundle.json").read_bytes()
        record = json.loads(read.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise Trouble(
            f"There is no bundle in {place} ({error}). Start set_up.py where it is: in the folder that was copied as a "
            "whole. Or say where the bundle is: --from FOLDER or --from http://ADDRESS (a wifi that wants a login "
            "first answers at any address)"
        ) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not record.get("complete"):
        raise Trouble("This bundle is not complete. Whoever made it runs the same `labkit pack` again.")
    return record


def python_for(targets: "dict[str, dict[str, Any]]") -> "tuple[list[str], str]":
    """A command that starts a Python which the bundle has packages for, and the name of what it is.

    The one that runs this comes first, then what is found on this machine.
    """
    versions = sorted({target.rsplit("-", 1)[1] for target in targets}, reverse=True)
    launcher = [["py", "-" + version] for version in versions] if os.name == "nt" else []
    seen, known = [], False
    for command in [[sys.executable], *(["python" + version] for version in versions), *launcher]:
        found = look_at(command)
        if not found:
            continue
        system, machine, version, bits, release = found
        kind = SYSTEMS.get((system, machine))
        target = f"{kind}-{version}"
        if target in targets and bits == "64":
            oldest = targets[target]["oldest"]
            if older(release, oldest):
                what = "macOS" if system == "darwin" else "glibc"
                raise Trouble(f"The packages need {what} {oldest} or later; this machine has {release or 'another'}.")
            return command, target
        known = known or kind is not None
        seen.append(f"{' '.join(command)} is {system} {machine}, Python {version}, {bits} bit")
    advice = (
        "Install one of these Pythons (64 bit) and start set_up.py with it, or ask whoever made the bundle for "
        "another one: labkit pack --platform … --python …"
        if known or not seen
        else "TensorFlow has no packages for such a Python. A Mac with Apple silicon can have another one (python.org: "
        "macOS installer), and so can Windows on ARM (Windows installer 64-bit, not ARM64). Other machines cannot run "
        "the labs."
    )
    here = "; ".join(seen) or "no Python that starts"
    raise Trouble(f"This bundle is for {', '.join(sorted(targets))}. Here: {here}.\n{advice}")


def look_at(command: "list[str]") -> "list[str]":
    """Of the Python that a command starts: system, machine, version, bits, and the system's release; or nothing."""
    try:
        answer = subprocess.run([*command, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        about, release = answer.stdout.decode().splitlines()
        system, machine, version, bits = about.split()
    except (OSError, ValueError):
        return []
    return [system, machine, version, bits, release]


def older(found: str, wanted: str) -> bool:
    """Whether a release such as 2.31 is older than the one wanted; one that is not known counts as old."""
    numbers = [[int(part) for part in release.split(".") if part.isdigit()] for release in (found, wanted)]
    return bool(wanted) and numbers[0] < numbers[1]


def check_folder(folder: Path, lock: str) -> None:
    """Refuse what is neither empty nor has the labs of this bundle, which is known by the lock's hash."""
    if folder.exists() and not folder.is_dir():
        raise Trouble(f"{folder} is a file. Name a folder for the labs: set_up.py /another/folder")
    ours = (".bundle", "requirements.lock.part")
    held = [file for file in folder.iterdir() if file.name not in ours] if folder.is_dir() else []
    theirs = folder / "requirements.lock"
    if held and not (theirs.is_file() and sha256(theirs) == lock):
        raise Trouble(
            f"{folder} is not empty, and what it holds are not the labs of this bundle. Nothing in it was changed. "
            "Name another folder: set_up.py /another/folder"
        )


def check_disk(folder: Path, aside: Path) -> None:
    """Whether there is room, what `aside` holds of the bundle already not counted again."""
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(str(there)).free
    wanted = DISK_WANTED - sum(file.stat().st_size for file in aside.rglob("*") if file.is_file())
    if free < wanted:
        raise Trouble(
            f"{free / 1e9:.1f} GB are free where {folder} is, and the labs want {wanted / 1e9:.1f} GB. "
            f"Free some, or name a folder elsewhere: set_up.py /another/folder"
        )


def download(address: str, needed: "list[str]", files: "Files", aside: Path) -> None:
    """Fetch what is not there yet, each file checked; a wheel is there as a whole or not at all."""
    (aside / "wheels").mkdir(parents=True, exist_ok=True)
    total, done = sum(files[name]["bytes"] for name in needed), 0
    for name in needed:
        file = aside / name
        if not (file.is_file() and sha256(file) == files[name]["sha256"]):
            part = file.with_name(file.name + ".part")
            with part.open("wb") as written:
                for block in fetch(address, name):
                    written.write(block)
                    tell(done + written.tell(), total, address)
            if sha256(part) != files[name]["sha256"]:
                raise Trouble(f"{name} did not arrive as it is at {address}. Try again.")
            os.replace(str(part), str(file))
        done += files[name]["bytes"]
        tell(done, total, address)
    print()


def tell(done: int, total: int, address: str) -> None:
    print(f"\r     {done / 1e6:.0f} of {total / 1e6:.0f} MB from {address}", end="", flush=True)


def fetch(address: str, name: str) -> "Iterator[bytes]":
    """One file in blocks, straight from the room's machine: a proxy to the world has no business here."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address.rstrip('/')}/{urllib.parse.quote(name)}", timeout=60) as answer:
            yield from iter(lambda: answer.read(1 << 20), b"")
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: an address that is none
        raise Trouble(
            f"{name} could not be fetched from {address}: {error}. Is the address right, and this machine in the same "
            "network? The same command goes on from here."
        ) from error


def check_sizes(bundle: Path, needed: "list[str]", files: "Files") -> None:
    there = {name: (bundle / name).stat().st_size for name in needed if (bundle / name).is_file()}
    wrong = [name for name in needed if there.get(name) != files[name]["bytes"]]
    if wrong:
        raise Trouble(
            f"This copy of the bundle is not complete: {len(wrong)} of {len(needed)} files are missing or cut, "
            f"{wrong[0]} among them. Copy the folder again."
        )


def sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        for block in iter(lambda: opened.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def verified(bundle: Path, name: str, files: "Files") -> Path:
    """The file, if its hash is the one that was noted when the bundle was made."""
    if sha256(bundle / name) != files[name]["sha256"]:
        raise Trouble(f"{name} is damaged in this copy of the bundle. Copy the folder again.")
    return bundle / name


def unpack(archive: Path, folder: Path, keep: str = "") -> None:
    """Write an archive's files into `folder`, none outside of it; what is there below `keep` stays, a learner's work.

    A file is there as a whole or not at all.
    """
    others = 0
    with zipfile.ZipFile(str(archive)) as opened:
        # The lock first: by it an interrupted set-up knows its folder again.
        for about in sorted(opened.infolist(), key=lambda one: one.filename != "requirements.lock"):
            parts = PurePosixPath(about.filename).parts
            if about.is_dir():
                continue
            for part in parts:
                inside(part)
            file, content = folder.joinpath(*parts), opened.read(about)
            if parts[0] == keep and file.exists():
                others += file.read_bytes() != content
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            aside = file.with_name(file.name + ".part")
            aside.write_bytes(content)
            if about.external_attr >> 16:
                aside.chmod((about.external_attr >> 16) & 0o777)
            os.replace(str(aside), str(file))
    if others:
        print(f"     {others} files in {keep} are not as in the bundle; they stay as they are.", flush=True)


def make_environment(python: "list[str]", folder: Path) -> None:
    """A new one, also where Debian's Python lacks what puts pip in: the installer is in the bundle."""
    pip = run([*python, "-c", "import ensurepip; ensurepip.version()"], folder, quiet=True) == 0
    command = [*python, "-m", "venv", "--clear", *([] if pip else ["--without-pip"]), ".venv"]
    if run(command, folder) != 0:
        raise Trouble(
            f"{' '.join(python)} could not make an environment in {folder}. Debian, Ubuntu: apt install python3-venv"
        )


def python_in(folder: Path) -> Path:
    return folder / ".venv" / BIN / ("python" + PROGRAM)


def install(wheel: Path, bundle: Path, folder: Path) -> None:
    """The packages of requirements.lock by their hashes, then the labs' own package where it is."""
    uv = take_out(wheel, "uv" + PROGRAM, folder / ".venv")
    # The cache is in the same folder, so that packages are linked from it and not copied, and goes afterwards.
    cache = folder / ".venv" / "uv-cache"
    offline = ["--offline", "--no-config", "--cache-dir", str(cache)]
    source = ["--python", str(python_in(folder)), "--no-index", "--find-links", str(bundle / "wheels"), "--no-deps"]
    command = [str(uv), "pip", "install", *offline, *source]
    locked = ["--require-hashes", "--compile-bytecode", "--requirement", "requirements.lock"]
    own = ["--quiet", "--no-build-isolation", "--editable", "."]
    for rest in (locked, own):
        if run([*command, *rest], folder) != 0:
            raise Trouble("The packages could not be installed; the lines above say why.")
    run([str(python_in(folder)), "-m", "compileall", "-q", "labkit"], folder)
    uv.unlink()
    shutil.rmtree(str(cache), ignore_errors=True)


def take_out(wheel: Path, name: str, folder: Path) -> Path:
    """One program out of a wheel, before there is anything that could install it."""
    with zipfile.ZipFile(str(wheel)) as opened:
        inner = next(one for one in opened.namelist() if one.endswith(".data/scripts/" + name))
        program = folder / ("installer-" + name)
        program.write_bytes(opened.read(inner))
    program.chmod(0o755)
    return program


def run(command: "list[str]", folder: Path, quiet: bool = False) -> int:
    """A command's status. No setting of this user's pip, uv or Python reaches it: they are about networks."""
    theirs = ("UV_", "PIP_", "PYTHON", "VIRTUAL_ENV")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    nowhere = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.call(command, cwd=str(folder), env=clean, stdout=nowhere, stderr=nowhere)
    except OSError as error:
        raise Trouble(f"{command[0]} does not start: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
