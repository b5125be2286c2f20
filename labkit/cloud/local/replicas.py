"""The replicas of a deployed model: as many as are needed, each request to the one with the least to do."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Self

import grpc

from labkit.cloud.local.autoscaling import LOOK_SECONDS, Autoscaler, Load, Targets
from labkit.cloud.local.container_connections import BrokenError, NotSentError
from labkit.cloud.local.containers import Containers, ServingContainer
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.replica import Replica, State
from labkit.cloud.local.status import ApiError, invalid
from labkit.processes import usable_cores

# https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements#prediction
LARGEST_BODY = 1_500_000
_KEPT_ENDED = 5
_LONGEST_PAUSE = 30.0


class Replicas:
    """Containers of one deployed model, between a minimum and a maximum. Use it as a context manager or call `stop`.

    A replica stands for a machine of its own. Its processes keep to `cores` cores where the system has such a thing
    (Linux); replicas share them when there are more than this machine has.
    """

    def __init__(
        self,
        containers: Containers,
        container: ServingContainer,
        *,
        minimum: int,
        maximum: int,
        cpu_target: int | None = 60,
        requests_per_minute: int | None = None,
        cores: int = 1,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            containers: starts them.
            container: what each of them is.
            minimum: so many there are always.
            maximum: so many there are at most.
            cpu_target: percent of its cores at which a replica should be kept; None: whatever they do.
            requests_per_minute: requests that a replica should get; None if that does not matter.
            cores: vCPUs of a replica's machine.
        """
        self._containers = containers
        self._container = container
        self._autoscaler = Autoscaler(minimum, maximum, Targets(cpu_target, requests_per_minute))
        self._all_cores = usable_cores()
        self._cores = min(cores, len(self._all_cores))
        self._changed = threading.Condition()
        self._replicas: list[Replica] = []
        self._ended: deque[str] = deque(maxlen=_KEPT_ENDED)
        self._turn = itertools.count()
        self._requests = 0
        self._failures = 0
        self._pause_until = 0.0
        self._wanted = minimum
        self._stopping = threading.Event()
        self._loop = threading.Thread(target=self._keep, name=f"replicas of {container.name}", daemon=True)

    @property
    def available(self) -> int:
        """So many are healthy now."""
        with self._changed:
            return sum(replica.state == State.AVAILABLE for replica in self._replicas)

    @property
    def wanted(self) -> int:
        """So many there should be now."""
        return self._wanted

    def start(self) -> None:
        """Start the minimum and wait until all of them are healthy.

        Raises:
            ApiError: FAILED_PRECONDITION, one ended or did not become healthy in time; with its log's last lines. None
                is left running then.
        """
        with self._changed:
            self._adjust()
            first = list(self._replicas)
            self._changed.wait_for(lambda: any(each.failure for each in first) or self._all_up(first))
        failure = next((replica.failure for replica in first if replica.failure), None)
        if failure:
            self.stop()
            raise failure
        self._loop.start()

    def _all_up(self, replicas: list[Replica]) -> bool:
        return all(replica.state != State.STARTING for replica in replicas)

    def resize(
        self, minimum: int, maximum: int, cpu_target: int | None = 60, requests_per_minute: int | None = None
    ) -> None:
        """Set limits and targets anew; replicas come and go in the background."""
        with self._changed:
            self._autoscaler.minimum, self._autoscaler.maximum = minimum, maximum
            self._autoscaler.targets = Targets(cpu_target, requests_per_minute)
            self._wanted = min(maximum, max(minimum, self._wanted))
            self._adjust()

    def predict(
        self,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> HttpAnswer:
        """The container's answer to a POST of `body`, whatever its status.

        Args:
            body: what is sent.
            headers: its headers; without a content type it is JSON.
            timeout: seconds to wait for the answer.

        Raises:
            ApiError: INVALID_ARGUMENT, `body` or the answer is larger than Vertex AI lets through; UNAVAILABLE, no
                replica is healthy or the one asked ended; DEADLINE_EXCEEDED.
        """
        if len(body) > LARGEST_BODY:
            raise invalid(
                f"Request size too large: {len(body)} bytes; max is {LARGEST_BODY} bytes. Send fewer or smaller "
                "instances in one request, or use batch prediction."
            )
        answer = self._ask(body, _with_type(headers or {}), timeout)
        if len(answer.body) > LARGEST_BODY:
            raise invalid(
                f"Response size too large. Received at least {len(answer.body)} bytes; max is {LARGEST_BODY}. Send "
                "fewer instances in one request, or use batch prediction."
            )
        return answer

    def _ask(self, body: bytes, headers: Mapping[str, str], timeout: float) -> HttpAnswer:
        tried: list[Replica] = []
        while True:
            replica = self._take(tried)
            try:
                return replica.ask("POST", self._container.predict_route, body, headers, timeout)
            except NotSentError:
                tried.append(replica)
            except TimeoutError:
                words = f"The model server did not answer within {timeout:g} s."
                raise ApiError(grpc.StatusCode.DEADLINE_EXCEEDED, words) from None
            except BrokenError as error:
                raise _unavailable(f"The model server broke off before it had answered: {error}") from None
            finally:
                with self._changed:
                    replica.outstanding -= 1
                    self._changed.notify_all()

    def _take(self, tried: list[Replica]) -> Replica:
        """The replica with the least to do, each in its turn if several have."""
        with self._changed:
            if not tried:
                self._requests += 1
            free = [each for each in self._replicas if each.state == State.AVAILABLE and each not in tried]
            if not free or len(tried) > 1:
                raise _unavailable(
                    f"No replica of {self._container.name} is healthy now. Replicas that end are started again; try "
                    "again in a moment."
                )
            turn = next(self._turn) % len(free)
            chosen = min(free[turn:] + free[:turn], key=lambda replica: replica.outstanding)
            chosen.outstanding += 1
            return chosen

    def logs(self) -> str:
        """What the containers have written so far, those of the last few that ended, too."""
        with self._changed:
            return "\n".join([*self._ended, *map(_log, self._replicas)])

    def _keep(self) -> None:
        """Look after the replicas until `stop`."""
        last = time.monotonic()
        busy: dict[Replica, float] = {}
        requests = self._requests
        while not self._stopping.wait(LOOK_SECONDS):
            now = time.monotonic()
            seconds, last = now - last, now
            busy, before = self._busy(), busy
            work = sum(total - before[replica] for replica, total in busy.items() if replica in before)
            came, requests = self._requests - requests, self._requests
            load = Load(now, seconds, work / seconds / self._cores, came)
            with self._changed:
                if self._stopping.is_set():
                    return
                self._wanted = self._autoscaler.decide(load)
                self._adjust()

    def _busy(self) -> dict[Replica, float]:
        with self._changed:
            replicas = [each for each in self._replicas if each.state in (State.AVAILABLE, State.UNHEALTHY)]
        return {replica: replica.processor.seconds() for replica in replicas}

    def _adjust(self) -> None:
        """Start what is missing, send away what is too many, newest first; called with the lock held."""
        if self._stopping.is_set():
            return
        for replica in [each for each in self._replicas if each.state == State.ENDED]:
            self._replicas.remove(replica)
            self._ended.append(_log(replica))
            self._note(replica)
        staying = [replica for replica in self._replicas if replica.state != State.LEAVING]
        for replica in staying[self._wanted :]:
            replica.leave()
        if time.monotonic() >= self._pause_until:
            for _ in range(self._wanted - len(staying)):
                self._add()

    def _note(self, ended: Replica) -> None:
        """After replicas that never became ready, wait a little longer each time before the next one."""
        if ended.failure:
            self._pause_until = time.monotonic() + min(_LONGEST_PAUSE, 2.0**self._failures)
        self._failures = self._failures + 1 if ended.failure else 0

    def _add(self) -> None:
        taken = {replica.number for replica in self._replicas}
        number = next(number for number in itertools.count() if number not in taken)
        first = number * self._cores
        cores = [self._all_cores[(first + core) % len(self._all_cores)] for core in range(self._cores)]
        self._replicas.append(Replica(self._containers, self._container, number, cores, self._changed))

    def stop(self, at_once: bool = False) -> None:
        """End all replicas; requests in flight are answered first, or broken off if it is to be `at_once`."""
        self._stopping.set()
        with self._changed:
            replicas = list(self._replicas)
        for replica in replicas:
            replica.leave(at_once)
        for replica in replicas:
            replica.join()
        if self._loop.is_alive():
            self._loop.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _with_type(headers: Mapping[str, str]) -> Mapping[str, str]:
    if any(name.lower() == "content-type" for name in headers):
        return headers
    return {**headers, "Content-Type": "application/json"}


def _log(replica: Replica) -> str:
    words = replica.log() or (replica.failure.message if replica.failure else "")
    return f"--- replica {replica.number}, {replica.state.value}\n{words}"


def _unavailable(message: str) -> ApiError:
    return ApiError(grpc.StatusCode.UNAVAILABLE, message)
