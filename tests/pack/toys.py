"""A clone and an index of wheels in small, and what packs them."""

import hashlib
import os
import platform
import shutil
import zipfile
from pathlib import Path

from labkit.browser import javascript
from labkit.pack import command
from labkit.pack.targets import PLATFORMS, Target

HERE = Target(command.this_platform(), ".".join(platform.python_version_tuple()[:2]))
ELSEWHERE = Target("windows" if HERE.platform != "windows" else "macos", HERE.python)
ANYWHERE = "py3-none-any"
# Builds the toy project's package in place, as setuptools does for the real one.
BACKEND = """
import os, zipfile
def build_editable(folder, *_):
    name = "labkit-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("labkit.pth", os.getcwd())
        wheel.writestr("labkit-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: labkit\\nVersion: 1.0\\n")
        about = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("labkit-1.0.dist-info/WHEEL", about)
        wheel.writestr("labkit-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "labkit"
version = "1.0"
"""


def wheel(folder, name, tag=ANYWHERE, content="", program=None):
    """A wheel as an index has it: one module, and a program if its bytes are given."""
    file = folder / f"{name}-1.0-{tag}.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(f"{name}.py", content)
        if program is not None:
            opened.write(program, f"{name}-1.0.data/scripts/{program.name}")
        opened.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        opened.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        opened.writestr(f"{about}/RECORD", "")
    return file


def locked(index):
    markers = {"elsewhere": f" ; sys_platform == '{PLATFORMS[ELSEWHERE.platform]['sys_platform']}'"}
    lines = []
    for name in ("elsewhere", "native", "pure", "uv"):
        digests = [hashlib.sha256(one.read_bytes()).hexdigest() for one in index.glob(f"{name}-*")]
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests)
        lines.append(f"{name}==1.0{markers.get(name, '')} \\\n{hashes}\n    # via labkit\n")
    return "".join(lines)


def use(monkeypatch, index, clone):
    """Let pip find nothing but the wheels in `index`, and TensorFlow.js be there for `clone`."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("LABKIT_JAVASCRIPT", str(clone.parent / "javascript"))
    packages = javascript.place(clone / "labkit/browser/npm") / "node_modules" / "toy"
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "toy.js").write_text("// code", encoding="utf-8")


def copy(file, to):
    """A copy; of what is large, another name of the same file."""
    (os.link if "uv-" in Path(file).name else shutil.copy2)(file, to)
