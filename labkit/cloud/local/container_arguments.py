"""What stands in a container's command line and variables, as Kubernetes and TensorFlow Serving's image read it."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labkit.cloud.local.status import unmet

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_ENTRYPOINT, _PROGRAM = "tf_serving_entrypoint.sh", "tensorflow_model_server"
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_ENTRYPOINT_FLAGS = {"port": "8500", "rest_api_port": "8501"}


def program(command: Sequence[str], stand_in: Sequence[str]) -> list[str]:
    """What runs on this machine for a container: its command, or else what stands for its image's entry point.

    Where the command names a Python, with its path in the image or without, it is the one that runs this. What stands
    for an entry point may name another one of this machine, with its path.
    """
    first, *rest = command or stand_in
    name = first.rpartition("/")[2] if command else first
    return [sys.executable if _PYTHON.fullmatch(name) else first, *rest]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with each ``$(NAME)`` replaced, as Kubernetes does it: an unknown one stays, ``$$`` is a dollar sign."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def expand_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that may name those before them."""
    expanded: dict[str, str] = {}
    for name, text in variables.items():
        expanded[name] = expand(text, {**variables, **expanded})
    return expanded


def model_server_flags(
    command: Sequence[str],
    args: Sequence[str],
    variables: Mapping[str, str],
    port: int,
) -> list[str]:
    """The flags that TensorFlow Serving's image passes to its model server, without those for ports.

    Args:
        command: takes the place of the image's entry point, if it is not empty.
        args: what stands behind it.
        variables: the container's variables, expanded.
        port: where Vertex AI asks the container.

    Raises:
        ApiError: FAILED_PRECONDITION, another program was asked for, or the server would not listen at `port`.
    """
    words = [expand(word, variables) for word in (*command, *args)]
    flags = {}
    if not command or words[0].split("/")[-1] == _ENTRYPOINT:
        flags = _entrypoint_flags(variables)
    elif words[0].split("/")[-1] != _PROGRAM:
        raise unmet(
            f"The local cloud starts TensorFlow Serving's image with its own programs only ({_ENTRYPOINT} or "
            f"{_PROGRAM}), not with {words[0]!r}; leave the command out and pass flags as args."
        )
    flags |= _flags(words[1:] if command else words)
    flags.pop("port", None)
    rest = flags.pop("rest_api_port", "0")
    if rest != str(port):
        raise unmet(
            "Model server never became ready. TensorFlow Serving listens for REST at port "
            f"{rest if rest != '0' else 'none'}, and Vertex AI asks the container at port {port}; pass "
            f"--rest_api_port={port} in serving_container_args."
        )
    return [name if value is None else f"--{name}={value}" for name, value in flags.items()]


def at_local_copy(flags: Iterable[str], storage_uri: str, files: Path | None) -> list[str]:
    """Flags whose value lies in the model's storage, with the place of its local copy instead."""
    return [_local(flag, storage_uri.rstrip("/"), files) for flag in flags]


def _local(flag: str, storage_uri: str, files: Path | None) -> str:
    name, equals, value = flag.partition("=")
    if not storage_uri or files is None or not (value + "/").startswith(storage_uri + "/"):
        return flag
    below = value.removeprefix(storage_uri).strip("/")
    return f"{name}{equals}{files / below if below else files}"


def _entrypoint_flags(variables: Mapping[str, str]) -> dict[str, str | None]:
    name = variables.get("MODEL_NAME", "model")
    base = variables.get("MODEL_BASE_PATH", "/models").rstrip("/")
    return {**_ENTRYPOINT_FLAGS, "model_name": name, "model_base_path": f"{base}/{name}"}


def _flags(words: Iterable[str]) -> dict[str, str | None]:
    """Flags by name, the last one of a name; what is no ``--name=value`` stays as it is, for the server to judge."""
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and equals:
            found[name] = value
        else:
            found[word] = None
    return found
