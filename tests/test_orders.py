"""labkit.orders: every order gets its own answer, also after Ctrl-C, and a child that is gone is noticed."""

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO

import pytest

from labkit.orders import Orders


@pytest.fixture
def orders() -> Iterator[Orders]:
    orders = Orders(timeout=10.0)
    yield orders
    orders.close()
    orders.theirs.close()


def answer(lines: TextIO, order: str) -> None:
    number, do = (json.loads(order)[name] for name in ("number", "do"))
    lines.write(json.dumps({"number": number, "said": do}) + "\n")
    lines.flush()


def test_the_answer_to_an_interrupted_order_is_not_taken_for_the_next_one_s(orders: Orders) -> None:
    def child() -> None:
        with orders.theirs.makefile("rw") as lines:
            first = lines.readline()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            for order in (first, lines.readline()):
                answer(lines, order)

    threading.Thread(target=child, daemon=True).start()
    dropped: list[dict] = []
    with pytest.raises(KeyboardInterrupt):
        orders.ask(do="first")
    assert orders.ask(do="second", dropped=dropped.append)["said"] == "second"
    assert [each["said"] for each in dropped] == ["first"]


def test_threads_get_their_own_answers(orders: Orders) -> None:
    def child() -> None:
        with orders.theirs.makefile("rw") as lines:
            for order in lines:
                answer(lines, order)

    threading.Thread(target=child, daemon=True).start()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: orders.ask(do=n)["said"], range(200))) == list(range(200))


def test_a_child_that_is_gone_is_noticed(orders: Orders) -> None:
    orders.theirs.close()
    with pytest.raises(ConnectionError, match="no answer"):
        orders.ask(do="anything")


def test_a_child_that_is_silent_is_noticed() -> None:
    orders = Orders(timeout=0.05)
    with orders.theirs, pytest.raises(ConnectionError, match="no answer: timed out"):
        orders.ask(do="anything")
    orders.close()
    with pytest.raises(ConnectionError):
        orders.ask(do="anything")
