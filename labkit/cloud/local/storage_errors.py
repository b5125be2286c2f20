"""What goes wrong in storage, in its own terms: an HTTP status, a reason, a message; as JSON, as XML, as plain text."""

import json
from xml.sax.saxutils import escape

import grpc

from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.status import ApiError

JSON = {"Content-Type": "application/json; charset=UTF-8"}
XML = {"Content-Type": "application/xml; charset=UTF-8"}
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    410: grpc.StatusCode.NOT_FOUND,
    412: grpc.StatusCode.FAILED_PRECONDITION,
    416: grpc.StatusCode.OUT_OF_RANGE,
    501: grpc.StatusCode.UNIMPLEMENTED,
}
_XML_CODES = {
    "bucketNotFound": ("NoSuchBucket", "The specified bucket does not exist."),
    "notFound": ("NoSuchKey", "The specified key does not exist."),
    "uploadNotFound": ("NoSuchUpload", "The requested upload was not found."),
    "conditionNotMet": ("PreconditionFailed", "At least one of the pre-conditions you specified did not hold."),
    "requestedRangeNotSatisfiable": ("InvalidRange", "The requested range cannot be satisfied."),
    "badDigest": ("BadDigest", "The checksum you specified did not match what we received."),
    "invalidPart": ("InvalidPart", "One or more of the specified parts could not be found."),
}


class StorageError(ApiError):
    """A request that storage refuses.

    Attributes:
        status: its HTTP status.
        reason: Google's word for it, as in ``notFound``.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(_CODES.get(status, grpc.StatusCode.INTERNAL), message)
        self.status = status
        self.reason = reason

    @property
    def http_status(self) -> int:
        return self.status

    def as_json(self) -> HttpAnswer:
        """The answer of the JSON API: https://cloud.google.com/storage/docs/json_api/v1/status-codes."""
        if self.status == 304:
            return HttpAnswer(304)
        reason = {"bucketNotFound": "notFound", "uploadNotFound": "notFound", "badDigest": "invalid"}.get(
            self.reason, self.reason
        )
        error = {"message": self.message, "domain": "global", "reason": reason}
        if self.reason == "conditionNotMet":
            error |= {"locationType": "header", "location": "If-Match"}
        content = {"error": {"code": self.status, "message": self.message, "errors": [error]}}
        return HttpAnswer(self.status, JSON, json.dumps(content).encode())

    def as_xml(self) -> HttpAnswer:
        """The answer of the XML API: https://cloud.google.com/storage/docs/xml-api/reference-status."""
        if self.status == 304:
            return HttpAnswer(304)
        code, message = _XML_CODES.get(self.reason, ("InvalidArgument", "Invalid argument."))
        text = (
            f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message>"
            f"<Details>{escape(self.message)}</Details></Error>"
        )
        return HttpAnswer(self.status, XML, text.encode())

    def as_text(self) -> HttpAnswer:
        """The answer to a download of the JSON API, which carries no JSON."""
        return HttpAnswer(self.status, {"Content-Type": "text/html; charset=UTF-8"}, self.message.encode())


def no_bucket() -> StorageError:
    """The bucket is not there."""
    return StorageError(404, "bucketNotFound", "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> StorageError:
    """The object is not there, or not in this generation."""
    return StorageError(404, "notFound", f"No such object: {bucket}/{name}")


def refused(message: str) -> StorageError:
    """The request is wrong."""
    return StorageError(400, "invalid", message)


def condition_not_met() -> StorageError:
    """A precondition does not hold."""
    return StorageError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
