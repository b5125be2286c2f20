"""What goes wrong in the local cloud, in Google's own terms: a canonical status and a message."""

import grpc
from google.rpc import status_pb2

# https://cloud.google.com/apis/design/errors#handling_errors
HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class ApiError(Exception):
    """An answer that is an error.

    Attributes:
        code: its canonical status.
        message: its words.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status that stands for its code."""
        return HTTP_STATUS.get(self.code, 500)

    def proto(self) -> status_pb2.Status:
        """It as the message that operations and jobs carry."""
        return status_pb2.Status(code=self.code.value[0], message=self.message)


def invalid(message: str) -> ApiError:
    """The request is wrong, whatever the state of the cloud."""
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, message)


def unmet(message: str) -> ApiError:
    """The request is right, but not now: something must be done first."""
    return ApiError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unimplemented(what: str) -> ApiError:
    """What the request asks for is not part of the local cloud."""
    return ApiError(
        grpc.StatusCode.UNIMPLEMENTED, f"{what} is not part of the local cloud; docs/cloud.md lists what is."
    )


def not_found(message: str) -> ApiError:
    """What the request names is not there."""
    return ApiError(grpc.StatusCode.NOT_FOUND, message)
