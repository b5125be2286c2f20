"""Memory curves: what was measured, when, and no more after the stop."""

import itertools
import threading
import time

import labkit
from labkit.serving.memory_curve import MemoryCurve
from labkit.waiting import wait_until


def test_each_look_is_a_point() -> None:
    sizes = itertools.count(100)
    began = time.monotonic()
    with MemoryCurve(lambda: next(sizes), every=0) as curve:
        wait_until(lambda: len(curve.points) >= 5)
    ended = time.monotonic()
    times = [at for at, _ in curve.points]
    assert [size for _, size in curve.points] == list(range(100, 100 + len(times)))
    assert times == sorted(times)
    assert began <= times[0] and times[-1] <= ended


def test_nothing_is_measured_after_the_stop() -> None:
    looks = []
    curve = MemoryCurve(lambda: looks.append(1) or 1, every=0)
    curve.stop()  # never started
    with MemoryCurve(lambda: looks.append(1) or 1, every=0) as curve:
        wait_until(lambda: looks)
    count = len(looks)
    curve.stop()
    assert len(looks) == count == len(curve.points)
    assert "memory curve" not in {thread.name for thread in threading.enumerate()}


def test_the_memory_of_a_server(saved_models) -> None:
    with labkit.serve(saved_models.half_plus[2]) as server, MemoryCurve(server.memory) as curve:
        wait_until(lambda: len(curve.points) >= 2)
    assert all(10 * 2**20 < size < 10 * 2**30 for _, size in curve.points)
