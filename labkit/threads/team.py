"""The parent's side of the talk with measuring processes (`labkit.threads.child`): start, ask, and end them."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Self

from labkit import preloaded
from labkit.errors import MeasurementFailed
from labkit.processes import ManagedProcess
from labkit.waiting import wait_until

_START_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_KEY_SECONDS = 5.0  # a member says its key at once, a stranger may say nothing
_LOG_LINES = 20


class Member:
    """One measuring process, seen from here.

    Attributes:
        label: what it is called in messages.
        process: itself.
        arrived: whether it has reported.
    """

    def __init__(self, label: str, process: ManagedProcess, timeout: float) -> None:
        self.label = label
        self.process = process
        self.arrived = False
        self._timeout = timeout

    def answer_on(self, connection: socket.socket, lines: Any) -> None:
        """It is there and listens on this connection."""
        connection.settimeout(self._timeout)
        self._connection, self._lines = connection, lines
        self.arrived = True

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Its answer to an order.

        Raises:
            MeasurementFailed: what it was told to run failed, took too long or ended the process.
        """
        try:
            self._lines.write(json.dumps({"do": do, **order}) + "\n")
            self._lines.flush()
            line = self._lines.readline()
        except TimeoutError:
            raise MeasurementFailed(
                f"{self.label} gave no answer within {self._timeout:g} s and was ended. If it only needs longer, pass "
                "a larger `timeout`."
            ) from None
        except OSError:
            line = ""
        if not line:
            raise MeasurementFailed(f"The process of {self.label} {self._how_it_ended()}.\n{self.last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise MeasurementFailed(f"{self.label} failed: {answer['error']}")
        return answer

    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return not self.process.running

    def end(self) -> None:
        """Ends it, whatever it is doing."""
        if self.arrived:
            with suppress(OSError):  # what it was not told any more, because it had gone
                self._lines.close()
            self._connection.close()
        self.process.stop(grace=1.0)

    def last_words(self) -> str:
        """The end of what it wrote."""
        return "\n".join(self.process.log().strip().splitlines()[-_LOG_LINES:]) or "It wrote nothing."

    def _how_it_ended(self) -> str:
        with suppress(TimeoutError):
            wait_until(self.has_ended, timeout=5.0)
        return _in_words(self.process.exit_code)


def _in_words(status: int | None) -> str:
    if status is None:
        return "hung up"
    return f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"


_turn = threading.Lock()  # two teams at a time would disturb each other's times


class Team:
    """Processes that measure side by side; a context manager that leaves none of them running.

    There is one team at a time; the next waits.
    """

    def __init__(self, timeout: float) -> None:
        """Nobody is started yet.

        Args:
            timeout: seconds within which a member has to answer.
        """
        self._timeout = timeout
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(_LOOK_SECONDS)
        self._port = self._listening.getsockname()[1]
        self._at_the_end = ExitStack()  # all of it is done, even if some of it fails or is interrupted
        self._at_the_end.callback(self._listening.close)

    def __enter__(self) -> Self:
        self._at_the_end.enter_context(_turn)
        return self

    def __exit__(self, *exc: object) -> None:
        self._at_the_end.close()

    def add(self, label: str, env: Mapping[str, str]) -> Member:
        """A new process that has imported TensorFlow, in our folder, with this environment on top of ours.

        Raises:
            MeasurementFailed: it ended or did not report in time.
        """
        key = secrets.token_hex()
        command = ["-m", "labkit.threads.child", str(self._port), key]
        member = Member(label, preloaded.start(command, name="labkit-threads", env=env), self._timeout)
        self._at_the_end.callback(member.end)
        self._wait_for(member, key)
        return member

    def _wait_for(self, member: Member, key: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not member.arrived:
            if member.has_ended():
                raise MeasurementFailed(f"{member.label} ended before it could measure.\n{member.last_words()}")
            if time.monotonic() > deadline:
                raise MeasurementFailed(f"{member.label} did not start within {_START_SECONDS:g} s.")
            self._let_in(member, key)

    def _let_in(self, member: Member, key: str) -> None:
        try:
            connection, _ = self._listening.accept()
        except TimeoutError:
            return
        connection.settimeout(_KEY_SECONDS)
        lines = connection.makefile("rw")
        with suppress(OSError, ValueError, KeyError, TypeError):  # somebody else, who says something else
            if secrets.compare_digest(json.loads(lines.readline())["key"], key):
                member.answer_on(connection, lines)
        if not member.arrived:
            lines.close()
            connection.close()
