"""What a target needs of a lock, and which wheel is the best one."""

from pathlib import Path

import pytest
from packaging.markers import Marker

from labkit.errors import EnvironmentProblem
from labkit.pack import lock
from labkit.pack.targets import PLATFORMS, PYTHONS, Target


def test_markers_are_those_of_the_target():
    windows, linux = Target("windows", "3.12"), Target("linux-arm64", "3.11")
    assert windows.wants(Marker("sys_platform == 'win32' and os_name == 'nt' and python_version >= '3.12'"))
    assert not linux.wants(Marker("sys_platform == 'win32'"))
    assert linux.wants(Marker("platform_machine == 'aarch64' and platform_system == 'Linux'"))
    assert Target("macos", "3.13").wants(Marker("sys_platform == 'darwin' and platform_machine == 'arm64'"))
    assert linux.wants(None)


def test_a_package_that_depends_on_the_patch_release_is_there_for_all_of_them():
    python = Target("linux", "3.11")
    assert python.wants(Marker("python_full_version < '3.11.5'"))
    assert python.wants(Marker("python_full_version >= '3.11.5'"))
    assert not python.wants(Marker("python_full_version >= '3.12'"))


@pytest.mark.parametrize(
    ("target", "best"),
    [
        (Target("linux", "3.12"), "toy-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"),
        (Target("linux", "3.11"), "toy-1.0-cp39-abi3-manylinux2014_x86_64.whl"),
        (Target("linux-arm64", "3.12"), "toy-1.0-py3-none-any.whl"),
        (Target("macos", "3.12"), "toy-1.0-cp312-cp312-macosx_11_0_arm64.whl"),
        (Target("windows", "3.13"), "toy-1.0-cp313-cp313-win_amd64.whl"),
    ],
)
def test_the_best_wheel_is_the_one_an_installer_would_take(target, best):
    there = [
        "toy-1.0-py3-none-any.whl",
        "toy-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        "toy-1.0-cp312-cp312-manylinux_2_35_x86_64.whl",
        "toy-1.0-cp39-abi3-manylinux2014_x86_64.whl",
        "toy-1.0-cp312-cp312-macosx_11_0_arm64.whl",
        "toy-1.0-cp312-cp312-macosx_26_0_arm64.whl",
        "toy-1.0-cp313-cp313-win_amd64.whl",
        "toy-2.0-cp313-cp313-win_amd64.whl",
        "toy_two-1.0-cp313-cp313-win_amd64.whl",
        "no wheel.whl",
    ]
    one = lock.Locked("toy", "1.0", None, frozenset())
    assert one.best(map(Path, there), target) == Path(best)


def test_every_target_gets_one_version_of_each_package_of_the_real_lock(repository):
    packages = lock.read(repository / "requirements.lock")
    assert len(packages) > 150
    for target in [Target(one, python) for one in PLATFORMS for python in PYTHONS]:
        wanted = [one.name for one in packages if target.wants(one.marker)]
        twice = {name for name in wanted if wanted.count(name) > 1}
        assert twice <= {"soupsieve"}, "one version for each patch release of 3.11"
        assert ("pywinpty" in wanted) == (target.platform == "windows") == ("uvloop" not in wanted)
        assert ("appnope" in wanted) == (target.platform == "macos")
        assert {"tensorflow", "uv", "setuptools", "jupyterlab"} <= set(wanted)


def test_a_lock_without_hashes_is_refused(tmp_path):
    file = tmp_path / "requirements.lock"
    file.write_text("pure==1.0\n    # via labkit\n")
    with pytest.raises(EnvironmentProblem, match="without hashes"):
        lock.read(file)
