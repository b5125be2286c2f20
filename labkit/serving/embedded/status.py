"""Canonical status codes: the one kind of error a client sees, over REST and over gRPC.

The HTTP numbers are TensorFlow Serving's (util/net_http, http_server.cc).
"""

from enum import IntEnum


class Code(IntEnum):
    """google.rpc.Code, which `tensorflow::error::Code` and `grpc.StatusCode` share."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_HTTP_STATUS = {
    Code.OK: 200,
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


class StatusError(Exception):
    """A request, a load or a start that ends with a canonical status.

    Attributes:
        code: the canonical code.
        message: what the client is told.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status that TensorFlow Serving answers with for this code."""
        return _HTTP_STATUS.get(self.code, 500)


def invalid_argument(message: str) -> StatusError:
    """The commonest of them: the request itself is wrong."""
    return StatusError(Code.INVALID_ARGUMENT, message)
