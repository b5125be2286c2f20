"""Locked doors that also root finds locked."""

import os
import shutil
import subprocess
from collections.abc import Sequence

# Root without these two capabilities is an owner like any other.
_WITHOUT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def bound_by_permissions(command: Sequence[str]) -> list[str]:
    """`command` for a process that permission bits bind, whoever runs the tests."""
    return [*command] if os.geteuid() else [*_WITHOUT, *command]


def reason_against() -> str:
    """Why no process can be bound here: the empty string if one can."""
    if os.geteuid() == 0 and not shutil.which(_WITHOUT[0]):
        return "root is bound by no permissions, and setpriv (util-linux), which would change that, is not here"
    tried = subprocess.run(bound_by_permissions(["true"]), capture_output=True, text=True)
    return tried.stderr.strip()
