"""`labkit doctor` looks at real things: these tests put real things in its way."""

import importlib.metadata
import json
import os
import re
import socket
import subprocess
import sys
import tomllib

import pytest

from labkit import doctor
from labkit.browser import find, javascript


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A function that puts a program on PATH, where nothing else is."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return add


def test_verdicts_read_as_sentences():
    assert doctor.Finding("Disk", "ok", "9 GiB free").verdict == "ok"
    assert doctor.Finding("Disk", "missing", "0 GiB free", "free some").verdict == "missing: free some"
    assert doctor.Finding("npm", "not needed", "", "lab 06").verdict == "not needed unless lab 06"


@pytest.mark.parametrize("version", ["3.11.0", "3.12.1", "3.13.9"])
def test_a_python_that_fits(version):
    assert doctor.python(version, bits=64).verdict == "ok"


@pytest.mark.parametrize(("version", "bits"), [("3.10.14", 64), ("3.14.0", 64), ("3.12.1", 32)])
def test_a_python_that_does_not_fit(version, bits):
    finding = doctor.python(version, bits)
    assert finding.verdict.startswith("missing: install a 64-bit Python")
    assert finding.found.startswith(f"{version}, {bits} bit")


def test_pythons_are_those_of_pyproject(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == doctor.PYTHONS


def test_packages_name_what_differs_from_the_lock(tmp_path):
    numpy = importlib.metadata.version("numpy")
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        f"numpy=={numpy} \\\n    --hash=sha256:00\n    # via labkit\n"
        "requests==0.1 \\\n    --hash=sha256:00\n"
        "a-package-nobody-has==1.0 \\\n    --hash=sha256:00\n"
        "only-on-windows==1.0 ; sys_platform == 'no-such-platform' \\\n    --hash=sha256:00\n"
    )
    finding = doctor.packages(lock)
    assert finding.state == "missing"
    assert finding.found.startswith("2 of 3 differ from requirements.lock: requests ")
    assert "(wanted ==0.1), a-package-nobody-has absent (wanted ==1.0)" in finding.found
    assert "make lab" in finding.verdict


def test_packages_without_a_lock_are_compared_with_labkits_own_ranges(tmp_path, repository):
    finding = doctor.packages(tmp_path / "none.lock")
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert finding.state == "ok"
    assert finding.found == f"{len(project['dependencies'])} packages as in labkit's requirements"


def test_tensorflow_tells_its_version_and_devices():
    runtime, gpu = doctor.tensorflow()
    assert runtime == doctor.Finding("TensorFlow", "ok", f"{importlib.metadata.version('tensorflow')}, devices CPU:0")
    assert gpu.subject == "GPU"
    assert gpu.found.startswith("hidden by CUDA_VISIBLE_DEVICES; built with")


def broken_tensorflow(folder):
    (folder / "tensorflow.py").write_text("raise ImportError('libtensorflow.so: cannot open shared object file')\n")
    return str(folder)


def test_a_tensorflow_that_does_not_import_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", broken_tensorflow(tmp_path))
    (finding,) = doctor.tensorflow()
    assert finding.state == "missing"
    assert finding.found == "ImportError: libtensorflow.so: cannot open shared object file"


def test_gpus(programs, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    facts = {"gpus": ["NVIDIA H200"], "cuda": "12.5.1", "cudnn": "9"}
    assert doctor.gpu(facts) == doctor.Finding("GPU", "ok", "NVIDIA H200; built with CUDA 12.5.1, cuDNN 9")
    none = doctor.gpu({**facts, "gpus": []})
    assert (none.state, none.found) == ("not needed", "none; built with CUDA 12.5.1, cuDNN 9")
    programs("nvidia-smi", "echo 1")
    assert "tensorflow[and-cuda]" in doctor.gpu({**facts, "gpus": []}).found
    assert doctor.gpu({"gpus": [], "cuda": None, "cudnn": None}).found.endswith("built without CUDA")


def test_memory():
    assert doctor.memory().found.endswith(f" of {doctor.memory().found.split()[-1]}")
    enough = doctor.memory(available=4 * doctor.GIB, total=8 * doctor.GIB)
    assert (enough.state, enough.found) == ("ok", "4.0 GiB free of 8.0")
    assert doctor.memory(available=0, total=8 * doctor.GIB).verdict.startswith("missing: close other programs")


def test_memory_that_is_enough_for_some_labs_names_the_others():
    said = doctor.memory(available=2_500_000_000, total=8 * doctor.GIB).verdict
    assert said == "not needed unless you run lab 05, 08, 10 (3 GB); 09, 11, 12, 13 (4 GB): close other programs then"


def test_the_labs_that_want_more_memory_are_those_of_the_readme(repository):
    rows = re.findall(r"^\| \[(\d\d) .*\| (\d) GB", (repository / "README.md").read_text(), flags=re.MULTILINE)
    named = {labs: str(gb) for gb, labs in doctor.LABS_BY_MEMORY.items()}
    assert rows
    for number, gb in rows:
        assert next((want for labs, want in named.items() if number in labs), named["all others"]) == gb, number


def test_disk(tmp_path):
    assert doctor.disk(tmp_path, wanted=1).state == "ok"
    full = doctor.disk(tmp_path, wanted=2**60)
    assert full.verdict.startswith("missing: free some space")


def test_ports(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {number: "you serve there"})
        assert doctor.ports() == [doctor.Finding(f"Port {number}", "not needed", "in use", "you serve there")]
    assert doctor.ports() == [doctor.Finding(f"Port {number}", "ok", "free")]


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A function that registers a kernel `python3` before all others."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))

    def register(program):
        folder = tmp_path / "kernels" / "python3"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel.json").write_text(
            f'{{"argv": ["{program}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"],'
            ' "display_name": "Python 3", "language": "python"}'
        )

    return register


def test_jupyters_kernel_is_this_environment(kernel):
    for program in ("python", sys.executable):
        kernel(program)
        assert doctor.jupyter().state == "ok"


def test_a_kernel_of_another_python_is_named(kernel):
    kernel("/somewhere/else/bin/python")
    finding = doctor.jupyter()
    assert "kernel python3 runs another Python: /somewhere/else/bin/python" in finding.found
    assert "open the labs with `make lab`" in finding.verdict
    assert finding.verdict.endswith("-m ipykernel install --sys-prefix")


@pytest.fixture
def no_installed_browser(monkeypatch):
    """No browser in macOS's and Windows's folders for programs: only those on PATH count."""
    monkeypatch.setattr(find, "_MAC", ())
    monkeypatch.setattr(find, "_WINDOWS", ())


def test_programs_that_answer(programs):
    programs("google-chrome", 'echo "Google Chrome 156.0"')
    programs("docker", '[ "$1" = version ] && echo 28.0.1')
    programs("tensorflow_model_server", 'echo "TensorFlow ModelServer: 2.19.1"; echo "TensorFlow Library: 2.19.1"')
    found = [check() for check in (doctor.browser, doctor.docker, doctor.model_server)]
    assert [one.state for one in found] == ["ok"] * 3
    assert [one.found for one in found] == ["Google Chrome 156.0", "28.0.1", "TensorFlow ModelServer: 2.19.1"]


def test_programs_that_are_not_there(programs, no_installed_browser):
    browser, *others = [check() for check in (doctor.browser, doctor.docker, doctor.model_server)]
    assert [one.state for one in (browser, *others)] == ["not needed"] * 3
    assert browser.found.startswith("No Chromium, Chrome or Edge was found. Install one")
    assert [one.found for one in others] == ["not installed"] * 2
    assert "not needed unless lab 02's container part" in [one.verdict for one in others]


def test_programs_that_fail(programs, no_installed_browser):
    programs("chromium-browser", 'echo "requires the chromium snap to be installed" >&2; exit 1')
    programs("docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    assert "chromium-browser is there but does not start" in doctor.browser().found
    assert doctor.docker().found == "installed, but does not answer"


def test_a_browser_that_starts_is_preferred_to_one_that_does_not(programs):
    programs("chromium", "exit 1")
    programs("msedge", 'echo "Edge 156"')
    assert doctor.browser() == doctor.Finding("Browser", "ok", "Edge 156")


def test_tensorflow_js_is_here_or_not_fetched_yet(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_JAVASCRIPT", str(tmp_path))
    finding = doctor.tensorflow_js()
    assert finding.verdict == "not needed unless labs 06 and 07 (models in a browser)"
    assert "make environment" in finding.found
    (javascript.place() / "node_modules").mkdir(parents=True)
    version = json.loads((javascript.MANIFEST / "package.json").read_text())["dependencies"]["@tensorflow/tfjs"]
    assert doctor.tensorflow_js() == doctor.Finding("TensorFlow.js", "ok", version)


def labkit_doctor(**variables):
    command = [sys.executable, "-m", "labkit", "doctor"]
    environment = {**os.environ, "COLUMNS": "160", **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)


def test_the_command_prints_every_line_and_succeeds_where_nothing_required_is_missing():
    answer = labkit_doctor()
    assert answer.returncode == 0, answer.stdout + answer.stderr
    subjects = ["Python", "Packages", "TensorFlow", "GPU", "Memory", "Disk", "Port 8500", "Port 8501", "Port 8888"]
    for subject in [*subjects, "Jupyter", "TensorFlow.js", "Browser", "docker", "tensorflow_model_server"]:
        assert f"│ {subject} " in answer.stdout
    assert answer.stdout.endswith("Everything that the labs require is here.\n")


def test_the_command_fails_where_something_required_is_missing(tmp_path):
    answer = labkit_doctor(PYTHONPATH=broken_tensorflow(tmp_path))
    assert answer.returncode == 1
    assert "missing: run `make lab`" in answer.stdout
    assert answer.stdout.endswith("Missing: TensorFlow.\n")
