"""Memory between requests is kept, memory of unloaded versions goes back to the system."""

import ctypes
import os
from collections.abc import Callable, MutableMapping
from functools import cache

# With oneDNN (TF_ENABLE_ONEDNN_OPTS=1) larger tensors come from an allocator that never gives anything back
# (MklCPUAllocator, a BFCAllocator): a server would stay for ever as large as it was at its peak.
_SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"
# mallopt's M_MMAP_THRESHOLD (32 MiB is the most it takes), M_TRIM_THRESHOLD and M_TOP_PAD, in bytes (malloc.h).
_KEEP = {-3: 32 << 20, -1: 256 << 20, -2: 16 << 20}


def use_the_systems(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let TensorFlow take memory from the system's allocator, also with oneDNN, unless `environment` says otherwise.

    To be called before TensorFlow's library is opened. Price: a run with tensors of more than 32 MB takes longer, since
    the system clears these pages each time (docs/design.md has figures).
    """
    environment.setdefault(_SYSTEM_ALLOCATOR, "1")


def keep_between_requests() -> None:
    """Let the C library's heaps keep what a request frees for the next one, where the library can be told (glibc).

    By itself it takes large pieces from the system for each request and gives them back after it. The system clears
    their pages each time, which took a third of the time of a request of 8 MB. Pieces over 32 MiB still go back.
    """
    if tell := _of_glibc("mallopt"):
        for option, value in _KEEP.items():
            tell(option, value)


def give_back() -> None:
    """Hand what is free in the C library's heaps back to the system, where the library can do that (glibc).

    It does so by itself only at the end of a heap; what is still used there keeps all that was freed before it. After
    five swaps of 200 MB under load that was 300 MB.
    """
    if trim := _of_glibc("malloc_trim"):
        trim(0)


@cache
def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None
