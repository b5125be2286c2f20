"""Load on a server, and latencies that mean what they say.

A closed loop has so many clients, each of which asks again as soon as it has its answer: it finds out how much a
server can do. An open loop has so many requests a second, whether the server keeps up or not, as users are: it finds
out how long they wait. There each latency counts from the moment the request was *due*, so a server that stands still
is charged for everyone who came meanwhile; counted from when the request was sent, they would be left out
("coordinated omission", Gil Tene, https://www.infoq.com/presentations/latency-response-time/).

The clients are threads of this process. Whether it, and not the server, was the limit: `LoadResult.client_cores`.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from labkit.bench.results import LoadResult, Round
from labkit.errors import MeasurementFailed, RequestError

if TYPE_CHECKING:
    from labkit.bench.inputs import Inputs
    from labkit.bench.targets import Connection, Target

Progress = Callable[[float], None]
_Schedule = Callable[[float], Iterator[float | None]]
_NAP = 0.05  # seconds that are slept through before a request is due; until then a client can be woken


def closed_loop(
    target: "Target",
    request: "bytes | Inputs",
    *,
    clients: int = 1,
    seconds: float = 1.0,
    rounds: int = 3,
    warm_up: int = 3,
    keep_connection: bool = True,
    progress: Progress | None = None,
) -> LoadResult:
    """Each client asks again as soon as it has its answer.

    Args:
        target: who is asked.
        request: bytes are sent as they are. A dict of arrays is encoded each time and the answer decoded, as a
            program does that uses the server; that is in the latency, too.
        clients: how many ask at a time, each with a connection of its own.
        seconds: how long a round goes on.
        rounds: how many are measured.
        warm_up: requests of each client before each round, which are not counted.
        keep_connection: False makes a new connection for each request.
        progress: called with the share that is done, 0 to 1.

    Raises:
        MeasurementFailed: no request of a round was answered; the message has the first error.
        ValueError: an argument is out of range.
    """
    need_positive(clients=clients, seconds=seconds, rounds=rounds)
    crowd = _Crowd(target, request, clients, warm_up, keep_connection)
    done = []
    for number in range(rounds):
        done.append(crowd.play(lambda start: _until(start + seconds)))
        _report(progress, (number + 1) / rounds)
    return crowd.result("closed", None, done)


def open_loop(
    target: "Target",
    request: "bytes | Inputs",
    *,
    rate: float,
    clients: int = 32,
    seconds: float = 1.0,
    rounds: int = 3,
    warm_up: int = 3,
    keep_connection: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> LoadResult:
    """Requests come at a rate of their own, at random moments (a Poisson process), and wait if nobody is free to ask.

    Args:
        rate: requests a second.
        clients: how many may be under way; one that is due when all are busy waits, and its latency counts that.
        seconds: within which a round's requests are due, rate x seconds of them, at least one; it ends with the last
            answer.
        seed: of the random moments; the same seed gives the same.
        target, request, rounds, warm_up, keep_connection, progress: as for `closed_loop`.

    Raises:
        MeasurementFailed, ValueError: as `closed_loop`.
    """
    need_positive(rate=rate, clients=clients, seconds=seconds, rounds=rounds)
    crowd = _Crowd(target, request, clients, warm_up, keep_connection)
    done = []
    for number in range(rounds):
        # A Poisson process with so many moments: each of them anywhere, and as likely here as there.
        moments = np.sort(np.random.default_rng([seed, number]).uniform(0, seconds, max(1, round(rate * seconds))))
        done.append(crowd.play(partial(_moments_from, moments)))
        _report(progress, (number + 1) / rounds)
    return crowd.result("open", rate, done)


def _until(deadline: float) -> Iterator[None]:
    """One None for each request that may still begin."""
    return itertools.takewhile(lambda _: time.perf_counter() < deadline, itertools.repeat(None))


def need_positive(**values: float) -> None:
    """Raises ValueError with the name of the first that is not more than 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be more than 0")


def _moments_from(moments: np.ndarray, start: float) -> Iterator[float]:
    return iter((start + moments).tolist())


def _report(progress: Progress | None, share: float) -> None:
    if progress:
        progress(share)


class _Crowd:
    """The clients of one measurement."""

    def __init__(
        self, target: "Target", request: "bytes | Inputs", clients: int, warm_up: int, keep_connection: bool
    ) -> None:
        self._target, self._clients, self._warm_up, self._keep = target, clients, warm_up, keep_connection
        self._ask = partial(_whole, target, request) if isinstance(request, Mapping) else partial(_send, request)
        self._request_bytes = len(target.form.encode(request) if isinstance(request, Mapping) else request)
        self._answer_bytes = 0

    def play(self, schedule: _Schedule) -> Round:
        """One round. `schedule(start)` gives when each request is due; None for at once."""
        found, ready = _Found(), threading.Barrier(self._clients + 1)
        threads = [
            threading.Thread(target=self._client, args=(ready, found), name=f"client {number}", daemon=True)
            for number in range(self._clients)
        ]
        try:
            for thread in threads:
                thread.start()
            with suppress(threading.BrokenBarrierError):
                ready.wait()
            found.begin(schedule)
            for thread in threads:
                thread.join()
        finally:  # also when a thread cannot be started, or a wait for the threads is interrupted
            ready.abort()
            found.end()
        self._answer_bytes = self._answer_bytes or found.answer_bytes
        return found.round(self._target.name)

    def result(self, loop: str, rate: float | None, rounds: list[Round]) -> LoadResult:
        sizes = self._request_bytes, self._answer_bytes
        return LoadResult(self._target.name, loop, self._clients, rate, self._keep, *sizes, rounds)

    def _client(self, ready: threading.Barrier, found: "_Found") -> None:
        try:
            with closing(self._target.connect() if self._keep else _Reconnecting(self._target)) as connection:
                with suppress(RequestError):  # the round itself will say what is wrong
                    for _ in range(self._warm_up):
                        self._ask(connection)
                ready.wait()
                for due in found.due():
                    began = time.perf_counter()
                    try:
                        answer = self._ask(connection)
                    except RequestError as error:
                        found.failed(error)
                    else:
                        found.answered(began, due, answer)
                found.finished()
        except threading.BrokenBarrierError:
            return  # another client says why
        except BaseException as error:  # what this client cannot handle ends the measurement, in the caller's thread
            found.broke(error)
            ready.abort()


class _Found:
    """What the clients of one round found out, and which requests are still to be sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun, self._over = threading.Event(), threading.Event()
        self._schedule: Iterator[float | None] = iter(())
        self._start = self._processor = self._seconds = self._client_seconds = 0.0
        self._ended: list[tuple[float, float | None]] = []
        self._errors: Counter[str] = Counter()
        self._first_error: RequestError | None = None
        self._broken: BaseException | None = None
        self.answer_bytes = 0  # of the first answer

    def begin(self, schedule: _Schedule) -> None:
        """The clocks run from now on."""
        self._processor, self._start = time.process_time(), time.perf_counter()
        self._schedule = schedule(self._start)
        self._begun.set()

    def finished(self) -> None:
        """One client has its last answer; the clocks stop with the last client. What it takes to close is not load."""
        with self._lock:
            self._seconds = time.perf_counter() - self._start
            self._client_seconds = time.process_time() - self._processor

    def end(self) -> None:
        """No client sends another request."""
        self._over.set()
        self._begun.set()

    def due(self) -> Iterator[float | None]:
        """When the next requests of one client are due, each when it is."""
        self._begun.wait()
        while not self._over.is_set():
            try:
                with self._lock:
                    due = next(self._schedule)
            except StopIteration:
                return
            if not self._wait_for(due):
                return
            yield due

    def _wait_for(self, due: float | None) -> bool:
        """Sleeps until a request is due; False if it is not to be sent any more."""
        if due is not None:
            if self._over.wait(max(0.0, due - _NAP - time.perf_counter())):
                return False
            time.sleep(max(0.0, due - time.perf_counter()))
        return True

    def answered(self, began: float, due: float | None, answer: bytes) -> None:
        now = time.perf_counter()
        self._ended.append((now - began, None if due is None else now - due))
        self.answer_bytes = self.answer_bytes or len(answer)

    def failed(self, error: RequestError) -> None:
        with self._lock:
            self._errors[error.code] += 1
            self._first_error = self._first_error or error

    def broke(self, error: BaseException) -> None:
        self._broken = error
        self.end()

    def round(self, name: str) -> Round:
        if self._broken:
            raise self._broken
        if not self._ended:
            why = f": {self._first_error}" if self._first_error else " in the time that was given"
            raise MeasurementFailed(f"{name} answered none of {sum(self._errors.values())} requests{why}")
        service = [round(seconds, 7) for seconds, _ in self._ended]
        latencies = [round(seconds, 7) for _, seconds in self._ended if seconds is not None]
        times = (latencies, service) if latencies else (service, [])
        return Round(self._seconds, *times, dict(self._errors), self._client_seconds)


def _send(request: bytes, connection: "Connection") -> bytes:
    return connection.send(request)


def _whole(target: "Target", inputs: "Inputs", connection: "Connection") -> bytes:
    answer = connection.send(target.encode(inputs))
    target.decode(answer)
    return answer


class _Reconnecting:
    """A connection that is made anew for each request."""

    def __init__(self, target: "Target") -> None:
        self._target = target

    def send(self, request: bytes) -> bytes:
        with closing(self._target.connect()) as connection:
            return connection.send(request)

    def close(self) -> None:
        """Nothing is open."""
