"""labkit.devices.gpu: what is read from the machine, and the library that is opened for TensorFlow.

No GPU takes part: a script stands for `nvidia-smi` and answers as NVIDIA's documents show it.
"""

import ctypes
import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from labkit.devices import gpu, gpu_facts
from labkit.devices.gpu_facts import Card


def answering(folder: Path, script: str, monkeypatch) -> None:
    """Makes `script` the machine's nvidia-smi."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_facts_read_what_nvidia_smi_answers(tmp_path, monkeypatch):
    rows = "NVIDIA A100-SXM4-40GB, 40960, 580.95.05, 8.0, Enabled\nNVIDIA GB10, [N/A], 580.95.05, 12.1, [N/A]"
    answering(tmp_path, f"echo '{rows}'", monkeypatch)
    facts = gpu.facts(tmp_path)
    assert facts.cards == (
        Card("NVIDIA A100-SXM4-40GB", 40960, (8, 0), True),
        Card("NVIDIA GB10", None, (12, 1), False),
    )
    assert (facts.driver, facts.driver_problem, facts.signs) == ("580.95.05", "", True)


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_facts_keep_what_nvidia_smi_complains_about(tmp_path, monkeypatch):
    answering(tmp_path, "echo 'Failed to initialize NVML:\n Driver/library version mismatch' >&2; exit 18", monkeypatch)
    facts = gpu.facts(tmp_path)
    assert (facts.cards, facts.driver) == ((), None)
    assert facts.driver_problem == "Failed to initialize NVML: Driver/library version mismatch"


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_facts_do_not_wait_for_an_nvidia_smi_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_facts, "_SECONDS", 0.1)
    answering(tmp_path, f"exec {shutil.which('sleep')} 60", monkeypatch)
    assert "timed out after 0.1 seconds" in gpu.facts(tmp_path).driver_problem


@pytest.mark.parametrize(("number", "problem", "supports"), [(12080, 0, (12, 8)), (13000, 0, (13, 0)), (0, 3, None)])
def test_facts_read_what_cuda_the_driver_supports(tmp_path, monkeypatch, number, problem, supports):
    """CUDA's documents: 1000 * major + 10 * minor, as 12080."""

    class Driver:
        def __init__(self, name: str) -> None:
            assert name in ("libcuda.so.1", "nvcuda.dll")

        def cuDriverGetVersion(self, pointer) -> int:
            pointer._obj.value = number
            return problem

    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert gpu.facts(tmp_path).driver_cuda == supports


@pytest.mark.parametrize("file", [".dockerenv", "run/.containerenv"])
def test_docker_and_podman_leave_a_file_of_their_own(tmp_path, file):
    assert not gpu.facts(tmp_path).container
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert gpu.facts(tmp_path).container


def test_facts_read_the_machine_and_the_packages(tmp_path, monkeypatch):
    for file in ("dev/nvidia0", "dev/nvidiactl", "dev/nvidia-uvm", "dev/dxg", "dev/null", "run/.containerenv"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    bare = gpu.facts(tmp_path / "dev")
    assert (bare.device_files, bare.wsl, bare.container, bare.cards, bare.driver_problem) == ((), False, False, (), "")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/version").write_text("Linux version 6.6.87.2-microsoft-standard-WSL2 (root@a) #1 SMP")
    facts = gpu.facts(tmp_path)
    assert facts.device_files == ("/dev/dxg", "/dev/nvidia0", "/dev/nvidiactl")
    assert facts.wsl
    assert facts.container
    assert facts.variables["CUDA_VISIBLE_DEVICES"] == "1"
    assert {"nvidia-cudnn-cu12", "nvidia-cusolver-cu12"} <= {package.requirement.name for package in facts.packages}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_library_that_tensorflow_does_not_find_is_opened_for_it(tmp_path, monkeypatch):
    if importlib.util.find_spec("nvidia") is None:
        assert gpu.load_libraries() == ()
    library = tmp_path / "nvidia/cusolver/lib/libcusolver.so.11"
    library.parent.mkdir(parents=True)
    (tmp_path / "nvidia/__init__.py").touch()
    shutil.copy(importlib.util.find_spec("numpy.random.bit_generator").origin, library)  # any shared library
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    assert gpu.load_libraries() == (str(library),)
    assert str(library) in Path("/proc/self/maps").read_text()
