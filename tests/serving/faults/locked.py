"""Locked doors that also root finds locked."""

import os
from collections.abc import Sequence


def bound_by_permissions(command: Sequence[str]) -> list[str]:
    """`command` for a process that permission bits bind, whoever runs the tests.

    Root without two of its capabilities is an owner like any other; `setpriv` (util-linux) takes them away.
    """
    if os.geteuid() != 0:
        return [*command]
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
