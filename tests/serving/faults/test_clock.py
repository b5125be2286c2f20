"""The clock on the wall jumps: back and forth by years. Nothing that waits may look at it."""

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from soak.models import Numbered
from soak.traffic import Traffic, both_protocols

from .. import served
from ..served import until
from .target import target

# A program of Python's can only be shown another time in its own process: every question to the clock is answered years
# before or after the one before. C++ code is not reached by this; TensorFlow's and gRPC's waits are theirs. Calls here
# have no deadlines, which gRPC's Python side gets from C++ and compares with the clock.
JUMPING = """
import itertools, runpy, sys, time
_years, _time, _time_ns = itertools.cycle((0, 20, -20, 5, -30)), time.time, time.time_ns
time.time = lambda: _time() + next(_years) * 31_536_000
time.time_ns = lambda: _time_ns() + next(_years) * 31_536_000 * 10**9
assert abs(time.time() - time.time()) > 1e6
sys.argv = ["labkit", *sys.argv[1:]]
runpy.run_module("labkit", run_name="__main__")
"""


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that are started now have a clock that jumps."""
    start = served.subprocess.Popen

    def with_it(command: list[str], **rest: object) -> subprocess.Popen:
        assert command[:3] == [sys.executable, "-m", "labkit"]
        return start([sys.executable, "-c", JUMPING, *command[3:]], **rest)

    monkeypatch.setattr(served.subprocess, "Popen", with_it)


def wait(seconds: float) -> dict:
    """A request that is worked on for so long."""
    return {"signature_name": "wait", "inputs": {"seconds": [seconds], "x": [7.0]}}


def test_deadlines_hold(serve, jumping: None, saved_models) -> None:
    """§2.8: neither at once nor never."""
    server = serve("slow", saved_models.slow, "--rest_api_timeout_in_ms=1000")
    answer = server.predict(wait(600.0))
    assert (answer.status, answer.json["error"]) == (504, "Timed out waiting for notification")
    assert server.predict(wait(0.3)).json == {"outputs": [7.0]}


def test_versions_are_polled_swapped_and_reloaded(serve, jumping: None, base: Path, numbered: Numbered) -> None:
    """§6.4: polls go on, nothing fails meanwhile, and log lines and Date headers still have a form."""
    numbered.add(base, 1)
    server = serve("model", base)
    clients = both_protocols(target(server))
    for client in clients:
        client.deadline = None
    with Traffic(clients) as traffic:
        for new in (2, 3):
            numbered.add(base, new)
            until(lambda: server.states().get(new) == "AVAILABLE", f"a poll has found version {new}")  # noqa: B023
        traffic.wait_for(5)
    assert not traffic.failures
    assert server.ask("GET", "/v1/models/model").headers["Date"].endswith(" GMT")
    assert "Traceback" not in server.stderr


def test_it_drains(serve, jumping: None, saved_models) -> None:
    """§1.11 [deviation §13]: the request in flight is answered, then it ends."""
    server = serve("slow", saved_models.slow, "--drain_seconds=60")
    answers: list = []
    asking = threading.Thread(target=lambda: answers.append(server.predict(wait(3.0))))
    busy = psutil.Process(server.process.pid)
    before = sum(busy.cpu_times()[:2])
    asking.start()
    until(lambda: sum(busy.cpu_times()[:2]) - before > 0.3, "the request is running")
    server.terminate()
    asking.join()
    assert answers[0].json == {"outputs": [7.0]}
    assert server.exit_status(30) == 0
