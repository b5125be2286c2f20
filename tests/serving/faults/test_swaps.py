"""Versions come and go under load: §6.5, §6.6, §6.7, §6.11, §6.12. `make soak` plays the same a thousand times."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from soak.models import Numbered
from soak.questions import ANSWERED
from soak.swaps import AVAILABLE, END, Operator, swap_all
from soak.traffic import Traffic, both_protocols

from ..served import Served, until
from .target import target

SWAPS = 20


@contextmanager
def under_load(server: Served, base: Path, numbered: Numbered) -> Iterator[tuple[Operator, Traffic]]:
    """Two clients over REST and two over gRPC that ask without pause, each at work before the block begins."""
    with (
        closing(Operator(target(server), base, numbered)) as operator,
        Traffic(both_protocols(target(server))) as traffic,
    ):
        traffic.wait_for(5)
        yield operator, traffic
        traffic.wait_for(5)


@pytest.fixture
def serve_model(serve: Callable[..., Served], base: Path, numbered: Numbered) -> Callable[..., Served]:
    """`serve_model(*flags)`: a server with version 1."""

    def started(*flags: str) -> Served:
        numbered.add(base, 1)
        return serve("model", base, *flags)

    return started


def test_swaps_under_load(serve_model, base: Path, numbered: Numbered) -> None:
    """§6.5, §6.10: not one request fails or is answered by another version than it says; versions only go up."""
    with under_load(serve_model(), base, numbered) as (operator, traffic):
        swap_all(operator, range(1, SWAPS + 2))
    assert not traffic.failures
    for client in traffic.clients:
        assert client.versions == sorted(client.versions)
        assert (client.versions[0], client.versions[-1]) == (1, SWAPS + 1)


def test_swaps_that_free_the_old_version_first(serve_model, base: Path, numbered: Numbered) -> None:
    """resource_preserving: in between requests are told that, and to ask again; nothing else goes wrong."""
    server = serve_model("--aspired_version_policy=resource_preserving")
    with under_load(server, base, numbered) as (operator, traffic):
        swap_all(operator, range(1, SWAPS + 2))
    told = [outcome for outcome in traffic.outcomes if outcome != ANSWERED]
    assert told, "with the old version gone and the new one not there yet, somebody asked"
    for outcome in told:
        code, _, message = outcome.partition(": ")
        assert code in ("503", "UNAVAILABLE")
        assert message.startswith("Model model is between versions: version ")
        assert message.endswith("Ask again in a moment.")
    for client in traffic.clients:
        assert client.versions == sorted(client.versions)


def test_rolling_back_under_load(serve_model, base: Path, numbered: Numbered) -> None:
    """§6.6: the folder of the newest version is removed, again and again: the one before answers, without a gap."""
    server = serve_model()
    with under_load(server, base, numbered) as (operator, traffic):
        for bad in (2, 3, 4):
            numbered.add(base, bad)
            operator.look_now()
            operator.settled(up=bad, gone=1)
            traffic.wait_for(2)
            operator.roll_back(bad, 1)
            traffic.wait_for(2)
    assert not traffic.failures
    for client in traffic.clients:
        assert client.versions == [1, 2, 1, 3, 1, 4, 1]


def test_emptying_under_load(serve_model, base: Path, numbered: Numbered) -> None:
    """§6.7: from an answer straight to NOT_FOUND, and back to an answer with the next version."""
    server = serve_model()
    with under_load(server, base, numbered) as (operator, traffic):
        shutil.rmtree(base / "1")
        operator.look_now()
        until(lambda: operator.state(1) == END, "unloaded")
        traffic.wait_for(2)
        numbered.add(base, 2)
        operator.look_now()
        until(lambda: operator.state(2) == AVAILABLE, "version 2 answers")
    message = "Servable not found for request: Latest(model)"
    assert set(traffic.outcomes) == {ANSWERED, f"404: {message}", f"NOT_FOUND: {message}"}
    for client in traffic.clients:
        assert client.versions == [1, 2]


def test_versions_that_fail_to_load_under_load(serve_model, base: Path, numbered: Numbered) -> None:
    """§6.11, §6.12: three broken versions arrive and nothing happens to users; a good one then takes over."""
    server = serve_model("--max_num_load_retries=0")
    with under_load(server, base, numbered) as (operator, traffic):
        for broken in (2, 3, 4):
            aside = numbered.aside(base, broken)
            (aside / "saved_model.pb").unlink()
            (aside / "saved_model.pb").write_bytes(b"this is no SavedModel")
            aside.rename(base / str(broken))
            operator.look_now()
        until(lambda: [operator.state(broken) for broken in (2, 3, 4)][-1] == END, "the broken one was given up")
        assert operator.state(1) == AVAILABLE
        traffic.wait_for(5)
        numbered.add(base, 5)
        operator.look_now()
        operator.settled(up=5, gone=1)
    assert not traffic.failures
    for client in traffic.clients:
        assert client.versions == [1, 5]
