"""What TensorFlow, CUDA and their tools say when a GPU is set up, and what each of it means.

Every message is real: from a report that `source` names, from TensorFlow 2.21 itself, or from both. docs/gpu.md shows
the same table.
"""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "wrong", "harmless", "not here"]
_TENSORFLOW = "tensorflow/tensorflow#"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is: a part of the machine, or a message's own words.
        state: ``ok``; ``wrong`` (to be put right); ``harmless`` (to be ignored); ``not here`` (fine without a GPU).
        found: what was seen and what it means.
        remedy: what to do; empty if nothing.
    """

    subject: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Message:
    """A known message.

    Attributes:
        says: the part of it that is always the same.
        state: as in `Finding`.
        meaning: what it means.
        remedy: what to do; empty if nothing.
        source: where it was reported, as ``owner/repository#number``, or "TensorFlow 2.21" if it was seen there.
    """

    says: str
    state: State
    meaning: str
    remedy: str
    source: str


_INSTALL = "install the CUDA packages that TensorFlow asks for: pip install 'tensorflow[and-cuda]==VERSION'"
_REBOOT = "restart the machine; if that does not help, install the driver again"
NEWER_CARD = "use NVIDIA's TensorFlow container, or a TensorFlow built with CUDA 12.8 or later; until then the CPU"
_NONE_NEEDED = "none, if this machine has no NVIDIA GPU; otherwise "

MESSAGES = (
    # Causes stand before what follows from them, harmless ones last: `labkit.devices.gpu` keeps this order.
    Message(
        "libmetal_plugin.dylib",
        "wrong",
        "tensorflow-metal does not fit this TensorFlow, so that TensorFlow cannot even be imported.",
        "use environment-apple-gpu.yml, or the CPU: pip uninstall tensorflow-metal",
        f"{_TENSORFLOW}81987",
    ),
    Message(
        "couldn't communicate with the NVIDIA driver",
        "wrong",
        "nvidia-smi is installed, but the driver's kernel module does not run: often after a new kernel.",
        "install the driver again for this kernel, and restart; in WSL2 install it in Windows only",
        "microsoft/WSL#7716",
    ),
    Message(
        "Driver/library version mismatch",
        "wrong",
        "The driver was updated while the old kernel module still runs.",
        _REBOOT,
        f"{_TENSORFLOW}52530",
    ),
    Message(
        "does not match DSO version",
        "wrong",
        "libcuda and the kernel module are of different driver versions: an update, or a second libcuda.",
        f"{_REBOOT}; in a container, remove the image's own libcuda (cuda-compat)",
        f"{_TENSORFLOW}4349",
    ),
    Message(
        "could not select device driver",
        "wrong",
        "Docker was asked for GPUs and does not know how to hand them out.",
        "install nvidia-container-toolkit, run nvidia-ctk runtime configure --runtime=docker, restart Docker",
        "NVIDIA/nvidia-docker#1034",
    ),
    Message(
        "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        "wrong",
        "libcuda is newer than the kernel module, which only data centre GPUs allow.",
        f"{_REBOOT}; in a container, remove cuda-compat",
        f"{_TENSORFLOW}4349",
    ),
    Message(
        "CUDA driver version is insufficient for CUDA runtime version",
        "wrong",
        "The driver is older than the CUDA libraries.",
        "update the driver: 525 or later for CUDA 12, better one of the last year",
        f"{_TENSORFLOW}41401",
    ),
    Message(
        "Could not load dynamic library 'libcuda.so.1'",
        "not here",
        "There is no driver: libcuda comes with it, and with no package of Python's.",
        f"{_NONE_NEEDED}install the driver; in a container, start it with --gpus all",
        "TensorFlow 2.21",
    ),
    Message(
        "UNKNOWN ERROR (303)",
        "not here",
        "There is no driver: libcuda.so.1 could not be opened.",
        f"{_NONE_NEEDED}install the driver; in a container, start it with --gpus all",
        "TensorFlow 2.21",
    ),
    Message(
        "CUDA_ERROR_NO_DEVICE",
        "not here",
        "The driver answers and shows no GPU: hidden by CUDA_VISIBLE_DEVICES, not given to the container, or none.",
        f"{_NONE_NEEDED}look at CUDA_VISIBLE_DEVICES and nvidia-smi -L; start a container with --gpus all",
        f"{_TENSORFLOW}62494",
    ),
    Message(
        "call to cuInit: CUDA_ERROR_UNKNOWN",
        "wrong",
        "The driver is there and cannot start, often because its device files are missing or closed to this user.",
        "run nvidia-modprobe -u -c=0 as root, or restart the machine; compare ls -l /dev/nvidia*",
        f"{_TENSORFLOW}32623",
    ),
    Message(
        "Could not load dynamic library 'libcusolver.so.11'",
        "wrong",
        "The package for TensorFlow 2.21.0 does not look where pip puts this library (2.20 did), so it uses no GPU.",
        "before Python starts, put nvidia/cusolver/lib of site-packages into LD_LIBRARY_PATH; or call "
        "labkit.devices.gpu.load_libraries() before TensorFlow is imported",
        "TensorFlow 2.21",
    ),
    Message(
        "Could not load dynamic library",
        "not here",
        "A CUDA library is not installed, or not where TensorFlow looks.",
        f"{_NONE_NEEDED}{_INSTALL}",
        f"{_TENSORFLOW}54416",
    ),
    Message(
        "Could not find cuda drivers on your machine",
        "not here",
        "In spite of its words: the CUDA runtime (libcudart) is not installed. The driver was not asked.",
        f"{_NONE_NEEDED}{_INSTALL}",
        "TensorFlow 2.21",
    ),
    Message(
        "Cannot dlopen some GPU libraries",
        "wrong",
        "Driver and GPU are there, but not every CUDA library, so TensorFlow uses no GPU. It does not say which.",
        f"start Python with TF_CPP_VMODULE=dso_loader=1, which names it; {_INSTALL}",
        f"{_TENSORFLOW}85689",
    ),
    Message(
        "The minimum required Cuda capability is",
        "wrong",
        "The GPU is older than this TensorFlow supports and is ignored.",
        "use an older TensorFlow, or the CPU",
        "TensorFlow 2.21",
    ),
    Message(
        "TensorFlow was not built with CUDA kernel binaries compatible with compute capability",
        "wrong",
        "The GPU is newer than this TensorFlow, which translates its kernels at first use: half an hour, or never.",
        f"on compute capability 10 or later (Blackwell) {NEWER_CARD}",
        f"{_TENSORFLOW}97387",
    ),
    Message(
        "CUDA_ERROR_INVALID_PTX",
        "wrong",
        "The driver cannot translate a kernel for this GPU: this TensorFlow does not support Blackwell (RTX 50).",
        NEWER_CARD,
        f"{_TENSORFLOW}101746",
    ),
    Message(
        "CUDA_ERROR_INVALID_HANDLE",
        "wrong",
        "A kernel that was not loaded was started; follows from CUDA_ERROR_INVALID_PTX.",
        NEWER_CARD,
        f"{_TENSORFLOW}99592",
    ),
    Message(
        "does not support target 'sm_",
        "wrong",
        "XLA's compiler does not know this GPU yet, and ends the process: Blackwell (RTX 50).",
        NEWER_CARD,
        f"{_TENSORFLOW}111958",
    ),
    Message(
        "libdevice not found at",
        "wrong",
        "XLA misses libdevice.10.bc, a part of CUDA's compiler. Works without jit_compile, and so looks sporadic.",
        "pip install nvidia-cuda-nvcc-cu12 (a part of tensorflow[and-cuda]), or set "
        "XLA_FLAGS=--xla_gpu_cuda_data_dir=FOLDER to the folder that holds nvvm/libdevice",
        "conda-forge/tensorflow-feedstock#420",
    ),
    Message(
        "No PTX compilation provider is available",
        "wrong",
        "XLA finds no ptxas, a part of CUDA's compiler.",
        "pip install nvidia-cuda-nvcc-cu12 (a part of tensorflow[and-cuda])",
        "TensorFlow 2.21",
    ),
    Message(
        "Loaded runtime CuDNN library",
        "wrong",
        "An older cuDNN than TensorFlow was built with is found first, often by LD_LIBRARY_PATH or brought by PyTorch.",
        "take the other cuDNN out of LD_LIBRARY_PATH; an environment of its own for TensorFlow",
        f"{_TENSORFLOW}60913",
    ),
    Message(
        "DNN library initialization failed",
        "wrong",
        "cuDNN cannot start: a wrong version (said above it), or no GPU memory is left for it.",
        "see the lines above it; then memory growth, and nvidia-smi for other processes on the GPU",
        f"{_TENSORFLOW}60913",
    ),
    Message(
        "OOM when allocating tensor",
        "wrong",
        "The GPU's memory is full; the shape in the message is the tensor that no longer fits.",
        "a smaller batch first; then end other processes (nvidia-smi), smaller or mixed-precision model",
        f"{_TENSORFLOW}47820",
    ),
    Message(
        "cannot be modified after being initialized",
        "wrong",
        "Memory growth, limits and visible devices can be set only before the first operation.",
        "set them right after importing TensorFlow; in a notebook restart the kernel first",
        "TensorFlow 2.21",
    ),
    Message(
        "The caller indicates that this is not a failure",
        "harmless",
        "An operation wanted more working memory for a faster way and took another way.",
        "",
        "TensorFlow 2.21",
    ),
    Message(
        "ptxas too old",
        "harmless",
        "The driver compiles instead of CUDA's compiler, which is slower.",
        "",
        "TensorFlow 2.21",
    ),
    Message(
        "when one has already been registered",
        "harmless",
        "Parts of TensorFlow register cuFFT, cuDNN or cuBLAS twice.",
        "",
        f"{_TENSORFLOW}63362",
    ),
    Message(
        "could not open file to read NUMA node",
        "harmless",
        "The kernel (that of WSL2, say) does not tell which processor is near the GPU. With one it does not matter.",
        "",
        "microsoft/WSL#10277",
    ),
    Message(
        "successful NUMA node read from SysFS had negative value",
        "harmless",
        "As above: the firmware does not tell.",
        "",
        f"{_TENSORFLOW}58428",
    ),
    Message(
        "TF-TRT Warning: Could not find TensorRT",
        "harmless",
        "TensorRT is not installed, and nothing but its own converter wants it. TensorFlow 2.21 is silent about it.",
        "",
        f"{_TENSORFLOW}64809",
    ),
    Message(
        "oneDNN custom operations are on",
        "harmless",
        "Sums on the CPU may be added in another order; differences are in the last digits.",
        "",
        "TensorFlow 2.21",
    ),
    Message(
        "This TensorFlow binary is optimized to use available CPU instructions",
        "harmless",
        "About the CPU: a TensorFlow built on this very machine might be somewhat faster.",
        "",
        "TensorFlow 2.21",
    ),
)
