"""Replicas, with a model's container that is a small Python program."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from labkit.cloud.local.containers import ServingContainer
from labkit.cloud.local.replicas import LARGEST_BODY, Replicas
from labkit.cloud.local.status import ApiError
from labkit.waiting import wait_until

from ..children import command_line
from .patient_containers import PatientContainers

PROGRAM = Path(__file__).with_name("serving_program.py")


@pytest.fixture
def replicas(tmp_path):
    """`replicas(*words, minimum=1, ...)`: of a container whose program gets these words; not started."""
    made = []
    containers = PatientContainers(tmp_path, {}, images={"mine": ["python", str(PROGRAM)]})

    def make(*words, minimum=1, maximum=None, health_timeout=30.0, said="", **options):
        containers.said = said
        container = ServingContainer(
            "42", "mine", "/ask", "/healthy", args=(*words, str(tmp_path)), health_timeout=health_timeout
        )
        made.append(Replicas(containers, container, minimum=minimum, maximum=maximum or minimum, **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()
    assert not [process for process in psutil.process_iter() if str(tmp_path) in command_line(process)]


def ask(replicas, **asked):
    answer = replicas.predict(json.dumps(asked).encode(), timeout=30)
    assert answer.status == 200
    return json.loads(answer.body)


def pids(replicas, requests=8):
    return {ask(replicas)["pid"] for _ in range(requests)}


def code(error):
    return error.value.code


def test_the_minimum_is_healthy_when_start_returns_and_gets_requests_in_turn(replicas):
    with replicas(minimum=3) as three:
        assert (three.available, three.wanted) == (3, 3)
        assert len(pids(three)) == 3


def test_an_answer_comes_back_as_it_is(replicas):
    with replicas("failing") as failing:
        answer = failing.predict(b"{}")
        assert answer.status == 500
        assert json.loads(answer.body)["path"] == "/ask"
        assert answer.headers == {"Content-Type": "application/json"}


def test_connections_stay_open_between_requests(replicas):
    with replicas() as one:
        connections = [ask(one)["connection"] for _ in range(20)]
        assert len(set(connections)) < 5  # asking for its health now and then may take one


def test_headers_may_be_others(replicas):
    with replicas() as one:
        assert json.loads(one.predict(b"{}", {"content-type": "text/plain"}).body)["type"] == "text/plain"
        assert ask(one)["type"] == "application/json"


def test_a_container_that_ends_at_once(replicas):
    with pytest.raises(ApiError, match=r"exited unexpectedly, with exit status 1.*\n.*starts\nNo model here") as error:
        replicas("exits", minimum=2).start()
    assert code(error) == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("word", "said", "reason"),
    [
        ("deaf", "starts", "did not answer GET /healthy at the port"),
        ("unhealthy", "listens", "with status 503"),
    ],
)
def test_a_container_that_never_becomes_ready(replicas, word, said, reason):
    never = replicas(word, health_timeout=0.5, said=said)
    with pytest.raises(ApiError, match="(?s)never became ready.*" + reason + ".*The program starts") as error:
        never.start()
    assert code(error) == grpc.StatusCode.FAILED_PRECONDITION
    assert never.available == 0


def test_stopping_does_not_wait_for_a_container_to_become_ready(replicas):
    slow = replicas("deaf", health_timeout=600)
    starting = threading.Thread(target=slow.start)
    starting.start()
    wait_until(lambda: "The program starts" in slow.logs())
    slow.stop()
    starting.join(60)
    assert not starting.is_alive()


def test_a_replica_that_dies_is_replaced_and_a_replacement_that_does_not_start_too(replicas, tmp_path):
    broken = tmp_path / "broken"
    with replicas(f"unless={broken}") as one:
        (before,) = pids(one)
        broken.touch()
        with pytest.raises(ApiError, match="broke off") as error:
            ask(one, die=1)
        assert code(error) == grpc.StatusCode.UNAVAILABLE
        with pytest.raises(ApiError, match="No replica of 42 is healthy now") as error:
            ask(one)
        assert code(error) == grpc.StatusCode.UNAVAILABLE
        wait_until(lambda: one.logs().count("No model here") >= 2, timeout=60)
        assert (one.available, one.wanted) == (0, 1)
        assert "replica 0, ended" in one.logs()
        broken.unlink()
        wait_until(lambda: one.available == 1, timeout=60)
        assert pids(one).isdisjoint({before})


def test_a_request_that_could_not_be_sent_goes_to_another_replica(replicas):
    with replicas(minimum=2) as two:
        killed = min(pids(two))
        process = psutil.Process(killed)
        process.kill()
        process.wait(20)
        assert killed not in pids(two, 40)


def test_a_request_that_may_have_been_seen_is_not_sent_again(replicas, tmp_path):
    with replicas(minimum=2) as two, pytest.raises(ApiError, match="broke off"):
        ask(two, **{"break": str(tmp_path / "seen")})
    assert (tmp_path / "seen").read_text(encoding="utf-8") == "x"


def test_an_unhealthy_replica_gets_no_requests(replicas):
    with replicas() as one:
        ask(one, sick=1)
        wait_until(lambda: one.available == 0)
        with pytest.raises(ApiError, match="healthy"):
            ask(one)


def test_a_request_that_takes_too_long(replicas, tmp_path):
    with replicas() as one:
        with pytest.raises(ApiError, match=r"within 0.2 s") as error:
            one.predict(json.dumps({"hold": str(tmp_path / "go")}).encode(), timeout=0.2)
        (tmp_path / "go").touch()
        assert code(error) == grpc.StatusCode.DEADLINE_EXCEEDED
        assert ask(one)


@contextmanager
def held(replicas, folder, requests):
    """Requests that are answered when the block ends; yields their futures."""
    with ThreadPoolExecutor(requests) as threads:
        futures = []
        for number in range(requests):
            futures.append(threads.submit(ask, replicas, hold=str(folder / f"{number}.go")))
            wait_until((folder / f"{number}.here").exists)
        try:
            yield futures
        finally:
            for number in range(requests):
                (folder / f"{number}.go").touch()


def test_the_replica_with_the_least_to_do_is_asked(replicas, tmp_path):
    with replicas(minimum=2) as two:
        everybody = pids(two)
        with held(two, tmp_path, 1) as (busy,):
            (free,) = pids(two)
        assert {free, busy.result()["pid"]} == everybody


def test_a_replica_that_is_sent_away_answers_what_it_has(replicas, tmp_path):
    with replicas(minimum=2) as two:
        with held(two, tmp_path, 2) as futures:
            two.resize(1, 1)
            assert (two.available, two.wanted) == (1, 1)
            assert len(pids(two)) == 1
        assert len({future.result()["pid"] for future in futures}) == 2
        wait_until(lambda: "ended" in two.logs())


def test_stopping_at_once_breaks_off_what_is_under_way(replicas, tmp_path):
    one = replicas()
    one.start()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask, one, hold=str(tmp_path / "never.go"))
        wait_until((tmp_path / "never.here").exists)
        one.stop(at_once=True)
        with pytest.raises(ApiError, match="broke off"):
            asked.result()


@contextmanager
def loaded(replicas, clients, **asked):
    """Clients that ask without a pause until the block ends; yields the set of processes that answered them."""
    seen, calm = set(), threading.Event()

    def load():
        while not calm.is_set():
            seen.add(ask(replicas, **asked)["pid"])

    with ThreadPoolExecutor(clients) as threads:
        loading = [threads.submit(load) for _ in range(clients)]
        try:
            yield seen
        finally:
            calm.set()
    for each in loading:
        each.result()


def test_no_request_fails_while_replicas_come_and_go(replicas):
    with replicas() as some, loaded(some, 4) as seen:
        for number, processes in ((3, 3), (1, 3), (2, 4), (1, 4)):
            some.resize(number, number)
            wait_until(lambda number=number: some.available == number and "leaving" not in some.logs())
            wait_until(lambda processes=processes: len(seen) == processes)


def test_more_replicas_by_hand(replicas):
    with replicas() as one:
        one.resize(2, 2)
        wait_until(lambda: one.available == 2)
        assert len(pids(one)) == 2


@pytest.mark.parametrize("asked", [b"x" * (LARGEST_BODY + 1), json.dumps({"size": LARGEST_BODY + 1}).encode()])
def test_what_is_larger_than_vertex_ai_lets_through_is_refused(replicas, asked):
    with replicas() as one:
        with pytest.raises(ApiError, match=r"size too large.*1500001 bytes; max is 1500000") as error:
            one.predict(asked)
        assert code(error) == grpc.StatusCode.INVALID_ARGUMENT
        assert len(one.predict(json.dumps({"size": LARGEST_BODY}).encode()).body) == LARGEST_BODY


@pytest.mark.parametrize(
    ("targets", "asked"),
    [({"cpu_target": 10}, {"busy": 0.05}), ({"cpu_target": None, "requests_per_minute": 60}, {})],
    ids=["cpu", "requests"],
)
def test_load_brings_replicas_and_calm_sends_them_away(replicas, targets, asked):
    with replicas(minimum=1, maximum=2, **targets) as scaled:
        with loaded(scaled, 1, **asked) as seen_by:
            wait_until(lambda: len(seen_by) == 2, timeout=60)
            assert (scaled.available, scaled.wanted) == (2, 2)
        wait_until(lambda: scaled.available == 1 == scaled.wanted, timeout=60)


def test_the_environment_of_the_parent_stays_as_it_is(replicas):
    before = os.environ.copy()
    with replicas() as one:
        assert "AIP_HTTP_PORT" in ask(one)["environment"]
    assert os.environ.copy() == before
