"""Why does TensorFlow see no GPU? Or: is this GPU used as it should be?

    for finding in gpu.diagnose():
        print(finding.subject, finding.state, finding.found, finding.remedy, sep=" | ")
    gpu.explain("failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected").remedy

On a machine without a GPU nothing is wrong, and the findings say so. docs/gpu.md tells how to set a GPU up.
"""

import ctypes
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from labkit import processes
from labkit.devices import gpu_facts
from labkit.devices.gpu_facts import Card, GpuFacts, facts
from labkit.devices.gpu_messages import MESSAGES, NEWER_CARD, Finding, State
from labkit.errors import ProcessError

__all__ = ["Finding", "GpuFacts", "State", "diagnose", "explain", "facts", "load_libraries", "tensorflow_says"]

OLDEST_DRIVER = {12: 525, 13: 580}
"""CUDA's major version to the first driver branch for it on Linux, from NVIDIA's table of minor version compatibility:
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"""

_WITH_CUDA = "pip install 'tensorflow[and-cuda]=={}'"
_DONE = "TensorFlow used"
# An operation for each part that may fail: CUDA's kernels, cuBLAS, cuDNN, XLA. (XLA knows nothing of Apple's GPUs.)
_TRIAL = f"""
import os, sys
if os.environ.get("CUDA_VISIBLE_DEVICES") == "-1":  # labkit.start's, for labs that run on the CPU
    del os.environ["CUDA_VISIBLE_DEVICES"]
import tensorflow as tf
for device in tf.config.list_physical_devices("GPU"):
    tf.config.experimental.set_memory_growth(device, True)
square = tf.ones([64, 64]) @ tf.ones([64, 64])
used = tf.nn.conv2d(tf.reshape(square, [1, 64, 64, 1]), tf.ones([3, 3, 1, 1]), 1, "SAME").device
tf.function(tf.math.tanh, jit_compile=sys.platform != "darwin")(square)
print("\\n{_DONE}", used.rpartition("/device:")[2], flush=True)
"""


def tensorflow_says(timeout: float = 180.0) -> str:
    """All that TensorFlow writes when it is imported, looks for GPUs and runs a few operations.

    A process of its own does that, with GPUs visible and with the names of the CUDA libraries that it misses. When
    all went well, its last line starts with ``TensorFlow used``.

    Args:
        timeout: seconds that it may take. On a GPU that is newer than TensorFlow it may need many minutes.

    Raises:
        ProcessError: it took longer.
        ValueError: `timeout` is not positive.
    """
    if not timeout > 0:
        raise ValueError(f"tensorflow_says() was given timeout={timeout!r}; it takes a positive number of seconds")
    command = [sys.executable, "-P", "-c", _TRIAL]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"}
    with processes.start(command, name="a trial of TensorFlow", env=environment) as process:
        try:
            process.wait_for_log(f"(?m)^{_DONE} .*$", timeout)
        except ProcessError:
            if process.running:
                raise
        return process.log()  # also of one that crashed: the reason is there


def explain(message: str) -> Finding:
    """What a message means, and what to do.

    Args:
        message: the message, or the log around it; of several known ones the cause is explained.

    Raises:
        ValueError: nothing in it is known.
    """
    if found := _known(message):
        return found[0]
    raise ValueError(
        f"none of the {len(MESSAGES)} known messages is in {message[:200]!r}; docs/gpu.md lists them. Search "
        "TensorFlow's issues for the part of it that has no numbers and no paths"
    )


def diagnose(log: str | None = None, facts: GpuFacts | None = None) -> list[Finding]:
    """What is right, what is wrong, and what to do; the first finding is the sum of the others.

    Args:
        log: what TensorFlow wrote; None: `tensorflow_says` finds out, which takes about as long as an import.
        facts: what there is; None: the function `facts` finds out.

    Raises:
        ProcessError: as in `tensorflow_says`.
    """
    facts = facts or gpu_facts.facts()
    log = tensorflow_says() if log is None else log
    findings = [_build(facts), _driver(facts), _packages(facts), *(_card(facts, card) for card in facts.cards)]
    findings += [*_surroundings(facts), *_known(log)]
    return [_sum(facts, log, findings), *findings]


def load_libraries() -> tuple[str, ...]:
    """Opens the CUDA libraries of pip's packages that TensorFlow itself does not find; call it before importing it.

    TensorFlow 2.21.0 for Linux looks for libcusolver in every place but the one where pip puts it. A library that is
    open already is found by its name.

    Returns:
        The files that were opened: one, or none where the package is not installed.
    """
    package = importlib.util.find_spec("nvidia")
    folders = package.submodule_search_locations if package else ()
    files = [str(file) for folder in folders or () for file in Path(folder).glob("cusolver/lib/libcusolver.so.*")]
    for file in files:
        ctypes.CDLL(file)
    return tuple(files)


def _known(log: str) -> list[Finding]:
    """The known messages in a log, each once; causes before what follows from them."""
    found = []
    for message in MESSAGES:
        if message.says in log:
            found.append(Finding(message.says, message.state, message.meaning, message.remedy))
            log = log.replace(message.says, "")  # else a general message would find a special one again
    return found


def _sum(facts: GpuFacts, log: str, findings: list[Finding]) -> Finding:
    used = re.search(rf"(?m)^{_DONE} (\S+)", log)
    if used and used[1].startswith("GPU"):
        return Finding("GPU", "ok", f"TensorFlow uses {used[1]}.")
    wrong = [finding.subject for finding in findings if finding.state == "wrong"]
    if wrong:
        return Finding("GPU", "wrong", "TensorFlow uses no GPU.", f"see below: {'; '.join(wrong)}")
    # CUDA's word for it is asked for, too: a trial of `tensorflow_says` ran without a -1 that is in the variables.
    if facts.cards and _hidden(facts) and "CUDA_ERROR_NO_DEVICE" in log:
        return Finding("GPU", "harmless", "CUDA_VISIBLE_DEVICES hides every GPU from TensorFlow.", "see below")
    if facts.signs:
        return Finding(
            "GPU", "wrong", "There are signs of a GPU, and TensorFlow does not use it.", "read the log from its start"
        )
    return Finding(
        "GPU",
        "not here",
        "There is no GPU that TensorFlow could use, and nothing is wrong.",
        "none; for a GPU: an NVIDIA card and its driver on Linux or WSL2, or a Mac with Apple silicon (docs/gpu.md)",
    )


def _build(facts: GpuFacts) -> Finding:
    if facts.cuda:
        found = (
            f"{facts.tensorflow}, built with CUDA {facts.cuda} and cuDNN {facts.cudnn}, for {_list(facts.built_for)}"
        )
        return Finding("TensorFlow", "ok", found)
    remedy = {
        "Darwin": "Apple's GPU: environment-apple-gpu.yml",
        "Windows": "use WSL2: TensorFlow for Windows itself has had no GPU support since 2.11",
    }.get(facts.system.partition(" ")[0], _WITH_CUDA.format(facts.tensorflow))
    return Finding("TensorFlow", "not here", f"{facts.tensorflow}, built without CUDA", remedy)


def _driver(facts: GpuFacts) -> Finding:
    if facts.driver_problem:
        explained = _known(facts.driver_problem)
        remedy = explained[0].remedy if explained else "nvidia-smi has to work first"
        return Finding("NVIDIA driver", "wrong", facts.driver_problem, remedy)
    if facts.driver is None and facts.driver_cuda is None:
        remedy = "for a GPU: start the container with --gpus all" if facts.container else ""
        return Finding("NVIDIA driver", "not here", "neither nvidia-smi nor libcuda.so.1", remedy)
    supports = _list(facts.driver_cuda or ("?",), ".")
    found = f"{facts.driver or 'no nvidia-smi'}, supports CUDA up to {supports}"
    if facts.cuda and facts.driver_cuda and facts.driver_cuda[0] < int(facts.cuda.partition(".")[0]):
        major = int(facts.cuda.partition(".")[0])
        return Finding(
            "NVIDIA driver", "wrong", found, f"update it: {OLDEST_DRIVER.get(major, 'a newer one')} or later"
        )
    return Finding("NVIDIA driver", "ok", found)


def _packages(facts: GpuFacts) -> Finding:
    missing = [package for package in facts.packages if not package.fits]
    if not facts.packages:
        return Finding("CUDA packages", "not here", "TensorFlow asks for none")
    if not missing:
        return Finding("CUDA packages", "ok", f"all {len(facts.packages)} are installed")
    words = [f"{package.requirement.name} {package.installed or 'absent'}" for package in missing]
    remedy = _WITH_CUDA.format(facts.tensorflow)
    if len(missing) == len(facts.packages) and not any(package.installed for package in missing):
        # A container of TensorFlow's may have CUDA elsewhere, so that this alone is not wrong.
        return Finding("CUDA packages", "not here", f"none of {len(missing)} is installed", f"for a GPU: {remedy}")
    return Finding("CUDA packages", "wrong", _list(words), remedy)


def _card(facts: GpuFacts, card: Card) -> Finding:
    found = f"{card.memory / 1024:.0f} GiB" if card.memory else "memory not told"
    # sm_80: (8, 0); compute_90: (9, 0); sm_120: (12, 0)
    numbers = (re.search(r"_(\d+)(\d)", one) for one in facts.built_for)
    built = [(int(found[1]), int(found[2])) for found in numbers if found]
    if card.capability is None or not built:
        return Finding(card.name, "ok", found)
    found += f", compute capability {_list(card.capability, '.')}"
    # Kernels run on later GPUs of the same major version; older ones have none, later ones need a translation.
    if any(major == card.capability[0] and minor <= card.capability[1] for major, minor in built):
        return Finding(card.name, "ok", found)
    found += f", for which TensorFlow {facts.tensorflow} has no kernels"
    remedy = "an older TensorFlow, or the CPU" if card.capability < max(built) else NEWER_CARD
    return Finding(card.name, "wrong", found, remedy)


def _surroundings(facts: GpuFacts) -> Iterator[Finding]:
    hidden = facts.variables.get("CUDA_VISIBLE_DEVICES")
    if facts.cards and _hidden(facts):
        found = f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU"
        yield Finding("CUDA_VISIBLE_DEVICES", "harmless", found, "unset it before Python starts, if that is not meant")
    if any(card.mig for card in facts.cards) and "MIG-" not in (hidden or ""):
        found = "a GPU is cut into instances, of which one process sees one"
        yield Finding("MIG", "harmless", found, "choose it: CUDA_VISIBLE_DEVICES=MIG-... from nvidia-smi -L")
    if facts.wsl and "/dev/dxg" not in facts.device_files:
        remedy = "wsl --update, and NVIDIA's driver for Windows; no driver inside WSL2"
        yield Finding("WSL2", "not here", "no /dev/dxg: Windows gives no GPU to WSL2", remedy)
    if facts.apple and facts.metal:
        yield Finding("Apple GPU", "ok", f"tensorflow-metal {facts.metal}")
    elif facts.apple:
        yield Finding("Apple GPU", "not here", "tensorflow-metal is absent", "environment-apple-gpu.yml, if wanted")


def _hidden(facts: GpuFacts) -> bool:
    return facts.variables.get("CUDA_VISIBLE_DEVICES") in ("", "-1")


def _list(parts: Iterable[object], between: str = ", ") -> str:
    return between.join(map(str, parts))
