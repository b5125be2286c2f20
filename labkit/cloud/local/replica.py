"""One replica of a deployed model: a container from its start, through its health, to its end."""

import enum
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence

import grpc

from labkit.cloud.local.container_connections import BrokenError, Connections, NotSentError
from labkit.cloud.local.containers import Containers, ServingContainer
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.processor import ProcessorTime
from labkit.cloud.local.started_container import StartedContainer
from labkit.cloud.local.status import ApiError

# Vertex AI asks a container every ten seconds and gives it ten seconds to answer.
HEALTH_SECONDS = 1.0
HEALTH_TIMEOUT = 10.0
DRAIN_SECONDS = 60.0
_LOOK_SECONDS = 0.02


class State(enum.Enum):
    """Where a replica stands."""

    STARTING = "starting"
    AVAILABLE = "available"
    UNHEALTHY = "unhealthy"
    LEAVING = "leaving"
    ENDED = "ended"


class Replica:
    """A container that is kept an eye on by a thread of its own.

    Attributes:
        number: which of the replicas it is, from 0.
        state: changes under `changed`, and whoever waits there is told.
        outstanding: requests it is busy with; changed under `changed`, too.
        failure: why it did not become ready.
        processor: its processor time.
    """

    def __init__(
        self,
        containers: Containers,
        container: ServingContainer,
        number: int,
        cores: Sequence[int],
        changed: threading.Condition,
    ) -> None:
        """Start `container` on `cores`; this returns at once."""
        self.number = number
        self.state = State.STARTING
        self.outstanding = 0
        self.failure: ApiError | None = None
        self.processor = ProcessorTime(None)
        self._containers = containers
        self._container = container
        self._cores = cores
        self._changed = changed
        self._wake = threading.Event()
        self._at_once = False
        self._started: StartedContainer | None = None
        self._connections: Connections | None = None
        self._thread = threading.Thread(target=self._live, name=f"{container.name} replica {number}", daemon=True)
        self._thread.start()

    def log(self) -> str:
        """What its container has written so far."""
        return self._started.log() if self._started else ""

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> HttpAnswer:
        """Pass a request to the container; see `Connections.ask`."""
        assert self._started is not None and self._connections is not None
        try:
            return self._connections.ask(method, self._started.route(path), body, headers, timeout)
        except (BrokenError, NotSentError):
            self._suspect()
            raise

    def leave(self, at_once: bool = False) -> None:
        """Take no more requests, and end: `at_once`, or when those that are there are answered. It returns at once."""
        with self._changed:
            self._at_once = self._at_once or at_once
            self._changed.notify_all()
            if self.state != State.ENDED:
                self._to(State.LEAVING)
        self._wake.set()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _live(self) -> None:
        try:
            self._started = self._containers.start(self._container, self._cores)
            if self._become_ready(self._started):
                self._watch(self._started)
                self._drain(self._started)
        except ApiError as error:
            self.failure = error
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.failure = ApiError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        finally:
            self._end()

    def _become_ready(self, started: StartedContainer) -> bool:
        """Wait until it is ready; False if it is to leave before that."""
        deadline = time.monotonic() + self._container.health_timeout
        trouble = "did not start to listen"
        while trouble:
            if self._connections is None and (port := started.port()):
                self._connections = Connections(port)
            if self._connections:
                trouble = self._health()
            if trouble and (not started.running or time.monotonic() > deadline):
                raise started.failure(f"{trouble} within {self._container.health_timeout:g} s")
            if trouble and self._wake.wait(_LOOK_SECONDS):
                return False
        self.processor = ProcessorTime(started.process_id())
        return self._to(State.AVAILABLE)

    def _watch(self, started: StartedContainer) -> None:
        """Ask for its health until it is to leave or has ended."""
        while self._serves(started):
            self._wake.wait(HEALTH_SECONDS)
            self._wake.clear()
            if self._serves(started):
                self._to(State.UNHEALTHY if self._health() else State.AVAILABLE)

    def _serves(self, started: StartedContainer) -> bool:
        return started.running and self.state != State.LEAVING

    def _health(self) -> str:
        """What is wrong with it; empty if nothing is."""
        assert self._connections is not None and self._started is not None
        route = self._container.health_route
        try:
            answer = self._connections.ask("GET", self._started.route(route), None, {}, HEALTH_TIMEOUT)
        except TimeoutError:
            return f"did not answer GET {route}, asked for {HEALTH_TIMEOUT:g} s at a time,"
        except (BrokenError, NotSentError) as error:
            return f"did not answer GET {route} at the port in AIP_HTTP_PORT ({error})"
        return "" if answer.status == 200 else f"answered GET {route} with status {answer.status} instead of 200"

    def _suspect(self) -> None:
        """Keep requests away until its health has been looked at, which happens now."""
        with self._changed:
            if self.state == State.AVAILABLE:
                self._to(State.UNHEALTHY)
        self._wake.set()

    def _drain(self, started: StartedContainer) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self.outstanding or self._at_once or not started.running, DRAIN_SECONDS)

    def _end(self) -> None:
        if self._connections:
            self._connections.close()
        if self._started:
            self._started.stop()
        self._to(State.ENDED)

    def _to(self, state: State) -> bool:
        """Change the state, unless it is on its way out; False then."""
        with self._changed:
            if self.state == State.LEAVING and state != State.ENDED:
                return False
            self.state = state
            self._changed.notify_all()
        return True
