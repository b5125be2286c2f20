"""labkit.devices.gpu: real messages are explained, facts are judged, and a machine without a GPU is told so.

No GPU takes part.
"""

import dataclasses
import os
import re
import sys

import pytest
from packaging.requirements import Requirement

from labkit.devices import gpu
from labkit.devices.gpu_facts import Card, CudaPackage, GpuFacts
from labkit.devices.gpu_messages import MESSAGES, Message
from labkit.errors import ProcessError

# As they were reported, but for times, addresses and user names.
REAL = {
    "E0000 00:00:0 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN "
    "ERROR (303)": ("not here", "driver"),
    "E tensorflow/stream_executor/cuda/cuda_diagnostics.cc:313] kernel version 460.91.3 does not match DSO version "
    "470.57.2 -- cannot find working devices in this configuration": ("wrong", "restart"),
    "E0000 00:00:0 cuda_dnn.cc:522] Loaded runtime CuDNN library: 9.1.0 but source was compiled with: 9.3.0.  CuDNN "
    "library needs to have matching major version and equal or higher minor version.": ("wrong", "LD_LIBRARY_PATH"),
    "W tensorflow/compiler/mlir/tools/kernel_gen/tf_gpu_runtime_wrappers.cc:40] 'cuModuleLoadData(&module, data)' "
    "failed with 'CUDA_ERROR_INVALID_PTX'": ("wrong", "12.8"),
    "W tensorflow/core/framework/op_kernel.cc:1830] OP_REQUIRES failed at xla_ops.cc:446 : INTERNAL: libdevice not "
    "found at ./libdevice.10.bc": ("wrong", "nvidia-cuda-nvcc"),
    "E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:485] Unable to register cuFFT factory: Attempting to "
    "register factory for plugin cuFFT when one has already been registered": ("harmless", ""),
    'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].': (
        "wrong",
        "nvidia-container-toolkit",
    ),
}
METAL = (
    "dlopen(/opt/tf/lib/python3.12/site-packages/tensorflow-plugins/libmetal_plugin.dylib, 0x0006): Library not "
    "loaded: @rpath/_pywrap_tensorflow_internal.so"
)
CUSOLVER = (
    "I0000 00:00:0 dso_loader.cc:144] Could not load dynamic library 'libcusolver.so.11'; dlerror: libcusolver.so.11: "
    "cannot open shared object file: No such file or directory\n"
    "W0000 00:00:0 gpu_device.cc:2365] Cannot dlopen some GPU libraries. Please make sure the missing libraries "
    "mentioned above are installed properly if you would like to use GPU.\nSkipping registering GPU devices...\n"
)
QUIET = "This TensorFlow binary is optimized to use available CPU instructions in performance-critical operations.\n"
AMPERE = Card("NVIDIA A100-SXM4-40GB", 40960, (8, 0), False)


def packages(installed: str | None, count: int = 2) -> tuple[CudaPackage, ...]:
    names = ("nvidia-cudnn-cu12>=9.3.0.75,<10.0", "nvidia-cusolver-cu12>=11.6.3.83,<12.0")
    return tuple(CudaPackage(Requirement(name), installed) for name in names[:count])


LAPTOP = GpuFacts(
    system="Linux x86_64",
    tensorflow="2.21.0",
    cuda="12.5.1",
    cudnn="9",
    built_for=("sm_60", "sm_70", "sm_80", "sm_89", "compute_90"),
    driver=None,
    driver_cuda=None,
    driver_problem="",
    cards=(),
    packages=packages(None),
    variables={},
    device_files=(),
    wsl=False,
    container=False,
    metal=None,
)
STATION = dataclasses.replace(
    LAPTOP, driver="580.95.5", driver_cuda=(13, 0), cards=(AMPERE,), device_files=("/dev/nvidia0", "/dev/nvidiactl")
)


def judged(subject: str, log: str = QUIET, facts: GpuFacts = STATION, **changes: object) -> gpu.Finding:
    """What `diagnose` finds about one subject when these facts are others."""
    findings = gpu.diagnose(log, dataclasses.replace(facts, **changes))
    return next(finding for finding in findings if finding.subject == subject)


@pytest.mark.parametrize("message", REAL)
def test_a_real_message_is_explained(message):
    state, remedy = REAL[message]
    found = gpu.explain(message)
    assert (found.state, found.subject in message) == (state, True)
    assert remedy in found.remedy


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.says)
def test_no_message_hides_another(message):
    found = gpu.explain(f"2026-11-29 12:00:00: W file.cc:1] ... {message.says} ...\n{QUIET}")
    assert (found.subject, found.state) == (message.says, message.state)
    assert found.remedy or message.state == "harmless"


def test_the_cause_is_explained_not_what_follows_from_it():
    found = gpu.explain(QUIET + CUSOLVER)
    assert "libcusolver" in found.subject
    assert "load_libraries" in found.remedy
    subjects = [
        finding.subject for finding in gpu.diagnose(CUSOLVER, STATION) if finding.subject[:5] in ("Could", "Canno")
    ]
    assert subjects == ["Could not load dynamic library 'libcusolver.so.11'", "Cannot dlopen some GPU libraries"]


def test_an_unknown_message_is_refused_in_words():
    with pytest.raises(ValueError, match=r"known messages is in 'something else'; docs/gpu\.md"):
        gpu.explain("something else")


def test_the_document_has_the_same_table(repository):
    text = (repository / "docs" / "gpu.md").read_text()
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", text, flags=re.MULTILINE)
    said = [
        Message(says, state, meaning, remedy, re.sub(r"\[(.*?)\]\(.*?\)", r"\1", source))
        for says, state, meaning, remedy, source in rows
    ]
    assert said == list(MESSAGES)
    links = re.findall(r"\[([\w/-]+)#(\d+)\]\(https://github\.com/(.*?)/issues/(\d+)\)", text)
    assert len(links) > 15
    assert all((name, number) == (there, that) for name, number, there, that in links)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What TensorFlow says on this machine, with each operation it runs; its process takes as long as an import."""
    folder = tmp_path_factory.mktemp("said")
    told = "import tensorflow as tf\n    tf.debugging.set_log_device_placement(True)"
    only_there = (
        f"import os\nif 'TF_CPP_VMODULE' in os.environ:\n    {told}\n"  # not in the guard of labkit's processes
    )
    (folder / "sitecustomize.py").write_text(only_there)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        return gpu.tensorflow_says()


def test_tensorflow_is_tried_with_gpus_in_sight(said):
    assert re.search(r"Executing op \w*Conv2D in", said)  # cuDNN's part on a GPU
    assert "Compiled cluster using XLA" in said or sys.platform == "darwin"
    last = said.splitlines()[-1]
    assert last.startswith(("TensorFlow used CPU:0", "TensorFlow used GPU:0"))
    facts = gpu.facts()
    if facts.cuda and not facts.signs:
        assert "UNKNOWN ERROR (303)" in said
        assert "Could not load dynamic library 'libcuda.so.1'" in said


def test_this_machine_is_judged_as_a_whole(said):
    facts = gpu.facts()
    first, *others = gpu.diagnose(said, facts)
    if facts.signs:
        assert first.state == ("ok" if "used GPU" in said else "wrong")
    else:
        assert first.state == "not here"
        assert "nothing is wrong" in first.found
        assert not [finding for finding in others if finding.state == "wrong"]


@pytest.mark.parametrize(("outside", "inside"), [("-1", "None"), ("1", "1")])
def test_a_tensorflow_that_cannot_be_imported_is_heard(tmp_path, monkeypatch, outside, inside):
    broken = f"import os\nprint('devices:', os.environ.get('CUDA_VISIBLE_DEVICES'))\nraise ImportError({METAL!r})"
    (tmp_path / "tensorflow.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", outside)
    log = gpu.tensorflow_says()
    assert METAL in log
    assert f"devices: {inside}\n" in log  # labkit's own -1 is undone, the reader's choice is not
    assert gpu.diagnose(log, dataclasses.replace(LAPTOP, metal="1.2.0"))[0].remedy == "see below: libmetal_plugin.dylib"


def test_the_trial_has_a_time_limit():
    with pytest.raises(ProcessError, match=r"not ready after 0\.01 s"):
        gpu.tensorflow_says(timeout=0.01)
    with pytest.raises(ValueError, match="timeout=0"):
        gpu.tensorflow_says(timeout=0)


def test_a_laptop_without_a_gpu_has_nothing_wrong():
    findings = gpu.diagnose(QUIET + "Could not find cuda drivers on your machine, GPU will not be used.", LAPTOP)
    assert {finding.state for finding in findings} == {"not here", "ok", "harmless"}
    assert findings[0].subject == "GPU"
    assert "none" in findings[0].remedy


def test_a_gpu_that_is_used_is_ok():
    first = gpu.diagnose(f"{QUIET}\nTensorFlow used GPU:0\n", STATION)[0]
    assert first == gpu.Finding("GPU", "ok", "TensorFlow uses GPU:0.")


def test_a_gpu_that_is_not_used_is_wrong_even_without_a_known_message():
    assert gpu.diagnose(QUIET, dataclasses.replace(STATION, packages=()))[0].state == "wrong"
    assert "libcusolver" in gpu.diagnose(CUSOLVER, STATION)[0].remedy


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_gpu_that_is_hidden_is_said_to_be(value):
    log = f"{QUIET}failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n"
    hidden = dataclasses.replace(STATION, variables={"CUDA_VISIBLE_DEVICES": value})
    first = gpu.diagnose(log, hidden)[0]
    assert first.state == "harmless"
    assert "CUDA_VISIBLE_DEVICES hides" in first.found
    assert gpu.diagnose(log, STATION)[0].state == "wrong"
    assert gpu.diagnose(QUIET, hidden)[0].state == "wrong"  # another reason, which is not known
    assert gpu.diagnose(log + CUSOLVER, hidden)[0].state == "wrong"


@pytest.mark.parametrize(
    "sign",
    [
        {"cards": (AMPERE,)},
        {"device_files": ("/dev/nvidia0",)},
        {"driver_cuda": (12, 8)},
        {"driver_problem": "No devices were found"},
        {"metal": "1.2.0"},
    ],
    ids=str,
)
def test_each_sign_of_a_gpu_counts(sign):
    assert not LAPTOP.signs
    facts = dataclasses.replace(LAPTOP, **sign)
    assert facts.signs
    assert gpu.diagnose(QUIET, facts)[0].state == "wrong"


@pytest.mark.parametrize(
    ("capability", "state", "remedy"),
    [
        ((8, 0), "ok", ""),
        ((8, 6), "ok", ""),  # has the kernels of 8.0
        ((9, 0), "ok", ""),  # translated from compute_90
        ((12, 0), "wrong", "12.8"),
        ((5, 2), "wrong", "older TensorFlow"),
        ((8, 9), "ok", ""),
        (None, "ok", ""),
    ],
)
def test_a_card_is_judged_by_what_tensorflow_was_built_for(capability, state, remedy):
    found = judged("a card", cards=(Card("a card", 8192, capability, False),))
    assert found.state == state
    assert remedy in found.remedy
    assert "8 GiB" in found.found


def test_kernels_do_not_run_on_an_earlier_card_of_the_same_major_version():
    found = judged("a card", cards=(Card("a card", 8192, (8, 0), False),), built_for=("sm_89", "sm_120"))
    assert (found.state, found.remedy) == ("wrong", "an older TensorFlow, or the CPU")


def test_a_card_is_fine_for_a_tensorflow_that_was_built_for_it():
    found = judged("a card", cards=(Card("a card", None, (12, 1), False),), built_for=("sm_90a", "sm_120"))
    assert (found.state, found.found) == ("ok", "memory not told, compute capability 12.1")


@pytest.mark.parametrize(
    ("changes", "state", "remedy"),
    [
        ({}, "ok", ""),
        ({"driver": "470.256.2", "driver_cuda": (11, 4)}, "wrong", "525 or later"),
        ({"driver_problem": "Failed to initialize NVML: Driver/library version mismatch"}, "wrong", "restart"),
        ({"driver_problem": "No devices were found"}, "wrong", "nvidia-smi"),
        ({"driver": None, "driver_cuda": None, "container": True}, "not here", "--gpus all"),
    ],
)
def test_the_driver_is_judged(changes, state, remedy):
    found = judged("NVIDIA driver", **changes)
    assert found.state == state
    assert remedy in found.remedy


def test_the_packages_are_judged():
    assert judged("CUDA packages", packages=packages("11.0")).state == "wrong"
    assert judged("CUDA packages", packages=packages("9.28.0.42", 1)).state == "ok"
    some = judged("CUDA packages", packages=(*packages("9.28.0.42", 1), packages(None)[1]))
    assert (some.state, some.found) == ("wrong", "nvidia-cusolver-cu12 absent")
    assert "tensorflow[and-cuda]==2.21.0" in some.remedy
    assert judged("CUDA packages").state == "not here"  # TensorFlow's containers have CUDA elsewhere
    assert judged("CUDA packages", packages=()).state == "not here"


def test_what_surrounds_tensorflow_is_judged():
    cut = (dataclasses.replace(AMPERE, mig=True),)
    hidden = judged("CUDA_VISIBLE_DEVICES", variables={"CUDA_VISIBLE_DEVICES": "-1"})
    assert hidden.state == "harmless"
    assert "'-1'" in hidden.found
    assert "nvidia-smi -L" in judged("MIG", cards=cut).remedy
    chosen = dataclasses.replace(STATION, cards=cut, variables={"CUDA_VISIBLE_DEVICES": "MIG-c6d4f1ef"})
    assert "MIG" not in {finding.subject for finding in gpu.diagnose(QUIET, chosen)}
    assert "Windows" in judged("WSL2", facts=LAPTOP, wsl=True).remedy
    assert "WSL2" in judged("TensorFlow", facts=LAPTOP, system="Windows AMD64", cuda=None).remedy
    mac = {"system": "Darwin arm64", "cuda": None}
    assert "environment-apple-gpu.yml" in judged("TensorFlow", facts=LAPTOP, **mac).remedy
    assert judged("Apple GPU", facts=LAPTOP, **mac).state == "not here"
    assert judged("Apple GPU", facts=LAPTOP, **mac, metal="1.2.0").state == "ok"
