"""Where requests are answered: on the event loop's thread or in another, by a clock that only the model's runs move."""

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.serving.embedded import dispatch
from labkit.serving.embedded.dispatch import Dispatcher

SMALL, LARGE = 100, 100_000  # bytes
QUICK, SLOW = 0.0005, 0.05  # seconds


class Model:
    """A servable whose runs take `seconds`, and that notes where each took place.

    Attributes:
        places: ``loop`` or ``thread``, one for each run.
        meanwhile: called in each run, in its thread.
        now: what the clock says.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, steady: bool = True) -> None:
        self.session, self.steady, self.seconds = self, steady, QUICK
        self.meanwhile: Callable[[], object] = lambda: None
        self.places: list[str] = []
        self.now = 0.0
        self._loops_thread = threading.current_thread()
        clock = SimpleNamespace(perf_counter=lambda: self.now, thread_time=lambda: self.now)
        monkeypatch.setattr(dispatch, "time", clock)

    def run(self, *_: object) -> str:
        self.places.append("loop" if threading.current_thread() is self._loops_thread else "thread")
        self.now += self.seconds
        self.meanwhile()
        return "results"

    def hold(self) -> None:
        """It cannot be unloaded."""

    def release(self) -> None:
        """See `hold`."""


def steps() -> Any:
    return (yield "feeds", "fetches")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    return Model(monkeypatch)


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher(8)


def places(dispatcher: Dispatcher, model: Model, count: int, size: int = SMALL) -> list[str]:
    """Where each of `count` requests, one after the other, was answered."""
    model.places.clear()

    async def ask() -> None:
        for _ in range(count):
            assert await dispatcher.run(model, size, 0, steps()) == "results"

    asyncio.run(ask())
    return list(model.places)


def test_small_requests_are_answered_on_the_spot_once_three_were_quick(dispatcher, model):
    assert places(dispatcher, model, 10) == ["thread"] * 3 + ["loop"] * 7


def test_large_requests_are_never_answered_on_the_spot(dispatcher, model):
    assert places(dispatcher, model, 10, LARGE) == ["thread"] * 10


def test_models_whose_work_depends_on_values_are_never_answered_on_the_spot(dispatcher, monkeypatch):
    assert places(dispatcher, Model(monkeypatch, steady=False), 10) == ["thread"] * 10


def test_after_a_slow_one_on_the_spot_four_times_the_proof_is_wanted(dispatcher, model):
    places(dispatcher, model, 10)
    model.seconds = SLOW
    assert places(dispatcher, model, 5) == ["loop"] + ["thread"] * 4
    model.seconds = QUICK
    assert places(dispatcher, model, 20) == ["thread"] * 12 + ["loop"] * 8


def test_threads_that_wait_for_each_other_do_not_make_a_model_slow(dispatcher, model):
    """Eight at a time take 6 ms each: too long for one alone."""
    all_run, clock_has_moved = threading.Barrier(8), threading.Barrier(8)

    def run_together() -> None:
        if not all_run.wait(60):
            model.now += 0.006
        clock_has_moved.wait(60)

    async def together() -> None:
        await asyncio.gather(*(dispatcher.run(model, SMALL, 0, steps()) for _ in range(8)))

    model.seconds, model.meanwhile = 0.0, run_together
    asyncio.run(together())
    model.meanwhile = lambda: None
    assert places(dispatcher, model, 1) == ["loop"]


def test_small_requests_are_answered_on_the_spot_while_a_large_one_is_in_a_thread(dispatcher, model):
    places(dispatcher, model, 10)
    model.places.clear()

    async def together() -> None:
        waiting = threading.Event()
        model.meanwhile = lambda: waiting.wait(60) if len(model.places) == 1 else None
        held = asyncio.ensure_future(dispatcher.run(model, LARGE, 0, steps()))
        while not model.places:
            await asyncio.sleep(0.001)
        for _ in range(5):
            await dispatcher.run(model, SMALL, 0, steps())
        waiting.set()
        await held

    asyncio.run(together())
    assert model.places == ["thread"] + ["loop"] * 5
