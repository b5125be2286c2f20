"""Vertex AI's resources (models, endpoints, jobs, ...) by name, as the real services' own messages."""

import random
import threading
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf import timestamp_pb2

from labkit.cloud.local.listing import order, selects
from labkit.cloud.local.status import invalid, not_found


def new_id() -> str:
    """A resource id as Vertex AI makes them: 19 random digits."""
    return str(random.randrange(10**18, 10**19))


def now() -> timestamp_pb2.Timestamp:
    """This moment, as messages hold it."""
    moment = timestamp_pb2.Timestamp()
    moment.GetCurrentTime()
    return moment


class Resources:
    """A table of proto-plus messages by resource name.

    Attributes:
        lock: hold it while you read and then change a message that is in the table.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._change = threading.Condition(self.lock)
        self._by_name: dict[str, Any] = {}

    def add(self, message: Any) -> None:
        """Keep `message` under its name, with the times and the etag that its type has."""
        with self.lock:
            moment = now()
            for field in ("create_time", "update_time"):
                if field in type(message).meta.fields:
                    setattr(message, field, moment)
            self._by_name[message.name] = message
            self.changed(message)

    def changed(self, message: Any) -> None:
        """Give a message that was changed the time and a new etag, where its type has them."""
        with self.lock:
            fields = type(message).meta.fields
            if "update_time" in fields:
                message.update_time = now()
            if "etag" in fields:
                message.etag = f"{random.getrandbits(64):016x}"
            self._change.notify_all()

    def wait(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait until `done()` is true, which is asked after each change, or until `seconds` have passed."""
        with self._change:
            self._change.wait_for(done, seconds)

    def get(self, name: str) -> Any:
        """The message itself, not a copy.

        Raises:
            ApiError: NOT_FOUND, there is none.
        """
        with self.lock:
            if name not in self._by_name:
                raise not_found(f"{_kind(name)} {name} is not found.")
            return self._by_name[name]

    def remove(self, name: str) -> None:
        """Forget a message; one that is gone already is no error."""
        with self.lock:
            self._by_name.pop(name, None)

    def list(self, parent: str, kind: type, filter: str = "", order_by: str = "") -> list[Any]:
        """The messages of a kind under `parent` (``projects/p/locations/l``), newest first unless `order_by` says.

        Raises:
            ApiError: INVALID_ARGUMENT, `filter` or `order_by` is not understood.
        """
        with self.lock:
            found = [
                message
                for name, message in self._by_name.items()
                if isinstance(message, kind) and name.startswith(parent + "/") and selects(filter, message)
            ]
        return order(found[::-1], order_by)


def page(items: Iterable[Any], request: Any, response: Callable[..., Any], field: str) -> Any:
    """The part of `items` that a List request asks for, in its response's `field`.

    Raises:
        ApiError: INVALID_ARGUMENT, the page token is not one of ours.
    """
    everything = list(items)
    token = request.page_token or "0"
    if not token.isdecimal():
        raise invalid(f"Invalid page token {token!r}.")
    size = request.page_size if request.page_size > 0 else 100
    first, last = int(token), int(token) + size
    return response(**{field: everything[first:last], "next_page_token": str(last) if last < len(everything) else ""})


def _kind(name: str) -> str:
    collection = name.split("/")[-2] if name.count("/") else name
    singular = {"indexes": "index"}.get(collection, collection.removesuffix("s"))
    return singular[:1].upper() + singular[1:]
