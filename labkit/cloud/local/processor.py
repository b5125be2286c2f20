"""Processor time of a container's processes, and the cores that they may use."""

import contextlib
import os
from collections.abc import Collection, Iterator

import psutil

_LOOKS_BETWEEN_SEARCHES = 10  # for new children: finding them means reading about every process of the machine


class ProcessorTime:
    """The processor time of a process and its children."""

    def __init__(self, pid: int | None) -> None:
        """Of the tree below `pid`; with None it stays 0."""
        self._pid = pid
        self._members: dict[int, psutil.Process] = {}
        self._seconds: dict[int, float] = {}
        self._looks = 0

    def seconds(self) -> float:
        """All of it so far, of members that have ended, too. Children count from when they are first seen."""
        if self._looks % _LOOKS_BETWEEN_SEARCHES == 0:
            self._search()
        self._looks += 1
        for pid, member in list(self._members.items()):
            try:
                times = member.cpu_times()
                self._seconds[pid] = times.user + times.system
            except psutil.Error:
                del self._members[pid]
        return sum(self._seconds.values())

    def _search(self) -> None:
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(self._pid) if self._pid else None
            for member in [leader, *leader.children(recursive=True)] if leader else []:
                self._members.setdefault(member.pid, member)


@contextlib.contextmanager
def started_on(cores: Collection[int]) -> Iterator[None]:
    """What this thread starts in the block keeps to `cores`, where the system has such a thing (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)  # of this thread, in spite of the name
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
