"""Containers of which the time that their program takes to start does not count."""

import re

from labkit.cloud.local.containers import Containers
from labkit.waiting import wait_until


class PatientContainers(Containers):
    """What it starts has written something before its health timeout begins.

    Attributes:
        said: what it has written (a regular expression).
    """

    said = ""

    def start(self, container, cores):
        started = super().start(container, cores)
        wait_until(lambda: re.search(self.said, started.log()) or not started.running)
        return started
