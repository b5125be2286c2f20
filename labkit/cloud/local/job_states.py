"""States of jobs and pipelines: how they follow each other, and how a client waits for the last one."""

from typing import Any

import grpc
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.resources import now
from labkit.cloud.local.status import ApiError, invalid, unmet

# A client asks, and sleeps five seconds if the job is not done. So its question is held, and answered once it is.
HOLD_SECONDS = 4.5
_FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


def is_in(job: Any, *words: str) -> bool:
    """Whether the state of a job or pipeline is one of `words`, as in ``RUNNING``."""
    return job.state.name.partition("_STATE_")[2] in words


def is_final(job: Any) -> bool:
    """Whether nothing more will happen to a job or pipeline."""
    return is_in(job, *_FINAL)


def move(cloud: LocalCloud, job: Any, word: str, error: ApiError | None = None) -> None:
    """Put a job or pipeline in the next state, with the times that go with it; a final state stays.

    Args:
        cloud: where it is kept.
        job: the stored message.
        word: the state's name behind its enum's, as in ``RUNNING``.
        error: why it failed or was cancelled.
    """
    with cloud.resources.lock:
        if is_final(job) or (word == "RUNNING" and is_in(job, "CANCELLING")):
            return
        job.state = next(state for state in type(job.state) if state.name.endswith(f"_STATE_{word}"))
        if word == "RUNNING" and not job.start_time:
            job.start_time = now()
        if word in _FINAL:
            job.end_time = now()
        if error is not None:
            job.error = error.proto()
        cloud.resources.changed(job)


def finish(cloud: LocalCloud, job: Any, error: ApiError | None) -> None:
    """Put a job or pipeline in the final state that an error means, or none."""
    if error is None:
        move(cloud, job, "SUCCEEDED")
    else:
        move(cloud, job, "CANCELLED" if error.code is grpc.StatusCode.CANCELLED else "FAILED", error)


def cancelled(cloud: LocalCloud, job: Any) -> None:
    """Put a job or pipeline in the state of one that was cancelled."""
    finish(cloud, job, ApiError(grpc.StatusCode.CANCELLED, "CANCELED"))


def get(cloud: LocalCloud, name: str, kind: type) -> Any:
    """A job or pipeline as it is now.

    Raises:
        ApiError: NOT_FOUND, there is none; INVALID_ARGUMENT, the name is of something else.
    """
    job = cloud.resources.get(name)
    if not isinstance(job, kind):
        raise invalid(f"{name!r} is not the name of a {kind.__name__}.")
    return job


def get_when_final(cloud: LocalCloud, name: str, kind: type) -> Any:
    """A job or pipeline once nothing more happens to it, or as it is when we have waited long enough."""
    job = get(cloud, name, kind)
    cloud.resources.wait(lambda: is_final(job) or cloud.stopping.is_set(), HOLD_SECONDS)
    return job


def cancel(cloud: LocalCloud, name: str, kind: type) -> empty_pb2.Empty:
    """Ask for the end of a job or pipeline; what runs it sees its state.

    Raises:
        ApiError: FAILED_PRECONDITION, it is done.
    """
    job = get(cloud, name, kind)
    with cloud.resources.lock:
        if is_final(job):
            raise unmet(f"{name} is in the state {job.state.name}; only what is not done can be cancelled.")
        move(cloud, job, "CANCELLING")
    return empty_pb2.Empty()


def delete(cloud: LocalCloud, name: str, kind: type) -> operations_pb2.Operation:
    """Forget a job or pipeline that is done.

    Raises:
        ApiError: FAILED_PRECONDITION, it is not done.
    """
    job = get(cloud, name, kind)
    if not is_final(job):
        raise unmet(f"{name} is in the state {job.state.name}; cancel it, or wait until it is done.")

    def work() -> empty_pb2.Empty:
        cloud.resources.remove(name)
        return empty_pb2.Empty()

    return cloud.operations.start("/".join(name.split("/")[:4]), types.DeleteOperationMetadata(), work)
