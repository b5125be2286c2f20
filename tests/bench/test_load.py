"""Load: what is counted, from when, by how many clients; against small HTTP servers that do as they are told."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from labkit.bench import load, payload
from labkit.bench.targets import RestTarget
from labkit.errors import MeasurementFailed

from .answering import ANSWER, Server, answering_with

BODY = b'{"instances": [1.0]}'


@pytest.fixture
def server() -> Iterator[Server]:
    with answering_with(lambda _: 200) as server:
        yield server


def test_every_answered_request_counts_and_no_warm_up(server: Server) -> None:
    result = load.closed_loop(RestTarget(server.url), BODY, clients=2, seconds=0.05, rounds=3, warm_up=4)
    assert (result.target, result.loop, result.clients, result.rate) == ("REST", "closed", 2, None)
    assert len(result.rounds) == 3 and result.errors == {}
    assert server.asked == result.requests + 3 * 2 * 4
    assert (result.request_bytes, result.answer_bytes) == (len(BODY), len(ANSWER))
    for each in result.rounds:
        assert 0 < min(each.latencies) <= max(each.latencies) <= each.seconds
        assert each.client_seconds > 0


def test_so_many_clients_ask_at_a_time() -> None:
    five = threading.Barrier(5)

    def answer(number: int) -> int:
        if number <= 5:
            five.wait(timeout=20)  # breaks, and fails the request, if they come one after the other
        return 200

    with answering_with(answer) as server:
        result = load.closed_loop(RestTarget(server.url), BODY, clients=5, seconds=0.05, rounds=1, warm_up=1)
    assert not five.broken and result.requests >= 5


def test_a_kept_connection_is_one_for_each_client_and_round(server: Server) -> None:
    load.closed_loop(RestTarget(server.url), BODY, clients=3, seconds=0.02, rounds=2)
    assert server.connections == 3 * 2


@pytest.mark.parametrize("library", ["requests", "urllib3", "httpx", "http.client"])
def test_without_keeping_each_request_has_its_own_connection(server: Server, library: str) -> None:
    target = RestTarget(server.url, library=library)
    result = load.closed_loop(target, BODY, seconds=0.02, rounds=1, warm_up=2, keep_connection=False)
    assert not result.keep_connection
    assert server.connections == server.asked == result.requests + 2


def test_an_open_loop_sends_what_is_due_and_no_more(server: Server) -> None:
    result = load.open_loop(RestTarget(server.url), BODY, rate=400, clients=4, seconds=0.1, rounds=2, warm_up=0)
    assert (result.loop, result.rate) == ("open", 400)
    assert [len(each.latencies) for each in result.rounds] == [40, 40]
    assert [len(each.service_times) for each in result.rounds] == [40, 40]
    assert server.asked == 80


def test_a_request_is_due_within_the_round_however_rare_it_is(server: Server) -> None:
    result = load.open_loop(RestTarget(server.url), BODY, rate=1e-6, clients=1, seconds=0.05, rounds=2, warm_up=0)
    assert [len(each.latencies) for each in result.rounds] == [1, 1]


def test_who_came_while_the_server_stood_still_is_counted() -> None:
    """200 a second, and the tenth request takes 0.4 s: some eighty are due meanwhile."""

    def answer(number: int) -> int:
        if number == 10:
            time.sleep(0.4)
        return 200

    with answering_with(answer) as server:
        result = load.open_loop(
            RestTarget(server.url), BODY, rate=200, clients=1, seconds=0.5, rounds=1, warm_up=0, seed=1
        )
    waited, sent = result.rounds[0].latencies, result.rounds[0].service_times
    late, slow = (sum(seconds > 0.2 for seconds in times) for times in (waited, sent))
    assert late > 20 > 5 > slow >= 1


def test_failures_are_counted_by_code_and_have_no_latency() -> None:
    with answering_with(lambda number: 503 if number % 2 else 200) as server:
        result = load.closed_loop(RestTarget(server.url), BODY, seconds=0.05, rounds=1, warm_up=1)
        assert result.errors.keys() == {"UNAVAILABLE"}
        assert result.requests + result.errors["UNAVAILABLE"] + 1 == server.asked
        assert abs(result.errors["UNAVAILABLE"] - result.requests) <= 1


@pytest.mark.parametrize("clients", [1, 3])
def test_no_answer_at_all_is_no_measurement(clients: int) -> None:
    with (
        answering_with(lambda _: 404) as server,
        pytest.raises(MeasurementFailed, match=r"answered none .* number \d+"),
    ):
        load.closed_loop(RestTarget(server.url), BODY, clients=clients, seconds=0.02)


def test_a_server_that_is_not_there() -> None:
    with answering_with(lambda _: 200) as server:
        target = RestTarget(server.url)
    server.server_close()
    with pytest.raises(MeasurementFailed, match="UNAVAILABLE"):
        load.closed_loop(target, BODY, seconds=0.02)


class Own:
    """A target in this process: its clients do what `send` and `close` do."""

    name, form = "own", payload.json_rows()

    def __init__(self, send: Callable[[], None] = lambda: None, close: Callable[[], None] = lambda: None) -> None:
        self._send, self.close = send, close

    def connect(self) -> "Own":
        return self

    def send(self, request: bytes) -> bytes:
        self._send()
        return b"answer"


def clients_left() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("client ")]


@pytest.mark.parametrize("error", [KeyError("predictions"), SystemExit("enough")])
@pytest.mark.parametrize("warm_up", [0, 1])
def test_an_error_of_the_clients_own_is_raised_where_the_load_was_asked_for(error: BaseException, warm_up: int) -> None:
    def fails() -> None:
        raise error

    with pytest.raises(type(error), match=error.args[0]):
        load.closed_loop(Own(fails), BODY, clients=4, seconds=0.02, warm_up=warm_up)
    assert not clients_left()


def test_an_error_is_not_held_up_by_clients_who_wait_for_their_next_request() -> None:
    sent: list[None] = []

    def fails() -> None:
        sent.append(None)
        raise KeyError("predictions")

    with pytest.raises(KeyError, match="predictions"):  # one request is due at once, three after 57, 78 and 92 s
        load.open_loop(Own(fails), BODY, rate=0.04, clients=4, seconds=100, rounds=1, warm_up=0, seed=498)
    assert len(sent) == 1 and not clients_left()


def test_clients_that_cannot_all_be_started_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def up_to_three(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", up_to_three)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        load.closed_loop(Own(), BODY, clients=8)
    for thread in started:
        thread.join()


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Interrupts the test, once; it may be called often, for Python can miss a signal just before it waits."""
    heard = itertools.count()

    def hear(*_: object) -> None:
        if next(heard) == 0:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    yield lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot interrupt one thread")
@pytest.mark.parametrize("warm_up", [0, 1000])
def test_an_interrupted_load_leaves_no_clients_behind(interrupt: Callable[[], None], warm_up: int) -> None:
    clients: set[int] = set()
    closed = threading.Semaphore(0)

    def send() -> None:
        clients.add(threading.get_ident())
        if len(clients) == 4:  # so no client is just being started
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        load.closed_loop(Own(send, closed.release), BODY, clients=4, seconds=1e6, rounds=1, warm_up=warm_up)
    for _ in range(4):  # not `join`: who was joined when the interrupt came counts as ended already (bpo-45274)
        closed.acquire()


def test_closing_a_connection_is_not_in_a_rounds_time() -> None:
    moments: list[float] = []

    def close() -> None:
        moments.append(time.perf_counter())
        time.sleep(0.05)

    moments.append(time.perf_counter())
    result = load.closed_loop(Own(close=close), BODY, seconds=0.01, rounds=1)
    assert result.rounds[0].seconds < moments[1] - moments[0]


def test_progress_is_told_after_each_round(server: Server) -> None:
    told: list[float] = []
    load.closed_loop(RestTarget(server.url), BODY, seconds=0.01, rounds=4, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    "wrong", [{"clients": 0}, {"seconds": 0}, {"rounds": 0}, {"seconds": -1}, {"seconds": float("nan")}]
)
def test_arguments_out_of_range(server: Server, wrong: dict[str, float]) -> None:
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"{name} is .*more than 0"):
        load.closed_loop(RestTarget(server.url), BODY, **wrong)
    with pytest.raises(ValueError, match="rate is 0"):
        load.open_loop(RestTarget(server.url), BODY, rate=0)
    assert server.asked == 0
