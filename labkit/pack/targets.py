"""What a bundle is made for: machines of one kind with one Python, as wheels' tags and a lock's markers name them."""

from collections.abc import Iterator
from dataclasses import dataclass

from packaging import tags
from packaging.markers import Marker

PYTHONS = ("3.11", "3.12", "3.13")
# The oldest systems for which every package of the lock has a wheel: glibc for Linux, the release for macOS.
PLATFORMS = {
    "linux": {
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "oldest": "2.28",
        "words": "Linux on Intel or AMD (x86-64)",
    },
    "linux-arm64": {
        "sys_platform": "linux",
        "platform_machine": "aarch64",
        "oldest": "2.28",
        "words": "Linux on ARM (64 bit)",
    },
    "macos": {
        "sys_platform": "darwin",
        "platform_machine": "arm64",
        "oldest": "12.0",
        "words": "macOS on Apple silicon",
    },
    "windows": {
        "sys_platform": "win32",
        "platform_machine": "AMD64",
        "oldest": "",
        "words": "Windows on Intel or AMD (x86-64)",
    },
}
_NAMES = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}


@dataclass(frozen=True, order=True)
class Target:
    """One kind of machine.

    Attributes:
        platform: a key of `PLATFORMS`.
        python: minor version of CPython, such as ``"3.12"``.
    """

    platform: str
    python: str

    def __str__(self) -> str:
        return f"{self.platform}-{self.python}"

    @property
    def oldest(self) -> str:
        """The oldest glibc or macOS on which all its wheels run; empty where Windows needs none."""
        return PLATFORMS[self.platform]["oldest"]

    def wants(self, marker: Marker | None) -> bool:
        """Whether a requirement with `marker` is installed there, with some patch release of its Python at least."""
        return marker is None or any(marker.evaluate(self._environment(patch)) for patch in (0, 99))

    def _environment(self, patch: int) -> dict[str, str]:
        system = PLATFORMS[self.platform]["sys_platform"]
        return {
            "extra": "",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.{patch}",
            "os_name": "nt" if system == "win32" else "posix",
            "platform_machine": PLATFORMS[self.platform]["platform_machine"],
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": _NAMES[system],
            "platform_version": "",
            "python_full_version": f"{self.python}.{patch}",
            "python_version": self.python,
            "sys_platform": system,
        }

    def platform_tags(self) -> list[str]:
        """Names that wheels give to its platform, the most specific first."""
        machine, oldest = PLATFORMS[self.platform]["platform_machine"].lower(), self.oldest
        if self.platform == "windows":
            return [f"win_{machine}"]
        if self.platform == "macos":
            major, minor = map(int, oldest.split("."))
            return list(tags.mac_platforms((major, minor), machine))
        return list(_manylinux(machine, int(oldest.split(".")[1])))

    def rank(self, wheel_tags: frozenset[tags.Tag]) -> int | None:
        """How well a wheel fits: 0 is best, None not at all. Installers choose by the same order."""
        python = tuple(map(int, self.python.split(".")))
        platforms, abi = self.platform_tags(), f"cp{self.python.replace('.', '')}"
        order = [
            *tags.cpython_tags(python, [abi], platforms),
            *tags.compatible_tags(python, abi, platforms),
        ]
        return next((number for number, tag in enumerate(order) if tag in wheel_tags), None)


def _manylinux(machine: str, newest: int) -> Iterator[str]:
    """From glibc 2.`newest` down to the first that has a manylinux tag, the old names among them."""
    old_names = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    for minor in range(newest, (5 if machine == "x86_64" else 17) - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in old_names:
            yield f"{old_names[minor]}_{machine}"
