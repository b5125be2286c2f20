"""Memory goes back to the system when a version is unloaded, not only to allocators that keep it for the next one."""

import ctypes
import os
from collections.abc import Callable, MutableMapping
from functools import cache

# With oneDNN (TF_ENABLE_ONEDNN_OPTS=1) larger tensors come from an allocator that never gives anything back
# (MklCPUAllocator, a BFCAllocator): a server would stay for ever as large as it was at its peak.
_SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"


def use_the_systems(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let TensorFlow take memory from the system's allocator, also with oneDNN, unless `environment` says otherwise.

    To be called before TensorFlow's library is opened. Price: a run with tensors of more than 32 MB takes longer, since
    the system clears these pages each time (docs/design.md has figures).
    """
    environment.setdefault(_SYSTEM_ALLOCATOR, "1")


def give_back() -> None:
    """Hand what is free in the C library's heaps back to the system, where the library can do that (glibc).

    It does so by itself only at the end of a heap; what is still used there keeps all that was freed before it. After
    five swaps of 200 MB under load that was 300 MB.
    """
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
