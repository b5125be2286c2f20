"""`labkit doctor`: what this machine has and lacks for the labs, one finding a line.

Every finding comes from trying the thing: a package's installed version, a program's own answer, a port that binds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from labkit import checkout
from labkit.browser import find, javascript
from labkit.errors import EnvironmentProblem, pip_install

PYTHONS = SpecifierSet(">=3.11,<3.14")
LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
GIB = 2**30
LABS_BY_MEMORY = {1: "all others", 2: "04, 06, 07", 3: "05, 08, 10", 4: "09, 11, 12, 13"}
"""Free memory in GB -> the labs that want it, as their *You need* says."""
DISK_WANTED = 2 * GIB
PORTS = {
    8500: "you serve gRPC on the usual port; the labs take free ones",
    8501: "you serve REST on the usual port; the labs take free ones",
    8888: "you open JupyterLab on its usual port; it takes the next free one",
}

# In a process of its own: importing TensorFlow takes seconds and would claim the GPU's memory here.
TENSORFLOW_PROBE = """
import json
import tensorflow as tf
details = tf.config.experimental.get_device_details
build = tf.sysconfig.get_build_info()
print(json.dumps({
    "version": tf.__version__,
    "devices": [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()],
    "gpus": [details(gpu).get("device_name", gpu.name) for gpu in tf.config.list_physical_devices("GPU")],
    "cuda": build.get("cuda_version"),
    "cudnn": build.get("cudnn_version"),
}))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        subject: what was looked at.
        state: ``"missing"`` only for something that every lab requires.
        found: what was seen.
        advice: what to do when missing; when not needed, the labs or wishes that need it.
    """

    subject: str
    state: Literal["ok", "missing", "not needed"]
    found: str
    advice: str = ""

    @property
    def verdict(self) -> str:
        """The state in words: ``ok``, ``missing: do this`` or ``not needed unless lab NN``."""
        if self.state == "missing":
            return f"missing: {self.advice}"
        if self.state == "not needed":
            return f"not needed unless {self.advice}"
        return "ok"


def examine(lock: Path = LOCK) -> list[Finding]:
    """Look at everything that labs use, within about the time that TensorFlow takes to import.

    Args:
        lock: the requirements file with exact versions that installed packages are compared with.
    """
    slow: tuple[Callable[[], Any], ...] = (tensorflow, browser, docker, model_server)
    with ThreadPoolExecutor(len(slow)) as pool:
        started = [pool.submit(check) for check in slow]
        quick = [python(), packages(lock)]
        rest = [memory(), disk(), *ports(), jupyter(), tensorflow_js()]
        tensorflow_findings, *programs = (check.result() for check in started)
    return [*quick, *tensorflow_findings, *rest, *programs]


def set_up() -> str:
    """How to get what is missing: where the labs are, as they say; elsewhere as packages."""
    try:
        checkout.root()
    except EnvironmentProblem:
        return f"run `{pip_install('labs')}`"
    return "run `make lab`, or install requirements.lock as README.md says"


def python(version: str = platform.python_version(), bits: int = 8 * struct.calcsize("P")) -> Finding:
    """The running Python: 3.11 to 3.13 with 64 bits, for which TensorFlow has packages."""
    found = f"{version}, {bits} bit, {platform.system()} {platform.machine()}"
    if PYTHONS.contains(version, prereleases=True) and bits == 64:
        return Finding("Python", "ok", found)
    return Finding("Python", "missing", found, f"install a 64-bit Python {PYTHONS}, then {set_up()}")


def packages(lock: Path = LOCK) -> Finding:
    """Installed packages against the lock; without one (labkit from a wheel, Apple GPU) against labkit's own ranges."""
    # environment-apple-gpu.yml is older than the lock on purpose.
    if lock.is_file() and not _installed("tensorflow-metal"):
        wanted, source = locked(lock), "requirements.lock"
    else:
        wanted, source = _fitting(importlib.metadata.requires("labkit") or []), "labkit's requirements"
    differences = [difference for one in wanted if (difference := _difference(one))]
    if not differences:
        return Finding("Packages", "ok", f"{len(wanted)} packages as in {source}")
    shown = ", ".join(differences[:3]) + (", ..." if len(differences) > 3 else "")
    found = f"{len(differences)} of {len(wanted)} differ from {source}: {shown}"
    return Finding("Packages", "missing", found, set_up())


def locked(lock: Path) -> list[Requirement]:
    """What a lock file asks for on this platform and Python, one exact version a package."""
    return _fitting(re.findall(r"^[A-Za-z0-9].*?(?=\s*\\?$)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE))


def _fitting(lines: Iterable[str]) -> list[Requirement]:
    requirements = [Requirement(line) for line in lines]
    return [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _difference(requirement: Requirement) -> str | None:
    version = _installed(requirement.name)
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version or 'absent'} (wanted {requirement.specifier})"


def tensorflow() -> list[Finding]:
    """TensorFlow's version, devices and build, as TensorFlow itself tells them in a process of its own."""
    command = [sys.executable, "-c", TENSORFLOW_PROBE]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        answer = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=180, env=quiet
        )
    except subprocess.TimeoutExpired:
        return [Finding("TensorFlow", "missing", "no answer within 180 s", "close other programs and try again")]
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or [f"import ended with status {answer.returncode}"]
        return [Finding("TensorFlow", "missing", lines[-1], set_up())]
    facts = json.loads(answer.stdout.splitlines()[-1])
    return [Finding("TensorFlow", "ok", f"{facts['version']}, devices {', '.join(facts['devices'])}"), gpu(facts)]


def gpu(facts: dict[str, Any]) -> Finding:
    """What TensorFlow said about GPUs: `gpus` (names), `cuda` and `cudnn` (versions it was built with, or None)."""
    build = f"built with CUDA {facts['cuda']}, cuDNN {facts['cudnn']}" if facts["cuda"] else "built without CUDA"
    if facts["gpus"]:
        return Finding("GPU", "ok", f"{', '.join(facts['gpus'])}; {build}")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        why = "hidden by CUDA_VISIBLE_DEVICES"
    elif shutil.which("nvidia-smi"):
        why = "a driver is here, but TensorFlow sees no GPU: its CUDA libraries come with tensorflow[and-cuda]"
    else:
        why = "none"
    return Finding("GPU", "not needed", f"{why}; {build}", "lab 08 uses one (docs/gpu.md); every lab runs without")


def memory(available: int | None = None, total: int | None = None) -> Finding:
    """Memory left for a lab, in bytes; by default this machine's, or its container's limit where that is lower.

    Missing where it is too little for every lab; not needed where it is too little for some, which are named.
    """
    machine = psutil.virtual_memory()
    limit = _container_limit()
    total = min(machine.total, limit) if total is None else total
    available = min(machine.available, limit) if available is None else available
    found = f"{available / GIB:.1f} GiB free of {total / GIB:.1f}"
    if available < min(LABS_BY_MEMORY) * 10**9:
        return Finding("Memory", "missing", found, f"close other programs; a lab wants {min(LABS_BY_MEMORY)} to 4 GB")
    if more := [f"{labs} ({gb} GB)" for gb, labs in LABS_BY_MEMORY.items() if available < gb * 10**9]:
        return Finding("Memory", "not needed", found, f"you run lab {'; '.join(more)}: close other programs then")
    return Finding("Memory", "ok", found)


def _container_limit(file: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not Linux, not in a container, or the limit is the word "max"
        return sys.maxsize


def disk(folder: Path = Path(), wanted: int = DISK_WANTED) -> Finding:
    """Free disk space where the labs write; `wanted` in bytes."""
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free"
    if free >= wanted:
        return Finding("Disk", "ok", found)
    return Finding("Disk", "missing", found, f"free some space; the labs want {wanted / GIB:.0f} GiB")


def ports() -> list[Finding]:
    """The usual ports of a model server and of JupyterLab: can they be bound on loopback now?"""
    return [_port(number, unless) for number, unless in PORTS.items()]


def _port(number: int, unless: str) -> Finding:
    with socket.socket() as probe:
        if os.name == "posix":  # elsewhere this option would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return Finding(f"Port {number}", "not needed", "in use", unless)
    return Finding(f"Port {number}", "ok", "free")


def jupyter() -> Finding:
    """JupyterLab, and the kernel that notebooks ask for (`python3`): it must run this very environment."""
    version = _installed("jupyterlab")
    if version is None:
        return Finding("Jupyter", "missing", "no JupyterLab in this environment", set_up())
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    repair = f"{Path(sys.executable).name} -m ipykernel install --sys-prefix"
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Finding("Jupyter", "missing", f"JupyterLab {version}, no kernel named python3", repair)
    # Jupyter replaces a bare "python" by its own interpreter; a path is taken as it stands.
    if Path(program).name == program or Path(program).parent == Path(sys.executable).parent:
        return Finding("Jupyter", "ok", f"JupyterLab {version}, kernel python3 runs this environment")
    found = f"JupyterLab {version}, kernel python3 runs another Python: {program}"
    return Finding("Jupyter", "missing", found, f"open the labs with `make lab`; if it stays so, {repair}")


def _answer(program: str, *arguments: str) -> str | None:
    """First line that a program prints, or None where it fails (a snap's stub, a daemon that does not answer)."""
    try:
        answer = subprocess.run(
            [program, *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = answer.stdout.strip().splitlines()
    return lines[0].strip() if answer.returncode == 0 and lines else None


def browser() -> Finding:
    """A Chromium-based browser that can run without a window."""
    try:
        path = str(find.find_browser())
        return Finding("Browser", "ok", find.version(path))
    except EnvironmentProblem as problem:
        return Finding("Browser", "not needed", str(problem), "labs 06 and 07 (models in a browser)")


def tensorflow_js() -> Finding:
    """TensorFlow.js, which the set-up fetches."""
    try:
        javascript.packages()
    except EnvironmentProblem as problem:
        return Finding("TensorFlow.js", "not needed", str(problem), "labs 06 and 07 (models in a browser)")
    (version,) = (one.version for one in javascript.locked() if one.name == "@tensorflow/tfjs")
    return Finding("TensorFlow.js", "ok", version)


def docker() -> Finding:
    """Docker with a daemon that answers."""
    return _program("docker", ["version", "--format", "{{.Server.Version}}"], "lab 02's container part")


def model_server() -> Finding:
    """TensorFlow Serving's own binary; the embedded server stands in for it."""
    return _program("tensorflow_model_server", ["--version"], "lab 02's binary part")


def _program(name: str, arguments: list[str], unless: str) -> Finding:
    path = shutil.which(name)
    answer = _answer(path, *arguments) if path else None
    if answer:
        return Finding(name, "ok", answer)
    return Finding(name, "not needed", "installed, but does not answer" if path else "not installed", unless)


def main(argv: list[str]) -> int:
    """Print the table; 1 when something is missing that every lab requires, else 0."""
    parser = argparse.ArgumentParser(prog="labkit doctor", description="Say what this machine has and lacks.")
    parser.parse_args(argv)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    findings = examine()
    styles = {"ok": "green", "missing": "bold red", "not needed": "dim"}
    table = Table("what", "found", "verdict")
    for finding in findings:
        table.add_row(finding.subject, Text(finding.found), Text(finding.verdict, styles[finding.state]))
    console = Console()
    console.print(table)
    missing = [finding.subject for finding in findings if finding.state == "missing"]
    console.print(f"Missing: {', '.join(missing)}." if missing else "Everything that the labs require is here.")
    return 1 if missing else 0
