"""Model servers in Docker containers: the image, how a container is started from it, and what memory it uses.

An image serves if it is started as TensorFlow Serving's is: it listens on ports 8500 (gRPC) and 8501 (REST), serves
``/models/$MODEL_NAME``, and takes what stands behind its name as flags.
"""

import csv
import io
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from labkit.errors import EnvironmentProblem

GRPC_PORT, REST_PORT = 8500, 8501
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def container_name(model: str, port: int) -> str:
    """A name that Docker accepts, unique as long as `port` is taken."""
    return f"labkit-{re.sub(r'[^a-zA-Z0-9_.-]+', '-', model)}-{port}"


def run_command(
    program: str,
    image: str,
    model: str,
    base_path: Path,
    ports: tuple[int, int],
    flags: Mapping[str, object],
) -> list[str]:
    """`docker run` for one model, its ports published on this machine only.

    Args:
        program: the docker command.
        image: which image; it is started as the module's first lines say.
        model: what clients call the model.
        base_path: the folder that holds the version folders.
        ports: gRPC and REST port on this machine.
        flags: further flags. A file that one of them names (``..._file``) is mounted at its own path.
    """
    files = {flag: Path(str(value)).resolve() for flag, value in flags.items() if _is_file(flag, value)}
    return [
        *(program, "run", "--rm", "--init", f"--name={container_name(model, ports[0])}"),
        f"--publish=127.0.0.1:{ports[0]}:{GRPC_PORT}",
        f"--publish=127.0.0.1:{ports[1]}:{REST_PORT}",
        f"--mount={_mount(base_path, f'/models/{model}')}",
        *(f"--mount={_mount(file, str(file))}" for file in files.values()),
        f"--env=MODEL_NAME={model}",
        *(image, *flag_words({**flags, **files})),
    ]


def flag_words(flags: Mapping[str, object]) -> list[str]:
    """Flags as TensorFlow Serving reads them, one word each."""
    return [f"--{flag}={str(value).lower() if isinstance(value, bool) else value}" for flag, value in flags.items()]


def _is_file(flag: str, value: object) -> bool:
    return flag.endswith("_file") and Path(str(value)).is_file()


def _mount(source: Path, target: str) -> str:
    """The value of --mount: one line of CSV, so a comma in a path needs quotes."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}", "readonly"])
    return line.getvalue()


def ensure_image(program: str, image: str) -> None:
    """See that `image` is on this machine; pull it if it is not.

    Raises:
        EnvironmentProblem: Docker does not answer, or there is no such image here or where images are pulled from.
    """
    if not _docker(program, "image", "inspect", image).returncode:
        return
    engine = _docker(program, "version", "--format={{.Server.Version}}")
    if engine.returncode:
        raise EnvironmentProblem(
            f"Docker is installed but its engine does not answer: {_said(engine)}. Start it (Linux: sudo systemctl "
            "start docker, and your user needs to be in the group docker; macOS, Windows: start Docker Desktop), "
            "or use backend='embedded'."
        )
    print(f"Pulling the image {image}, once.", file=sys.stderr, flush=True)
    pulled = _docker(program, "pull", "--quiet", image, seconds=None)
    if pulled.returncode:
        raise EnvironmentProblem(
            f"There is no image {image!r} on this machine and it could not be pulled: {_said(pulled)}. `docker images` "
            "lists those that are here, image='NAME' takes one of them; docs/model-server.md says how to build one."
        )


def memory(program: str, container: str) -> int:
    """Resident memory of all processes in `container` in bytes, 0 if it does not run.

    Docker lists the processes itself, so this is also right where containers run in a virtual machine. An engine
    without `ps` beside it gives the container's memory instead, which counts files that it keeps in memory too.
    """
    listed = _docker(program, "top", container, "-o", "pid,rss")
    if not listed.returncode:
        return 1024 * sum(int(line.split()[1]) for line in listed.stdout.splitlines()[1:])
    used = _docker(program, "stats", "--no-stream", "--format={{.MemUsage}}", container)
    match = re.match(r"([\d.]+)([KMGT]?i?B)\b", used.stdout)
    return round(float(match[1]) * _UNITS[match[2]]) if match else 0


def _docker(program: str, *words: str, seconds: float | None = 30.0) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *words], capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentProblem(f"`docker {words[0]}` did not answer within {seconds:g} s; restart Docker.") from None


def _said(ended: subprocess.CompletedProcess[str]) -> str:
    lines: Iterable[str] = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
    return " ".join(line.strip() for line in lines).rstrip(".")
