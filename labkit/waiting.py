"""Waiting for something that another process does in its own time."""

import subprocess
import time
from collections.abc import Callable

from labkit.errors import WaitTimeout

_LOOK_SECONDS = 0.05


def wait_until(condition: Callable[[], object], *, timeout: float = 30.0) -> None:
    """Return once `condition()` is true.

    Args:
        condition: asked again and again, twenty times a second at most.
        timeout: seconds to wait.

    Raises:
        WaitTimeout: it was still false then; what `condition` itself raises is passed on.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise WaitTimeout(
                f"What was waited for did not happen within {timeout:g} s. Look at the log of what was to do it "
                "(server.log(), cluster.log(...)), or give a larger timeout."
            )
        time.sleep(_LOOK_SECONDS)


def wait_through_ctrl_c(child: subprocess.Popen[bytes]) -> int:
    """The status of `child`, whatever Ctrl-C does here: the terminal gives it to both, and how `child` ends is its own.

    Args:
        child: a program that shares this one's terminal.

    Returns:
        Its exit status; negative is the signal that ended it.
    """
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            pass
