"""labkit.parallel.step_time: each formula against a count by hand, and against a simulation of what it stands for."""

import math

import numpy as np
import pytest

from labkit.parallel.step_time import Step, at_once, by_themselves, ring, ring_bytes, two_levels

STEP = Step(compute=2.0, down=30.0, up=10.0)


def test_at_once_every_workers_bytes_go_over_the_servers_link():
    assert at_once(STEP, workers=1, rate=10) == 2 + 3 + 1
    assert at_once(STEP, workers=4, rate=10) == 2 + 4 * (3 + 1)
    assert at_once(STEP, workers=4, rate=10, servers=2, latency=0.5) == 2 + 2 * (3 + 1) + 1
    assert at_once(STEP, workers=4, rate=10, worker_rate=5) == 2 + 4 * (3 + 1)
    assert at_once(STEP, workers=4, rate=10, servers=8, worker_rate=5) == 2 + 6 + 2


def test_a_worker_that_is_alone_waits_for_nobody():
    assert by_themselves(STEP, workers=1, rate=10) == 2 + 3 + 1
    assert by_themselves(STEP, workers=1, rate=10, servers=2, latency=0.5) == 2 + 1.5 + 0.5 + 1


def test_many_workers_fill_the_fuller_direction_of_the_link():
    assert by_themselves(STEP, workers=100, rate=10) == pytest.approx(100 * 3)
    assert by_themselves(STEP, workers=5, rate=10) > 5 * 3


def test_workers_by_themselves_are_never_slower_than_all_at_once_nor_faster_than_alone():
    for workers in range(2, 20):
        assert 6 < by_themselves(STEP, workers, rate=10) < at_once(STEP, workers, rate=10)


def shared_link(workers, sends, compute, steps=4000):
    """Seconds of a step of workers that compute for random times and then use one link, which they share equally."""
    random = np.random.default_rng(0)
    free, sending, done, now = list(random.exponential(compute, workers)), [], 0, 0.0
    while done < steps:
        next_ready = min(free, default=math.inf)
        next_sent = now + min(sending) * len(sending) if sending else math.inf
        then = min(next_ready, next_sent)
        sending = [left - (then - now) / len(sending) for left in sending]
        now = then
        if next_ready <= next_sent:
            free.remove(next_ready)
            sending.append(random.exponential(sends))
        else:
            sending.remove(min(sending))
            free.append(now + random.exponential(compute))
            done += 1
    return workers * now / done


@pytest.mark.parametrize("workers", [2, 5])
def test_by_themselves_is_what_a_simulation_of_a_shared_link_finds(workers):
    found = shared_link(workers, sends=1.0, compute=2.0)
    assert by_themselves(Step(2.0, 10.0, 0.0), workers, rate=10) == pytest.approx(found, rel=0.05)


def test_two_levels_a_group_is_a_worker_of_the_root():
    assert two_levels(STEP, groups=1, each=3, root_rate=10, group_rate=20) == 2 + 3 * 2 + (3 + 1)
    alike = by_themselves(Step(2 + 3 * 2, 30, 10), workers=4, rate=10)
    assert two_levels(STEP, groups=4, each=3, root_rate=10, group_rate=20) == alike


def test_a_ring_sends_less_than_twice_the_gradients_however_long_it_is():
    assert ring_bytes(100, 1) == 0
    assert ring_bytes(100, 2) == 100
    assert ring_bytes(100, 4) == 150
    assert 199 < ring_bytes(100, 1000) < 200
    assert ring(STEP, workers=4, rate=5) == 2 + 15 / 5
    assert ring(STEP, workers=4, rate=5, latency=0.1) == pytest.approx(2 + 3 + 6 * 0.1)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="down is -1"):
        Step(1.0, -1, 1)
    with pytest.raises(ValueError, match="compute is nan"):
        Step(math.nan, 1, 1)
    with pytest.raises(ValueError, match="rate is 0"):
        at_once(STEP, 2, 0)
    with pytest.raises(ValueError, match=r"workers is 1\.5"):
        ring(STEP, 1.5, 1)
    with pytest.raises(ValueError, match="servers is 0"):
        by_themselves(STEP, 2, 1, servers=0)
    with pytest.raises(ValueError, match="workers is 0"):
        two_levels(STEP, 0, 2, 1, 1)
    with pytest.raises(ValueError, match="workers is inf; it is a whole number"):
        ring_bytes(1.0, math.inf)
    with pytest.raises(ValueError, match="worker_rate is 0; it is bytes per second above 0"):
        at_once(STEP, 2, 1, worker_rate=0)


@pytest.mark.parametrize("formula", [at_once, by_themselves, ring])
@pytest.mark.parametrize("latency", [-1, math.nan, math.inf])
def test_a_latency_is_a_number_of_seconds(formula, latency):
    with pytest.raises(ValueError, match=f"latency is {latency}; it is seconds, 0 or more"):
        formula(STEP, 2, 1, latency=latency)
