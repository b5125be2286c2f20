"""Long-running operations: work that a call starts, and that its caller asks about until it is done."""

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import grpc
from google.longrunning import operations_pb2

from labkit.cloud.local.resources import new_id
from labkit.cloud.local.status import ApiError, not_found

# A client of Google's first asks after a second, and then less and less often. Most work here takes less than that, so
# the call that starts it waits for it; not for longer than REST clients wait for an answer.
HOLD_SECONDS = 60.0


def bare(message: Any) -> Any:
    """The protobuf message inside a proto-plus one, or the message itself."""
    return type(message).pb(message) if hasattr(type(message), "pb") else message


class Operations:
    """What runs and what has run."""

    def __init__(self, hold: float = HOLD_SECONDS) -> None:
        self._hold = hold
        self._changed = threading.Condition()
        self._by_name: dict[str, operations_pb2.Operation] = {}

    def start(self, parent: str, metadata: Any, work: Callable[[], Any]) -> operations_pb2.Operation:
        """Begin `work` in a thread and hand out the operation, done if the work is done within the time we hold.

        Args:
            parent: the resource or location whose operation it is, as in ``projects/p/locations/l``.
            metadata: the message that tells what kind of operation it is.
            work: returns the operation's response; an ApiError becomes the operation's error.
        """
        operation = operations_pb2.Operation(name=f"{parent}/operations/{new_id()}")
        operation.metadata.Pack(bare(metadata))
        with self._changed:
            self._by_name[operation.name] = operation
        threading.Thread(target=self._run, args=(operation, work), daemon=True).start()
        return self.wait(operation.name, self._hold)

    def _run(self, begun: operations_pb2.Operation, work: Callable[[], Any]) -> None:
        done = operations_pb2.Operation(name=begun.name, metadata=begun.metadata, done=True)
        try:
            done.response.Pack(bare(work()))
        except ApiError as error:
            done.error.CopyFrom(error.proto())
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            done.error.CopyFrom(ApiError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}").proto())
        with self._changed:
            if done.name in self._by_name:  # or it was forgotten meanwhile
                self._by_name[done.name] = done
            self._changed.notify_all()

    def get(self, name: str) -> operations_pb2.Operation:
        """An operation as it is now.

        Raises:
            ApiError: NOT_FOUND.
        """
        with self._changed:
            if name not in self._by_name:
                raise not_found(f"Operation {name} is not found.")
            return self._by_name[name]

    def wait(self, name: str, seconds: float) -> operations_pb2.Operation:
        """An operation once it is done, or as it is after `seconds`.

        Raises:
            ApiError: NOT_FOUND.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.get(name).done, timeout=seconds)
            return self.get(name)

    def list(self, parent: str) -> list[operations_pb2.Operation]:
        """All under a resource or location, newest first."""
        with self._changed:
            return [each for name, each in self._by_name.items() if name.startswith(parent + "/")][::-1]

    def forget(self, name: str) -> None:
        """Forget an operation; the work goes on.

        Raises:
            ApiError: NOT_FOUND.
        """
        with self._changed:
            self.get(name)
            del self._by_name[name]
