"""How long a step of data-parallel training takes, computed from bytes and links: small formulas, no measurement.

    step = Step(compute=0.1, down=2**20, up=2**20)         # seconds, bytes
    at_once(step, workers=4, rate=50e6 / 8)                # 1.44 s: one server, all workers at the same time
    by_themselves(step, workers=4, rate=50e6 / 8)          # 0.87 s: each worker goes on when it likes
    ring(step, workers=4, rate=50e6 / 8)                   # 0.35 s

Each formula sees one link fill up, and nothing else: no processors, no TCP, no stragglers.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What a worker does in a step.

    Attributes:
        compute: seconds in which nothing is sent.
        down: bytes that it fetches, the variables.
        up: bytes that it sends, the gradients.
    """

    compute: float
    down: float
    up: float

    def __post_init__(self) -> None:
        for name in ("compute", "down", "up"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} is {getattr(self, name)}; seconds and bytes are 0 or more")


def at_once(
    step: Step,
    workers: int,
    rate: float,
    *,
    servers: int = 1,
    latency: float = 0.0,
    worker_rate: float = math.inf,
) -> float:
    """Seconds of a step in which all workers fetch together, compute together, and send together.

    ``compute + workers * (down + up) / (servers * rate) + 2 * latency``: a server's link carries every worker's bytes,
    first one way, then the other. With more servers than workers it can be the workers' own links that are full:
    then ``(down + up) / worker_rate``.

    Args:
        step: what each worker does.
        workers: how many.
        rate: bytes per second of each server's link, each way.
        servers: how many share the variables, each with a link of its own.
        latency: seconds of one message, whatever its size.
        worker_rate: bytes per second of each worker's link, each way.

    Raises:
        ValueError: a number is out of its range.
    """
    _check(workers=workers, rate=rate, servers=servers, latency=latency, worker_rate=worker_rate)
    slowest = max(workers / (servers * rate), 1 / worker_rate)  # seconds for a byte of every worker
    return step.compute + (step.down + step.up) * slowest + 2 * latency


def by_themselves(step: Step, workers: int, rate: float, *, servers: int = 1, latency: float = 0.0) -> float:
    """Seconds of a worker's step where nobody waits for anybody, so that one fetches while another sends or computes.

    A queue with a fixed number of customers: the link's two directions are shared equally by who uses them, and
    computing hinders nobody. Its mean times follow one worker after another: a newcomer finds what the others leave
    (mean value analysis; Reiser and Lavenberg 1980, https://doi.org/10.1145/322186.322195). It is exact for workers
    that meet at random. The limits are ``compute + (down + up) / rate`` alone, and ``workers * max(down, up) / rate``
    for many.

    Args and errors are those of `at_once`; the workers' own links are no limit here.
    """
    _check(workers=workers, rate=rate, servers=servers, latency=latency)
    alone = [step.down / (servers * rate), step.up / (servers * rate)]
    waiting = [0.0, 0.0]  # how many workers use each direction, on average
    seconds = 0.0
    for others_and_one in range(1, workers + 1):
        taken = [need * (1 + others) for need, others in zip(alone, waiting, strict=True)]
        seconds = step.compute + 2 * latency + sum(taken)
        waiting = [others_and_one / seconds * each if seconds else 0.0 for each in taken]
    return seconds


def two_levels(step: Step, groups: int, each: int, root_rate: float, group_rate: float) -> float:
    """Seconds of a step with a server for each group of workers, and a root server for these.

    A group's workers do it `at_once` with their server. It then sends the root one average, and fetches the new values
    while other groups do the same when they like (`by_themselves`, with the group's own work as the computing).

    Args:
        step: what each worker does.
        groups: how many, each with a server.
        each: workers in a group.
        root_rate: bytes per second of the root server's link, each way.
        group_rate: of a group server's.

    Raises:
        ValueError: a number is out of its range.
    """
    within = at_once(step, each, group_rate)
    return by_themselves(Step(within, step.down, step.up), groups, root_rate)


def ring_bytes(size: float, workers: int) -> float:
    """Bytes that each worker sends, and receives, in a ring all-reduce of `size` bytes: ``2 * (n - 1) / n * size``.

    Patarasuk and Yuan 2009, https://doi.org/10.1016/j.jpdc.2008.09.002.
    """
    _check(workers=workers)
    return 2 * (workers - 1) / workers * size


def ring(step: Step, workers: int, rate: float, *, latency: float = 0.0) -> float:
    """Seconds of a step with a ring all-reduce of the gradients (`step.up`); nothing is fetched, for all have all.

    ``compute + ring_bytes / rate + 2 * (workers - 1) * latency``: it is done in so many rounds.

    Args:
        step: what each worker does.
        workers: how many.
        rate: bytes per second of each worker's link, each way.
        latency: seconds of one message, whatever its size.

    Raises:
        ValueError: a number is out of its range.
    """
    _check(workers=workers, rate=rate, latency=latency)
    return step.compute + ring_bytes(step.up, workers) / rate + 2 * (workers - 1) * latency


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if name in ("rate", "worker_rate"):
            fits, wanted = value > 0, "bytes per second above 0"
        elif name == "latency":
            fits, wanted = 0 <= value < math.inf, "seconds, 0 or more"
        else:
            fits, wanted = 1 <= value < math.inf and value == int(value), "a whole number, 1 or more"
        if not fits:
            raise ValueError(f"{name} is {value}; it is {wanted}")
