"""Is there a TPU? Answered at once where there is none, and never with a stack trace.

TensorFlow itself has no question that is safe to ask everywhere: `TPUClusterResolver()` raises `ValueError` without a
TPU, and a TPU's address that leads nowhere keeps `experimental_connect_to_cluster` waiting for over a minute. So signs
that cost nothing come first; without one, TensorFlow is not even imported. An address is tried in a process of its
own, which is ended when it takes too long. Chips in this machine are initialised in this process: libtpu lets one
process at a time have them, so a second one would find them taken.

No TPU has run this: docs/tpu.md says what was tried, and where the rest is from.
"""

import functools
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import processes
from labkit.errors import ProcessError

if TYPE_CHECKING:
    import tensorflow as tf

ADDRESS_VARIABLES = ("COLAB_TPU_ADDR", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_NAME")
"""Environment variables that say where a TPU is; TensorFlow's resolver reads the last two by itself."""

MACHINE_VARIABLES = ("TPU_ACCELERATOR_TYPE", "TPU_WORKER_ID")
"""Environment variables that a machine or container with TPU chips has."""

_GOOGLE = "0x1ae0"  # PCI vendor of the chips; other cards that are handed to user space are in /dev/vfio too
_IMPORT_SECONDS = 120.0
_OUTCOME = "labkit-tpu "


@dataclass(frozen=True)
class Hint:
    """A sign of a TPU.

    Attributes:
        seen: the device file or the environment variable, such as ``/dev/accel0``.
        address: what `TPUClusterResolver` takes: ``local``, ``grpc://10.0.0.2:8470``, or a name.
    """

    seen: str
    address: str


@dataclass(frozen=True)
class Tpu:
    """A TPU that works.

    Attributes:
        address: what `connect` takes.
        cores: how many cores TensorFlow sees; each is one replica of `tf.distribute.TPUStrategy`.
    """

    address: str
    cores: int


@dataclass(frozen=True)
class Finding:
    """What `look` found.

    Attributes:
        hint: the sign that was followed; None if there is none.
        tpu: the TPU, None if there is none that works.
        reason: one sentence for the reader, in either case.
    """

    hint: Hint | None
    tpu: Tpu | None
    reason: str


def hint(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Hint | None:
    """The first sign of a TPU, from device files and environment variables only; about a millisecond.

    Args:
        environ: the environment variables.
        root: the folder that holds ``dev`` and ``sys``.
    """
    if chip := _chip(root):
        return Hint(f"/{chip.relative_to(root)}", "local")
    for name in ADDRESS_VARIABLES:
        if value := environ.get(name):
            bare = name == "COLAB_TPU_ADDR" and "://" not in value
            return Hint(f"{name}={value}", f"grpc://{value}" if bare else value)
    for name in MACHINE_VARIABLES:
        if value := environ.get(name):
            return Hint(f"{name}={value}", "local")
    return None


def look(timeout: float = 60.0) -> Finding:
    """Looks for a TPU and says in words what came of it. Never raises because of a TPU.

    Without a sign of one it returns in about a millisecond. Chips of this machine are initialised for this process.

    Args:
        timeout: seconds that a TPU at an address may take to answer; importing TensorFlow there is not counted.
            Long, because a TPU that is only slow must not be taken for none.

    Raises:
        ValueError: `timeout` is not positive.
    """
    if not timeout > 0:
        raise ValueError(f"look() was given timeout={timeout!r}; it takes a positive number of seconds, such as 60.0")
    sign = hint()
    if sign is None:
        names = ", ".join((*ADDRESS_VARIABLES, *MACHINE_VARIABLES))
        return Finding(None, None, f"No sign of a TPU: no chip in /dev, and none of {names} is set.")
    cores, problem = _in_this_process("local") if sign.address == "local" else _elsewhere(sign.address, timeout)
    if problem:
        return Finding(sign, None, f"{sign.seen} points to a TPU, but it cannot be used: {problem}")
    return Finding(sign, Tpu(sign.address, cores), f"{sign.seen}: a TPU with {cores} cores.")


def find(timeout: float = 60.0) -> Tpu | None:
    """The TPU that works here, None if there is none; `look` also says why.

    Args:
        timeout: as in `look`.

    Raises:
        ValueError: `timeout` is not positive.
    """
    return look(timeout).tpu


@functools.cache  # initialising a TPU again loses the variables that are on it
def connect(address: str) -> "tf.distribute.cluster_resolver.TPUClusterResolver":
    """Makes the TPU at `address` usable in this process, and returns what `tf.distribute.TPUStrategy` takes.

    These are the three calls of https://www.tensorflow.org/guide/tpu. A second call returns the same resolver.

    Args:
        address: ``local`` or ``grpc://HOST:PORT``, as in `Tpu.address`. An address that leads nowhere makes this
            wait for over a minute; ask `find` first.

    Raises:
        tensorflow.errors.OpError: the TPU cannot be initialised, in TensorFlow's own words.
    """
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return resolver


def explain(message: str, address: str) -> str:
    """What to do about an error of TensorFlow's when it tried the TPU at `address`.

    Args:
        message: the error in TensorFlow's words.
        address: what `TPUClusterResolver` was given.
    """
    if "support Op 'ConfigureDistributedTPU'" in message:  # other errors name this op too: as the one that failed
        return (
            "this TensorFlow was built without TPU support. Install tensorflow-tpu in an environment of its own; "
            "docs/tpu.md says which version."
        )
    words = " ".join(message.split())
    if address != "local" and "://" not in address:
        words += f" A name like {address!r} belongs to the old TPU Nodes; on a TPU VM use 'local'."
    return words if len(words) <= 500 else f"{words[:500]} …"


def _chip(root: Path) -> Path | None:
    """The first chip's device file. ``/dev/accel`` without a number is a folder for other makers' accelerators."""
    if chips := sorted(root.glob("dev/accel[0-9]*")):
        return chips[0]
    if any(_read(vendor) == _GOOGLE for vendor in root.glob("sys/bus/pci/devices/*/vendor")):
        return min(root.glob("dev/vfio/[0-9]*"), default=None)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _in_this_process(address: str) -> tuple[int, str]:
    """The number of cores and "", or 0 and what is wrong."""
    import tensorflow as tf

    try:
        connect(address)
        cores = len(tf.config.list_logical_devices("TPU"))
    except Exception as error:  # whatever it is, the answer is a sentence
        return 0, explain(f"{type(error).__name__}: {error}", address)
    return (cores, "") if cores else (0, "TensorFlow initialised it and then saw no core.")


def _elsewhere(address: str, timeout: float) -> tuple[int, str]:
    """As `_in_this_process`, from a process that is gone afterwards."""
    command = [sys.executable, "-P", "-m", "labkit.devices.tpu", address]
    environment = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    process = processes.start(command, name="the search for a TPU", env=environment)
    late = f"TensorFlow took over {_IMPORT_SECONDS:g} s to import there; the TPU was not asked."
    try:
        process.wait_for_log("(?m)^imported$", _IMPORT_SECONDS)
        late = f"{address} did not answer within {timeout:g} s."
        return tuple(json.loads(process.wait_for_log(f"(?m)^{_OUTCOME}(.*)$", timeout)[1]))
    except ProcessError:
        if process.running:
            return 0, late
        return 0, f"the process that tried it ended with exit status {process.exit_code}: {process.log()[-500:]}"
    finally:
        process.stop(grace=1.0)  # it may hang in a call that never returns


def _main(address: str) -> None:
    import tensorflow  # noqa: F401

    print("\nimported", flush=True)
    print("\n" + _OUTCOME + json.dumps(_in_this_process(address)), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
