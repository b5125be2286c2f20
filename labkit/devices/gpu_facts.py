"""What there is for TensorFlow to use a GPU: its build, the driver, the cards, the packages, the surroundings.

Nothing here starts CUDA: NVIDIA's own program and the driver's version number are asked, and files and environment
variables are read.
"""

import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

VARIABLES = (
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    "XLA_FLAGS",
)
"""Environment variables that change which GPU TensorFlow finds, or how it uses it."""

# https://docs.nvidia.com/deploy/nvidia-smi/: what --help-query-gpu lists
_ASKED = ("name", "memory.total", "driver_version", "compute_cap", "mig.mode.current")
_SECONDS = 20.0  # nvidia-smi takes seconds where the driver is not kept in memory


@dataclass(frozen=True)
class Card:
    """One GPU as nvidia-smi tells it.

    Attributes:
        name: such as ``NVIDIA A100-SXM4-40GB``.
        memory: in MiB; None if it is not told.
        capability: its compute capability, such as (8, 0); None if it is not told.
        mig: whether it is cut into instances (MIG).
    """

    name: str
    memory: int | None
    capability: tuple[int, int] | None
    mig: bool


@dataclass(frozen=True)
class CudaPackage:
    """A package that ``tensorflow[and-cuda]`` asks for; `installed` is its version, None if it is absent."""

    requirement: Requirement
    installed: str | None

    @property
    def fits(self) -> bool:
        """Whether it is installed in a version that TensorFlow asks for."""
        return self.installed is not None and self.requirement.specifier.contains(self.installed, prereleases=True)


@dataclass(frozen=True)
class GpuFacts:
    """What was found.

    Attributes:
        system: such as ``Linux x86_64`` or ``Darwin arm64``.
        tensorflow: its version.
        cuda: the CUDA version that this TensorFlow was built with; None if without.
        cudnn: the same for cuDNN.
        built_for: the compute capabilities it has kernels for, ``sm_80``, or can have them translated from,
            ``compute_90``.
        driver: NVIDIA's driver version; None if nvidia-smi does not tell one.
        driver_cuda: the newest CUDA that libcuda supports, such as (12, 8); None if there is no libcuda.
        driver_problem: what nvidia-smi says instead of an answer; empty if it answers or is absent.
        cards: the GPUs that nvidia-smi lists.
        packages: what ``tensorflow[and-cuda]`` asks for.
        variables: the environment variables of `VARIABLES` that are set.
        device_files: NVIDIA's files in /dev, and WSL2's.
        wsl: whether this is the Windows Subsystem for Linux.
        container: whether this is a container.
        metal: the version of tensorflow-metal; None if it is absent.
    """

    system: str
    tensorflow: str
    cuda: str | None
    cudnn: str | None
    built_for: tuple[str, ...]
    driver: str | None
    driver_cuda: tuple[int, int] | None
    driver_problem: str
    cards: tuple[Card, ...]
    packages: tuple[CudaPackage, ...]
    variables: Mapping[str, str]
    device_files: tuple[str, ...]
    wsl: bool
    container: bool
    metal: str | None

    @property
    def apple(self) -> bool:
        """Whether this is a Mac with Apple silicon."""
        return self.system == "Darwin arm64"

    @property
    def signs(self) -> bool:
        """Whether there is any sign of a GPU that this TensorFlow could use."""
        return bool(self.cards or self.device_files or self.driver_cuda or self.driver_problem or self.metal)


def facts(root: Path = Path("/")) -> GpuFacts:
    """Looks at this machine and this Python environment.

    Args:
        root: the folder that holds ``dev`` and ``proc``.
    """
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()  # without CUDA the keys about it are absent
    answer, problem = _nvidia_smi()
    return GpuFacts(
        system=f"{platform.system()} {platform.machine()}",
        tensorflow=tf.__version__,
        cuda=build.get("cuda_version"),
        cudnn=build.get("cudnn_version"),
        built_for=tuple(build.get("cuda_compute_capabilities", ())),
        driver=answer[0][2] if answer else None,
        driver_cuda=_driver_cuda(),
        driver_problem=problem,
        cards=tuple(map(_card, answer)),
        packages=_packages(),
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
        device_files=tuple(sorted(f"/dev/{file.name}" for file in _device_files(root))),
        wsl="microsoft" in _kernel(root).lower(),
        container=any((root / file).exists() for file in (".dockerenv", "run/.containerenv")),
        metal=_version("tensorflow-metal"),
    )


def _nvidia_smi() -> tuple[list[list[str]], str]:
    """One row of answers a card, and the reason if there are none; both empty without nvidia-smi."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=_SECONDS)
    except FileNotFoundError:
        return [], ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines()]
    if not rows or any(len(row) != len(_ASKED) for row in rows):
        return [], " ".join(f"{done.stdout} {done.stderr}".split()) or "nvidia-smi lists no GPU"
    return rows, ""


def _card(row: list[str]) -> Card:
    name, memory, _, capability, mig = row
    # "[N/A]" is an answer, too: for the memory of a card that shares the machine's, and for MIG where there is none.
    numbers = re.fullmatch(r"(\d+)\.(\d+)", capability)
    version = (int(numbers[1]), int(numbers[2])) if numbers else None
    return Card(name, int(memory) if memory.isdigit() else None, version, mig == "Enabled")


def _driver_cuda() -> tuple[int, int] | None:
    """What cuDriverGetVersion says; it may be called before cuInit, and without any GPU."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(number)):
        return None
    return number.value // 1000, number.value % 1000 // 10


def _packages() -> tuple[CudaPackage, ...]:
    """From the requirements of the TensorFlow that is installed, so that they are true for every version of it."""
    asked = map(Requirement, importlib.metadata.requires("tensorflow") or ())
    cuda = [one for one in asked if one.name.startswith("nvidia-")]
    wanted = [one for one in cuda if one.marker and one.marker.evaluate({"extra": "and-cuda"})]
    return tuple(CudaPackage(one, _version(one.name)) for one in wanted)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _kernel(root: Path) -> str:
    version = root / "proc/version"
    return version.read_text(encoding="utf-8", errors="replace") if version.exists() else ""


def _device_files(root: Path) -> list[Path]:
    return [*root.glob("dev/nvidia[0-9]*"), *root.glob("dev/nvidiactl"), *root.glob("dev/dxg")]
