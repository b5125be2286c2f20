"""The rivals' environment, `bench/.venv`: FastAPI, uvicorn and LitServe from `bench/requirements.lock`.

TensorFlow and numpy come from the project's own environment through one path file. So every side runs the very same
TensorFlow, nothing is installed twice (45 MB instead of 2 GB), and the project's environment stays clean.
"""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil

HERE = Path(__file__).parent
FOLDER = HERE / ".venv"
LOCK = HERE / "requirements.lock"
_OURS = ("tensorflow", "grpcio", "protobuf", "httptools", "uvloop", "numpy", "orjson", "pysimdjson")
_CLIENTS = ("requests", "urllib3", "httpx")
_RIVALS = ("fastapi", "uvicorn", "litserve")
VERSIONS = ("python", *_OURS, *_CLIENTS, *_RIVALS)
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare() -> Path:
    """Create the environment, or bring it up to date with the lock; returns its Python."""
    ours = sysconfig.get_path("purelib")
    wanted = hashlib.sha256(LOCK.read_bytes() + f"{sys.version} {ours}".encode()).hexdigest()
    stamp = FOLDER / "ready"
    if stamp.exists() and stamp.read_text() == wanted:
        return PYTHON
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(FOLDER)], check=True)
    install = [
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--compile-bytecode",
        "--python",
        str(PYTHON),
    ]
    subprocess.run([*uv, *install, "--requirement", str(LOCK)], check=True)
    (site_packages() / "project.pth").write_text(ours + "\n")
    stamp.write_text(wanted)
    return PYTHON


def site_packages() -> Path:
    """Where the rivals are installed."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(FOLDER), "platbase": str(FOLDER)}))


def describe() -> dict[str, str]:
    """Machine and versions, for the results page."""
    rivals = {d.name.lower(): d.version for d in importlib.metadata.distributions(path=[str(site_packages())])}
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load when started": " ".join(f"{load:.1f}" for load in psutil.getloadavg()),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _OURS + _CLIENTS},
        **{name: rivals[name] for name in _RIVALS},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
