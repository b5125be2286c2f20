"""Memory: what a swap takes and gives back, what large requests take. Processes' resident memory, measured."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from soak import large
from soak.models import Numbered
from soak.resources import MIB, Watch
from soak.swaps import Operator, swap_all
from soak.traffic import Traffic, both_protocols

from ..served import Served, until
from .target import target

MEGABYTES = 200
CLIENTS, REQUEST_MEGABYTES = 24, 50
LARGEST_MULTIPLE = 5  # gRPC's buffers, the message, its parsed form and the tensor, and what they leave to be freed


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Numbered:
    return Numbered(tmp_path_factory.mktemp("heavy") / "model", MEGABYTES)


def _resident(server: Served) -> float:
    """Megabytes."""
    return psutil.Process(server.process.pid).memory_info().rss / MIB


@pytest.fixture
def swapped(
    serve: Callable[..., Served], base: Path, heavy: Numbered
) -> Iterator[Callable[..., tuple[float, float, float]]]:
    """`swapped(*flags)`: megabytes with version 1, at the peak of the swap to version 2, and after it."""

    def measured(*flags: str) -> tuple[float, float, float]:
        heavy.add(base, 1)
        server = serve("model", base, *flags)
        before = _resident(server)
        with closing(Operator(target(server), base, heavy)) as operator, Watch(server.process.pid, 0.005) as watch:
            operator.swap(1, 2)
        return before, watch.peak / MIB, _resident(server)

    return measured


def test_a_swap_takes_both_versions_memory_and_gives_the_old_ones_back(swapped) -> None:
    """§6.5: at the peak both are there; afterwards one is."""
    before, peak, after = swapped()
    assert peak - before > 0.8 * MEGABYTES
    assert after - before < 0.2 * MEGABYTES


def test_freeing_the_old_version_first_never_takes_both_versions_memory(swapped) -> None:
    """--aspired_version_policy=resource_preserving is for this."""
    before, peak, after = swapped("--aspired_version_policy=resource_preserving")
    assert peak - before < 0.2 * MEGABYTES
    assert after - before < 0.2 * MEGABYTES


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_swaps_under_load_take_no_more_and_more(serve, base: Path, heavy: Numbered, monkeypatch, onednn: str) -> None:
    """Requests' memory lies between that of versions, which must not keep it; and oneDNN's own allocator keeps all.

    After one swap up to 127 MB were seen to stay until the next, so the least of the last three counts.
    """
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    heavy.add(base, 1)
    server = serve("model", base)
    before = _resident(server)
    with (
        closing(Operator(target(server), base, heavy)) as operator,
        Traffic(both_protocols(target(server))) as traffic,
    ):
        traffic.wait_for(5)
        after: list[float] = []
        swap_all(operator, range(1, 7), lambda _: after.append(_resident(server)))
    assert not traffic.failures
    assert min(after[-3:]) - before < 0.8 * MEGABYTES


def test_an_emptied_model_gives_its_memory_back(serve, base: Path, heavy: Numbered) -> None:
    """§6.7: 3 versions of 200 MB each, of which the server keeps little."""
    for version in (1, 2, 3):
        heavy.add(base, version)
    config = base.parent / "models.config"
    policy = "model_version_policy { all {} }"
    config.write_text(
        f'model_config_list {{ config {{ name: "model" base_path: "{base}" model_platform: "tensorflow" {policy} }} }}'
    )
    server = serve("model", "", f"--model_config_file={config}")
    until(lambda: list(server.states().values()) == ["AVAILABLE"] * 3, "all three are loaded", 60)
    full = _resident(server)
    for version in (1, 2, 3):
        shutil.rmtree(base / str(version))
    until(lambda: set(server.states().values()) == {"END"}, "all three are gone")
    assert full - _resident(server) > 0.8 * 3 * MEGABYTES


@pytest.mark.timeout(300)
def test_large_requests_at_once(serve, base: Path, numbered: Numbered) -> None:
    """24 clients send 50 MB each at the same moment: all are answered rightly, within a few times what is in flight."""
    numbered.add(base, 1)
    server = serve("model", base)
    load = large.ask(target(server), CLIENTS, REQUEST_MEGABYTES)
    print(f"{load.multiple:.1f} times the {load.sent / MIB:.0f} MiB in flight")
    assert not load.wrong
    assert load.multiple < LARGEST_MULTIPLE
    assert server.predict({"instances": [[1.0]]}).status == 200
