"""What every engine is told: the script's text and the cluster's addresses."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from labkit.cluster.spec import ClusterSpec, Task


def script_text(script: str | os.PathLike[str]) -> str:
    """The text of a Python script.

    Raises:
        ValueError: there is no such file, or it is not Python.
    """
    path = Path(script)
    if not path.is_file():
        raise ValueError(f"script is {os.fspath(script)!r}, which is no file; the path of a Python script is needed")
    try:
        text = path.read_text(encoding="utf-8")
        compile(text, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is no Python that can run: {error}; correct it first") from error
    return text


def addresses_of(spec: ClusterSpec, addresses: Mapping[Task, str]) -> dict[str, list[str]]:
    """The part of ``TF_CONFIG`` that all tasks share: the addresses of each type."""
    return json.loads(spec.tf_config(spec.tasks[0], addresses))["cluster"]


def words(arguments: Iterable[object]) -> list[str]:
    """The script's arguments as the words of a command line.

    Raises:
        TypeError: `arguments` is one string, whose letters would be the arguments.
    """
    if isinstance(arguments, str | bytes):
        raise TypeError(f"arguments is {arguments!r}; a list is needed, as in ['--steps', '100']")
    return [str(each) for each in arguments]


def check_port(port: int, tasks: int = 1) -> None:
    """Refuse ports that a plain user cannot listen on, for `tasks` ports from `port` on.

    Raises:
        ValueError: one of them is below 1024 or above 65535.
    """
    if port < 1024 or port + tasks - 1 > 65535:
        last = f" to {port + tasks - 1}" if tasks > 1 else ""
        raise ValueError(f"port is {port}{last}; a number from 1024 to 65535 is needed")
