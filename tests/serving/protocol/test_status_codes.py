"""Canonical codes as HTTP statuses (§2.6). A request meets few of them, so here they are asked for directly."""

from labkit.serving.embedded.status import Code, StatusError

from ..served import Served

HTTP = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
}


def test_every_code_has_its_status() -> None:
    """§2.6."""
    assert {code.name: StatusError(code, "").http_status for code in Code} == HTTP


def test_a_model_that_wants_too_much_memory(many: Served) -> None:
    """§2.6: an operation's own code, here for four terabytes; the server lives on."""
    answer = many.predict({"signature_name": "grow", "inputs": 1_000_000})
    assert answer.status == 429
    assert answer.error.startswith("OOM when allocating tensor with shape[1000000,1000000]")
    assert many.predict({"instances": [1.0]}).status == 200
