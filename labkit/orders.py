"""Orders to a child process over a socket, one JSON object a line, each with a number; its answers bear the same."""

import itertools
import json
import socket
import threading
from collections.abc import Callable
from typing import Any


class Orders:
    """This process's end.

    Attributes:
        theirs: the child's end, to be passed on and then closed here.
    """

    def __init__(self, timeout: float) -> None:
        """`timeout` is how many seconds an answer may take."""
        self._ours, self.theirs = socket.socketpair()
        self._ours.settimeout(timeout)
        self._lines = self._ours.makefile("rb")  # one for both ways would forget what it has read ahead at each write
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def ask(self, *, dropped: Callable[[dict[str, Any]], object] = lambda answer: None, **order: Any) -> dict[str, Any]:
        """The answer to an order.

        Args:
            dropped: is given the answers to orders that were interrupted, as by Ctrl-C, when they have come.
            order: what it says.

        Raises:
            ConnectionError: the child is gone, or silent.
        """
        with self._lock:
            number = next(self._numbers)
            try:
                self._ours.sendall(json.dumps({"number": number, **order}).encode() + b"\n")
                while (answer := json.loads(self._lines.readline()))["number"] != number:
                    dropped(answer)
            except (OSError, ValueError) as error:  # a closed file and an empty line are ValueErrors
                raise ConnectionError(f"no answer: {error}") from error
            return answer

    def close(self) -> None:
        """Close this end, which ends a child that waits for orders."""
        self._lines.close()
        self._ours.close()
