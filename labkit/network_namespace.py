"""A process moves into a network of its own. Linux only; `labkit.cluster.namespaces` makes these networks.

It stands apart from them because the forked child of `labkit.preloaded_host` calls it, which knows no clusters.
"""

import ctypes
import os
from collections.abc import Sequence

from labkit.errors import EnvironmentProblem

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # sched.h


def enter(entrance: Sequence[str]) -> None:
    """Move this process into a task's network; to be called before it makes a thread, as in a child just forked.

    Args:
        entrance: the files that stand for its user namespace and its network namespace, as `Namespaces.entrance` says.

    Raises:
        EnvironmentProblem: it cannot, as when this process has threads.
    """
    user, network = (os.open(path, os.O_RDONLY) for path in entrance)
    library = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
    try:
        for file, kind in ((user, _CLONE_NEWUSER), (network, _CLONE_NEWNET)):
            if library.setns(file, kind):
                reason = os.strerror(ctypes.get_errno())
                raise EnvironmentProblem(
                    f"process {os.getpid()} cannot move to the network of {' and '.join(entrance)}: {reason}. Do it "
                    "before the process has a second thread"
                )
    finally:
        os.close(user)
        os.close(network)
