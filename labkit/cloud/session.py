"""A session with the cloud in one call: the local one, or the real one where a project is named."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from labkit import processes
from labkit.cloud import bucket_names, environment, sdk
from labkit.errors import CloudError, ProcessError, needs_extra

LOCAL_PROJECT = "labkit-local"
LABEL = "labkit"
LOCATION = "us-central1"
_LOCAL_RUN = "local"
_ENGINES = ("processes", "docker")
_NEEDED = ("google.cloud.aiplatform", "google.cloud.storage", "cryptography", "gcp_storage_emulator")
_READY = r"local cloud at 127\.0\.0\.1:(\d+)"
_ASK_SECONDS = 20.0

_current: "Cloud | None" = None


class Cloud:
    """A cloud that can be used until `stop`, the end of its `with` block, or the end of this Python process.

    Attributes:
        project: the project's id.
        location: the region.
        bucket: the name of a bucket that is there.
        labels: give them to everything you make (``labels=cloud.labels``): by them it is found again and removed.
        local: whether it is the one on this machine.
    """

    def __init__(
        self,
        project: str,
        location: str,
        bucket: str,
        run: str,
        *,
        local: bool,
        undo: ExitStack,
        log: Callable[[], str] = str,
    ) -> None:
        """Use `cloud`."""
        self.project = project
        self.location = location
        self.bucket = bucket
        self.labels: Mapping[str, str] = MappingProxyType({LABEL: run})
        self.local = local
        self._undo = undo
        self._log = log
        self._running = True

    @property
    def running(self) -> bool:
        """Whether it has not been stopped."""
        return self._running

    def logs(self) -> str:
        """What the local cloud has written so far; the real one's logs are in its console."""
        return self._log()

    def stop(self) -> None:
        """End it, and put this process's environment back as it was. Calling it again does nothing.

        The local cloud ends with all that is in it. From the real one everything with this session's `labels` is
        removed, models undeployed and jobs cancelled first; what was removed is printed.

        Raises:
            CloudError: something could not be removed from the real cloud; the message names it.
        """
        global _current
        if self._running:
            self._running = False
            if _current is self:
                _current = None
            self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        kind, state = "local" if self.local else "real", "running" if self._running else "stopped"
        return f"<Cloud {self.project!r} ({kind}), {state}>"


def cloud(
    project: str | None = None,
    *,
    location: str = LOCATION,
    bucket: str | None = None,
    containers: str = "processes",
    images: Mapping[str, Sequence[str]] = MappingProxyType({}),
    timeout: float = 60.0,
) -> Cloud:
    """Start a session with the cloud; Google's own SDK, unchanged, finds it.

    Without a project it is the local cloud: a process of this machine that stands in for `googleapis.com` until the
    session stops. Call it before anything in this process speaks gRPC over TLS, at best right after the imports. The
    SDK's report of each step is left out there (warnings are not); with the real cloud, where a step takes minutes,
    it is shown.

    A session that is still running, as when a cell is run again, is stopped first.

    Args:
        project: the id of a real project, by default what LABKIT_CLOUD_PROJECT says; None: the local cloud. A real one
            costs money: what does is printed, and you are asked (LABKIT_CLOUD_YES=1 answers yes).
        location: a region of the real service; the local cloud has all of them.
        bucket: the name of a bucket, by default one made for the session. With a real project it must be there, and
            stays there.
        containers: what the local cloud makes of a container: ``processes`` of this machine, or ``docker``.
        images: for processes: container image -> command that stands for it.
        timeout: seconds to wait until the local cloud answers.

    Raises:
        CloudError: it did not start; the message says what to do.
        EnvironmentProblem: Google's clients are not installed.
        ValueError: there is no such location, engine or bucket name.
    """
    global _current
    _check(location, bucket, containers, images)
    if _current is not None:
        _current.stop()
    project = project or os.environ.get("LABKIT_CLOUD_PROJECT")
    if project:
        from labkit.cloud import real

        _current = real.start(project, location, bucket)
    else:
        _current = start_local(location=location, bucket=bucket, containers=containers, images=images, timeout=timeout)
    return _current


def _check(location: str, bucket: str | None, containers: str, images: Mapping[str, Sequence[str]]) -> None:
    if containers not in _ENGINES:
        raise ValueError(f"containers is one of {', '.join(_ENGINES)}; got {containers!r}")
    if bucket is not None and not bucket_names.fits(bucket):
        raise ValueError(f"bucket={bucket!r}: a bucket's name, without gs://, has {bucket_names.RULE}")
    for image, words in images.items():
        if isinstance(words, str) or not words:
            raise ValueError(f'images[{image!r}] is {words!r}; a list of words is wanted, as in ["python", "train.py"]')
    if not re.fullmatch(r"[a-z]+-[a-z]+\d+", location):
        raise ValueError(f"location={location!r}: a region such as {LOCATION} or europe-west4 is wanted")
    check_installed()


def check_installed() -> None:
    """Check that Google's clients, and what the local cloud is made of, are there; looking imports none of it.

    Raises:
        EnvironmentProblem: one is not.
    """
    with needs_extra("labkit.cloud", "cloud"):
        for name in _NEEDED:
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)


def start_local(
    *,
    location: str = LOCATION,
    bucket: str | None = None,
    containers: str = "processes",
    images: Mapping[str, Sequence[str]] = MappingProxyType({}),
    timeout: float = 60.0,
) -> Cloud:
    """The local cloud, whatever the environment says; see `cloud`."""
    _check(location, bucket, containers, images)
    bucket = bucket or f"{LOCAL_PROJECT}-lab"
    # One folder as long as this process lives: gRPC reads the authorities that it trusts only once.
    folder = processes.folder() / "cloud"
    with ExitStack() as undo:
        process = undo.enter_context(_process(folder, bucket, containers, images, timeout))
        given = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        undo.enter_context(environment.changed(environment.of_local_cloud(given, folder)))
        undo.enter_context(sdk.fresh())
        undo.enter_context(sdk.quiet())
        _ask(location, process)
        return Cloud(LOCAL_PROJECT, location, bucket, _LOCAL_RUN, local=True, undo=undo.pop_all(), log=process.log)


def _process(
    folder: Path, bucket: str, containers: str, images: Mapping[str, Sequence[str]], timeout: float
) -> processes.ManagedProcess:
    command = [
        sys.executable,
        "-P",
        "-m",
        "labkit.cloud.local.main",
        "--folder",
        str(folder),
        "--project",
        LOCAL_PROJECT,
    ]
    command += ["--bucket", bucket, "--containers", containers]
    command += ["--images", json.dumps({image: list(words) for image, words in images.items()})]
    try:
        return processes.start(command, name="local cloud", ready=_READY, timeout=timeout)
    except ProcessError as error:
        raise CloudError(f"The local cloud did not start. {error}", error.log) from None


def _ask(location: str, process: processes.ManagedProcess) -> None:
    """Ask the local cloud something, as the SDK will: over gRPC, from this process.

    Raises:
        CloudError: it was not reached.
        ValueError: it has no such location.
    """
    import grpc

    try:
        _get_location(location)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise ValueError(f"location={location!r}: {error.details()}") from None
        if "CERTIFICATE_VERIFY_FAILED" in (error.details() or ""):
            raise CloudError(
                "This process takes no new certificates, because it spoke gRPC over TLS before: with another service, "
                "or with a local cloud of yesterday, whose certificate was for a day. Restart the kernel and call "
                "cloud() first.",
                process.log(),
            ) from None
        raise CloudError(
            f"The local cloud does not answer: {error.details()}\n{process.log()}", process.log()
        ) from None


def _get_location(location: str) -> Any:
    import grpc
    from google.cloud.location import locations_pb2

    with grpc.secure_channel(f"{location}-aiplatform.googleapis.com:443", grpc.ssl_channel_credentials()) as channel:
        ask = channel.unary_unary(
            "/google.cloud.location.Locations/GetLocation",
            request_serializer=locations_pb2.GetLocationRequest.SerializeToString,
            response_deserializer=locations_pb2.Location.FromString,
        )
        name = f"projects/{LOCAL_PROJECT}/locations/{location}"
        return ask(locations_pb2.GetLocationRequest(name=name), timeout=_ASK_SECONDS)
