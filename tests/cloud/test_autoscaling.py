import pytest

from labkit.cloud.local.autoscaling import Autoscaler, Load, Targets, needed


def looks(*machines, requests=0, first=0.0):
    """A load every half second."""
    return [Load(first + 0.5 * number, 0.5, busy, requests) for number, busy in enumerate(machines)]


@pytest.mark.parametrize(
    ("machines", "target", "replicas"),
    [(0, 60, 0), (0.3, 60, 1), (0.6, 60, 1), (0.61, 60, 2), (1.0, 50, 2), (2.7, 90, 3), (2.71, 90, 4), (1.2, 60, 2)],
)
def test_as_many_replicas_as_bring_the_utilization_to_its_target(machines, target, replicas):
    assert needed(looks(*[machines] * 4), Targets(cpu=target)) == replicas


def test_a_first_moment_counts_as_a_part_of_the_mean():
    assert needed(looks(1.0), Targets(cpu=60)) == 1
    assert needed(looks(1.0, 1.0), Targets(cpu=60)) == 1
    assert needed(looks(1.0, 1.0, 1.0), Targets(cpu=60)) == 2


def test_looks_that_came_late_count_as_long_as_they_took():
    assert needed([Load(0, 3.0, 2.0, 90)], Targets(cpu=100, requests_per_minute=900)) == 2


def test_requests_a_minute_for_each_replica():
    some = looks(*[0.0] * 4, requests=10)  # 20 a second
    assert needed(some, Targets(requests_per_minute=1200)) == 1
    assert needed(some, Targets(requests_per_minute=1199)) == 2
    assert needed(some, Targets()) == 0
    busy = [Load(each.time, each.seconds, 3.0, each.requests) for each in some]
    assert needed(busy, Targets(cpu=None, requests_per_minute=1200)) == 1, "only what is named counts"


def test_the_highest_need_counts():
    some = looks(*[1.5] * 4, requests=10)
    assert needed(some, Targets(cpu=50, requests_per_minute=1200)) == 3
    assert needed(some, Targets(cpu=50, requests_per_minute=300)) == 4


def decisions(scaler, loads):
    return [scaler.decide(load) for load in loads]


def test_more_at_once_and_fewer_after_five_seconds_that_need_fewer():
    scaler = Autoscaler(1, 5, Targets(cpu=50))
    assert decisions(scaler, looks(*[0.0] * 4, *[1.5] * 4)) == [1, 1, 1, 1, 1, 2, 3, 3]
    calm = decisions(scaler, looks(*[0.0] * 20, first=4.0))
    assert calm[:10] == [3] * 10
    assert calm[-1] == 1
    assert calm == sorted(calm, reverse=True)


def test_a_short_calm_sends_nobody_away():
    scaler = Autoscaler(1, 5, Targets(cpu=50))
    decisions(scaler, looks(*[1.5] * 4))
    assert set(decisions(scaler, looks(*[0.0] * 6, *[1.5] * 4, *[0.0] * 6, first=2.0))) == {3}


def test_never_outside_its_limits():
    scaler = Autoscaler(2, 3, Targets(cpu=50))
    assert decisions(scaler, looks(*[0.0] * 8)) == [2] * 8
    assert decisions(scaler, looks(*[9.0] * 4, first=4.0))[-1] == 3
    scaler.maximum, scaler.targets = 8, Targets(cpu=900)
    assert scaler.decide(Load(6.0, 0.5, 9.0, 0)) == 8  # what was needed in the last five seconds
