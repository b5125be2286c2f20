"""A Docker engine for the tests, and an image of labkit's embedded server that is built without pulling anything.

The Dockerfile is the one that users get. Its base image, python:3.12-slim for them, is here this machine's own Python,
packages and C libraries. TensorFlow Serving itself is nowhere in it.
"""

import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from packaging.requirements import Requirement

from labkit import processes
from labkit.errors import ProcessError

# Another test session may use the same engine.
IMAGE = f"labkit-model-server:test-{os.getpid()}"
BASE = f"labkit-test-base:local-{os.getpid()}"
# What the server does not open is left out; pip finds the packages' metadata all the same.
_UNUSED = (
    *("_distutils_hack", "ai_edge_litert", "clang", "h5py", "h5py.libs", "keras", "setuptools"),
    *(f"tensorflow/{part}" for part in ("include", "lite", "python")),
)
_UNUSED_STDLIB = ("ensurepip", "idlelib", "lib2to3", "site-packages", "dist-packages", "test", "tkinter", "turtledemo")


class NoEngineError(Exception):
    """There is no Docker here and none can be started; the message says why."""


@contextmanager
def engine() -> Iterator[str]:
    """The address of an engine: one that runs already, or else one started for as long as the block lasts.

    Raises:
        NoEngineError: there is none, and it is not for us to start one.
    """
    if sys.platform != "linux":
        raise NoEngineError("the test's image is made from this machine's files, so it has to be Linux")
    if shutil.which("docker") is None:
        raise NoEngineError("there is no docker command")
    if (running := _docker("info", "--format={{.ServerVersion}}", check=False)).returncode == 0:
        yield os.environ.get("DOCKER_HOST", "")
        return
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngineError(f"no engine answers and this user cannot start one: {running.stderr.strip()}")
    with _alone(), _own_engine() as address:
        yield address


@contextmanager
def _alone() -> Iterator[None]:
    """Two engines would give their containers the same addresses, so another test session's is waited for."""
    import fcntl

    with open(Path(tempfile.gettempdir()) / "labkit-docker.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _own_engine() -> Iterator[str]:
    """A dockerd that shares no folder with any other, and leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="labkit-docker-"))
    address = f"unix://{folder}/docker.sock"
    bridge_was_there = Path("/sys/class/net/docker0").exists()
    try:
        daemon = processes.start(
            [
                *("dockerd", f"--host={address}", f"--data-root={folder}/data", f"--exec-root={folder}/exec"),
                # Ports are published on loopback by docker-proxy, so the machine's packet filter stays as it is.
                *(f"--pidfile={folder}/docker.pid", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
            ],
            name="dockerd",
            ready=r"API listen on",
            afterwards=("rm", "-rf", str(folder)),
        )
    except ProcessError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NoEngineError(f"dockerd does not start here: {error.log[-2000:]}") from None
    try:
        yield address
    finally:
        daemon.stop(grace=30)
        if not bridge_was_there and shutil.which("ip"):
            subprocess.run(["ip", "link", "delete", "docker0"], check=False)


@contextmanager
def image(repository: Path) -> Iterator[str]:
    """The name of an image built from docker/Dockerfile; it is removed at the end.

    The engine is the one that DOCKER_HOST names.
    """
    with ExitStack() as built:
        built.callback(_docker, "image", "rm", "--force", IMAGE, BASE, check=False)
        with _piped("import", "--change=ENV PATH=/usr/local/bin:/usr/bin:/bin", "-", BASE) as pipe:
            _write_base(pipe, repository / "docker" / "requirements.lock")
        arguments = (f"--build-arg=BASE={BASE}", "--file=docker/Dockerfile", f"--tag={IMAGE}", "--force-rm")
        with _piped("build", *arguments, "-") as pipe, _tar(pipe) as context:
            for name in ("docker", "labkit"):
                context.add(repository / name, name, filter=_without_bytecode)
        yield IMAGE


def _docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=check, timeout=60)


@contextmanager
def _piped(*words: str) -> Iterator[IO[bytes]]:
    """What is written to the pipe is a docker command's input."""
    with tempfile.TemporaryFile() as said:
        docker = subprocess.Popen(["docker", *words], stdin=subprocess.PIPE, stdout=said, stderr=said)
        assert docker.stdin is not None
        try:
            yield docker.stdin
            docker.stdin.close()
        except BrokenPipeError:
            pass  # what it said says more
        status = docker.wait(timeout=120)
        said.seek(0)
        assert status == 0, f"docker {words[0]} ended with {status}:\n{said.read().decode(errors='replace')[-4000:]}"


def _tar(pipe: IO[bytes]) -> tarfile.TarFile:
    """docker looks at the first 512 bytes to see whether this is a tar, too few for Python's default format."""
    return tarfile.open(fileobj=pipe, mode="w|", bufsize=1 << 20, dereference=True, format=tarfile.GNU_FORMAT)


def _without_bytecode(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _write_base(pipe: IO[bytes], lock: Path) -> None:
    """A tar of a root folder with a shell and, as /usr/local, a virtual environment of this Python with pip."""
    python = Path(sys.executable).resolve()
    stdlib, packages = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platlib"))
    inside = f"/usr/local/lib/python{sysconfig.get_python_version()}/site-packages"
    names = [name for name in _package_files(lock, packages) if (packages / name).exists()]
    programs = {f"/bin/{name}": Path(shutil.which(name) or name).resolve() for name in ("sh", "rm")}
    with _tar(pipe) as tar:
        tar.add(python)
        _add_folder(tar, stdlib, str(stdlib), (*_UNUSED_STDLIB, *(path.name for path in stdlib.glob("config-*"))))
        for name in names:
            _add_folder(tar, packages / name, f"{inside}/{name}", [part.removeprefix(f"{name}/") for part in _UNUSED])
        for place, program in programs.items():
            tar.add(program, place)
        for library in _libraries([python, *programs.values(), *stdlib.rglob("*.so"), *_native(packages, names)]):
            tar.add(library)
        _add_link(tar, "/usr/local/bin/python", str(python))
        _add_text(tar, "/usr/local/pyvenv.cfg", f"home = {python.parent}\ninclude-system-site-packages = false\n")
        _add_shared_folder(tar, "/tmp")


def _package_files(lock: Path, packages: Path) -> list[str]:
    """What lies in `packages` for the distributions that `lock` names, and for pip."""
    wanted = [Requirement(line) for line in re.findall(r"^([a-z].*?)(?: \\)?$", lock.read_text(), flags=re.MULTILINE)]
    distributions = {one.name for one in wanted if one.marker is None or one.marker.evaluate()}
    files = [file for name in ("pip", *distributions) for file in importlib.metadata.files(name) or ()]
    return sorted({file.parts[0] for file in files} - {"..", "__pycache__", *_UNUSED})


def _add_folder(tar: tarfile.TarFile, source: Path, target: str, without: Iterable[str]) -> None:
    unwanted = {f"{target}/{name}".lstrip("/") for name in without}
    tar.add(source, target, filter=lambda member: None if member.name in unwanted else member)


def _native(packages: Path, names: list[str]) -> list[Path]:
    return [file for name in names for file in (packages / name).rglob("*.so*")]


def _libraries(programs: list[Path]) -> list[str]:
    """The C libraries that `programs` are linked with, as far as they are the system's own."""
    printed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    found = set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", printed, flags=re.MULTILINE))
    return sorted(path for path in found if "site-packages" not in path)


def _add_link(tar: tarfile.TarFile, place: str, target: str) -> None:
    member = tarfile.TarInfo(place)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)


def _add_text(tar: tarfile.TarFile, place: str, text: str) -> None:
    member = tarfile.TarInfo(place)
    member.size = len(text.encode())
    tar.addfile(member, io.BytesIO(text.encode()))


def _add_shared_folder(tar: tarfile.TarFile, place: str) -> None:
    member = tarfile.TarInfo(place)
    member.type, member.mode = tarfile.DIRTYPE, 0o1777
    tar.addfile(member)
