"""The scenes of a run, each with a server or clusters of its own, and what each found out."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import ClusterError
from soak import fleet, killing, lab_program, large, mixed, server
from soak.models import Numbered
from soak.resources import Sample, Watch
from soak.swaps import Operator, swap_all
from soak.traffic import Traffic, both_protocols

Say = Callable[[str], None]
_SAMPLES = 2000  # about so many looks at the server, however long a scene is
_PROGRESS_SECONDS = 30.0


@dataclass(frozen=True)
class LoadResult:
    """What a scene with traffic came to.

    Attributes:
        seconds: how long it was.
        done: swaps, in the scene of swaps.
        asked: requests by kind of client.
        failures: what came instead of the right answer, and how often.
        samples: looks at the server's process.
    """

    seconds: float
    done: int
    asked: dict[str, int]
    failures: Counter[str]
    samples: list[Sample]


@dataclass(frozen=True)
class FleetResult:
    """What many models took: seconds until all were ready, bytes of memory, and in words what went wrong."""

    count: int
    seconds: float
    resident: int
    wrong: list[str]


@dataclass(frozen=True)
class KillResult:
    """What killed tasks came to: seconds, how many of each kind were killed, and in words what went wrong."""

    seconds: float
    played: Counter[str]
    wrong: list[str]


def swaps(work: Path, count: int, say: Say) -> LoadResult:
    """Swap after swap while two clients over REST and two over gRPC ask without pause."""
    model, base = Numbered(work / "numbered", megabytes=1), work / "swapped"
    model.add(base, 1)
    with (
        server.running("m", *server.of_folder(base)) as (target, _),
        closing(Operator(target, base, model)) as operator,
    ):
        started = time.monotonic()
        with Watch(target.pid, every=0.25) as watch, Traffic(both_protocols(target)) as traffic:
            traffic.wait_for(10)

            def done(version: int) -> None:
                if (version - 1) % max(1, count // 10) == 0:
                    say(f"{version - 1} of {count} swaps, {traffic.asked} requests")

            swap_all(operator, range(1, count + 2), done)
        seconds = time.monotonic() - started
    return LoadResult(seconds, count, {"predictions": traffic.asked}, _failures(traffic), watch.samples)


def _failures(traffic: Traffic) -> Counter[str]:
    """Failures, and each client that saw an older version after a newer one."""
    backwards = sum(client.versions != sorted(client.versions) for client in traffic.clients)
    return traffic.failures + Counter({"an older version after a newer one": backwards})


def mixed_traffic(work: Path, minutes: float, say: Say) -> LoadResult:
    """Clients of every kind for some minutes."""
    model, base, seconds = Numbered(work / "mixed", megabytes=1), work / "busy", 60 * minutes
    model.add(base, 1)
    with server.running("m", *server.of_folder(base)) as (target, _):
        started = time.monotonic()
        with (
            Watch(target.pid, every=max(0.05, seconds / _SAMPLES)) as watch,
            Traffic(mixed.clients(target, base, model)) as traffic,
        ):
            while (left := started + seconds - time.monotonic()) > 0:
                time.sleep(min(left, _PROGRESS_SECONDS))
                megabytes = watch.samples[-1].resident >> 20
                say(f"{(time.monotonic() - started) / 60:.1f} of {minutes:g} minutes, {traffic.asked} requests, "
                    f"{megabytes} MiB")  # fmt: skip
        lasted = time.monotonic() - started
    return LoadResult(lasted, 0, traffic.asked_by_kind(), _failures(traffic), watch.samples)


def many_models(work: Path, count: int, say: Say) -> FleetResult:
    """Many models from one configuration file; each is asked over REST and gRPC."""
    config, names = fleet.write(work / "fleet", Numbered(work / "one", megabytes=0.01), count)
    say(f"{count} models are written")
    with server.running("", f"--model_config_file={config}") as (target, seconds):
        resident = Watch(target.pid, every=1).look().resident
        wrong = fleet.ask_all(target, names)
    return FleetResult(count, seconds, resident, wrong)


def large_requests(work: Path, clients: int, megabytes: int, rounds: int, say: Say) -> list[large.LargeLoad]:
    """Many large requests at the same moment, in several rounds with the same server."""
    base, found = work / "large", []
    Numbered(work / "small", megabytes=0.01).add(base, 1)
    with server.running("m", *server.of_folder(base)) as (target, _):
        for _ in range(rounds):
            found.append(large.ask(target, clients, megabytes))
            say(f"{clients} x {megabytes} MiB: {found[-1].multiple:.1f} times what was in flight")
    return found


def kills(work: Path, count: int, say: Say) -> KillResult:
    """So many trainings of lab 13 one after the other; each loses one task behind a random step, each task in turn."""
    program, started = lab_program.script(work / "lab"), time.monotonic()
    alone = killing.left_alone(program, killing.MIRRORED)
    played, wrong = Counter[str](), []
    for spec, role in itertools.islice(itertools.cycle(killing.VICTIMS), count):
        victim, step = killing.name(spec, role), random.randint(1, killing.LATEST)
        try:
            what = killing.wrong(killing.killed(program, spec, role, step), spec, alone)
        except (ClusterError, TimeoutError) as error:
            what = str(error)
        wrong += [f"{victim}, killed behind step {step}: {what}"] if what else []
        played[victim] += 1
        if played.total() % max(1, count // 10) == 0:
            say(f"{played.total()} of {count} tasks killed")
    return KillResult(time.monotonic() - started, played, wrong)
