"""Containers in Docker: how they are started, where they listen, which process they are."""

import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.serving import containers

FILES = "/vertex-ai/model"


def ensure_image(image: str) -> None:
    """See that `image` is on this machine; pull it if it is not.

    Raises:
        EnvironmentProblem: there is no Docker, it does not answer, or the image cannot be had.
    """
    containers.ensure_image(_program(), image)


def new_name(wanted: str) -> str:
    """A container's name that nobody else has."""
    return f"labkit-{re.sub(r'[^a-zA-Z0-9_.-]+', '-', wanted)}-{secrets.token_hex(4)}"


def removal(name: str) -> tuple[str, ...]:
    """The command that removes a container, whatever state it is in."""
    return (_program(), "rm", "--force", name)


def run_command(
    image: str,
    name: str,
    *,
    port: int,
    files: Path | None,
    variables: Mapping[str, str],
    entry_point: str,
    words: Sequence[str],
    cores: Sequence[int],
) -> list[str]:
    """`docker run`, the container's `port` published on this machine only, `files` mounted read-only at `FILES`."""
    return [
        *(_program(), "run", "--rm", "--init", f"--name={name}", f"--publish=127.0.0.1::{port}"),
        *([f"--mount=type=bind,source={files},target={FILES},readonly"] if files else []),
        *(f"--env={variable}={value}" for variable, value in variables.items()),
        f"--cpuset-cpus={','.join(map(str, cores))}",
        *([f"--entrypoint={entry_point}"] if entry_point else []),
        *(image, *words),
    ]


def published_port(name: str, port: int) -> int | None:
    """The port of this machine at which the container's `port` is; None as long as it does not run."""
    match = re.search(r"127\.0\.0\.1:(\d+)", _asked("port", name, f"{port}/tcp"))
    return int(match[1]) if match else None


def process_id(name: str) -> int | None:
    """The container's first process; None if it does not run on this machine's own kernel."""
    number = _asked("inspect", "--format={{.State.Pid}}", name).strip()
    return int(number) if number.isdecimal() and Path(f"/proc/{number}").exists() else None


def _asked(*words: str) -> str:
    asked = subprocess.run(
        [_program(), *words], capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=False
    )
    return asked.stdout if asked.returncode == 0 else ""


def _program() -> str:
    path = shutil.which("docker")
    if path is None:
        raise EnvironmentProblem(
            "docker is not on the PATH: install Docker and start it, or run containers as processes."
        )
    return path
