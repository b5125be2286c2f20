"""Clients that leave in the middle: nothing is kept for them, and no version is held by them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from soak.models import Numbered
from soak.resources import MIB
from soak.swaps import Operator
from soak.vanishing import VANISHING

from ..served import Served, until
from .target import target

TIMES = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, numbered: Numbered) -> Iterator[Served]:
    base = tmp_path_factory.mktemp("vanishing") / "model"
    numbered.add(base, 1)
    with Served(tmp_path_factory.mktemp("server"), "model", base) as server:
        yield server


@pytest.mark.parametrize("how", VANISHING)
def test_nothing_is_kept(server: Served, how: str) -> None:
    """Sixty of them: connections and what came of their messages are let go."""
    process = psutil.Process(server.process.pid)
    vanish = VANISHING[how]
    vanish(target(server))  # the first makes what is made once: threads, buffers
    files, resident = process.num_fds(), process.memory_info().rss
    for _ in range(TIMES):
        vanish(target(server))
    until(lambda: process.num_fds() <= files + 2, "their connections are closed")
    assert server.predict({"instances": [[1.0]]}).json["predictions"][0]["v"] == [1.0]
    grown = (process.memory_info().rss - resident) / MIB
    assert grown < 200, f"{grown:.0f} MiB more, after {TIMES} clients that left 5 MB and more each"
    assert "Traceback" not in server.stderr


def test_versions_are_not_held(serve, saved_models, base: Path, numbered: Numbered) -> None:
    """Whoever asked and left does not keep a version from being unloaded."""
    numbered.add(base, 1)
    server = serve("model", base)
    for vanish in VANISHING.values():
        vanish(target(server))
    with closing(Operator(target(server), base, numbered)) as operator:
        operator.swap(1, 2)
