"""tensorflow.ProfilerService, which TensorBoard's "Capture profile" and `tf.profiler.experimental.client` ask.

Messages and their meaning are those of TensorFlow's profiler_service.proto. A profile is written by the server, into
the folder that the client names; both must see the same disk.
"""

import asyncio
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from labkit.serving.embedded.grpc_requests import Context, parsed
from labkit.serving.embedded.grpc_services import answering
from labkit.serving.embedded.status import Code, StatusError, invalid_argument

_SERVICE = "/tensorflow.ProfilerService/"
_LEVELS = ("host_tracer_level", "device_tracer_level")  # upstream has no Python that python_tracer_level could trace
_SURELY_EVENTS = 65_536  # bytes; a smaller file is looked into


class ProfilerService(grpc.GenericRpcHandler):
    """Profile and Terminate. One profile at a time; nothing is loaded before the first."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._running: tuple[str, threading.Event] | None = None  # the session's name, and what ends it early
        self._handlers = {
            _SERVICE + name: grpc.unary_unary_rpc_method_handler(answering(method))
            for name, method in {"Profile": self._profile, "Terminate": self._terminate}.items()
        }

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        """The handler of one call; None makes gRPC answer UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)

    def finish(self) -> None:
        """End the profile in the making early: its client gets what there is."""
        if self._running:
            self._running[1].set()

    async def _profile(self, message: bytes, context: Context) -> bytes:
        request = parsed(_messages().profile_request, message)
        if self._running:
            raise StatusError(Code.INTERNAL, "Another profiling session active.")
        stop, left = threading.Event(), threading.Event()
        self._running = (request.session_id, stop)
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="profiler")
        running = asyncio.get_running_loop().run_in_executor(self._thread, _record, request, stop, left)
        running.add_done_callback(self._ended)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:  # the client went away
            left.set()
            stop.set()
            raise

    def _ended(self, running: asyncio.Future[Any]) -> None:
        self._running = None
        running.exception()  # also heard if the client left

    async def _terminate(self, message: bytes, context: Context) -> bytes:
        session_id = parsed(_messages().terminate_request, message).session_id
        if self._running and self._running[0] == session_id:
            self.finish()
        return b""


def _record(request: Any, stop: threading.Event, left: threading.Event) -> bytes:
    """Record for as long as `request` says or until `stop`; the answer. Nothing is kept for a client that `left`."""
    from tensorflow.tsl.profiler.protobuf.profiler_options_pb2 import ProfileOptions

    from labkit.serving.embedded.profiler_session import Recording

    options = parsed(ProfileOptions, request.opts)
    place = None if request.emit_xspace else _place(request)
    _wait(stop, options.start_timestamp_ns / 1e9 - time.time() if options.start_timestamp_ns else 0.0)
    # Options without a version are unset ones; the defaults count then.
    recording = Recording({level: getattr(options, level) for level in _LEVELS} if options.version else {})
    try:
        _wait(stop, options.duration_ms / 1e3)
        return b"" if left.is_set() else _answer(recording.stop(), place)
    finally:
        recording.discard()


def _wait(stop: threading.Event, seconds: float) -> None:
    if seconds > 0:
        stop.wait(min(seconds, threading.TIMEOUT_MAX))


def _answer(recorded: Path, place: Path | None) -> bytes:
    response = _messages().profile_response(empty_trace=_is_empty(recorded))
    if place is None:
        response.xspace = recorded.read_bytes()
        return response.SerializeToString()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(recorded, place)
    except OSError as error:
        raise StatusError(
            Code.INTERNAL, f"The profile cannot be written to {place}, as seen by the server: {error.strerror}"
        ) from None
    return response.SerializeToString()


def _is_empty(recorded: Path) -> bool:
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    if recorded.stat().st_size > _SURELY_EVENTS:
        return False
    return not any(line.events for plane in XSpace.FromString(recorded.read_bytes()).planes for line in plane.lines)


def _place(request: Any) -> Path:
    """Where the client wants its profile: one file for each host, in a folder for each session."""
    names = (request.session_id, f"{request.host_name.replace(':', '_')}.xplane.pb")
    root = request.repository_root
    if "://" in root or "\0" in root or not Path(root).is_absolute():
        raise invalid_argument(
            f"The profile is to be written to {root!r}; this server writes to absolute paths of its own machine only."
        )
    for name in names:
        if name != Path(name).name or name == ".." or "\0" in name:
            raise invalid_argument(f"{name!r} is to be the name of a file or folder in the profile's folder")
    return Path(root, *names)


class _Messages(NamedTuple):
    profile_request: Any
    profile_response: Any
    terminate_request: Any


@cache
def _messages() -> _Messages:
    """The service's messages, as far as they are used here; TensorFlow's wheel does not bring them for Python.

    Messages inside them stay bytes: on the wire that is the same.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="labkit/profiler.proto", package="tensorflow", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    text, data, truth = kinds.TYPE_STRING, kinds.TYPE_BYTES, kinds.TYPE_BOOL
    for name, fields in {
        "ProfileRequest": {
            "opts": (4, data),
            "repository_root": (5, text),
            "session_id": (6, text),
            "host_name": (7, text),
            "emit_xspace": (9, truth),
        },
        "ProfileResponse": {"empty_trace": (7, truth), "xspace": (8, data)},
        "TerminateRequest": {"session_id": (1, text)},
    }.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(name=field, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = [pool.FindMessageTypeByName(f"tensorflow.{message.name}") for message in file.message_type]
    return _Messages(*map(message_factory.GetMessageClass, found))
