"""tensorflow.ProfilerService, which TensorBoard's "Capture profile" asks (§11.2)."""

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from ..grpc_calls import GrpcCalls, calls, failure, outcome
from ..served import Served, until

SERVICE = "/tensorflow.ProfilerService/"
TEN_MINUTES = 600_000  # milliseconds
ASK = {"signature_name": "matmul", "inputs": [[1.0, 2.0, 3.0]]}
ANSWER = {"outputs": [[6.0, 6.0]]}


@pytest.fixture(scope="module")
def profiled(saved_models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("server"), "many", saved_models.many) as server:
        yield server


@pytest.fixture
def grpc_calls(profiled: Served) -> Iterator[GrpcCalls]:
    with calls(profiled.grpc_port) as made:
        yield made


def options(milliseconds: int, **levels: int) -> bytes:
    """ProfileOptions; with levels they have a version, without which levels do not count."""
    from tensorflow.tsl.profiler.protobuf.profiler_options_pb2 import ProfileOptions

    return ProfileOptions(duration_ms=milliseconds, version=1 if levels else 0, **levels).SerializeToString()


def message(**fields: str | bytes | bool) -> bytes:
    """The service's messages by hand, in the wire format: Python has no classes for them."""
    numbers = {"opts": 4, "repository_root": 5, "session_id": 6, "host_name": 7, "emit_xspace": 9, "terminate": 1}
    made = b""
    for name, value in fields.items():
        if isinstance(value, bool):
            made += bytes([numbers[name] << 3, value])
        else:
            data = value.encode() if isinstance(value, str) else value
            assert len(data) < 128, "one byte says how long it is"
            made += bytes([numbers[name] << 3 | 2, len(data)]) + data
    return made


def profile(grpc_calls: GrpcCalls, milliseconds: int = 1, levels: dict[str, int] | None = None, **fields: Any) -> Any:
    """A profile in the making: the call's future."""
    given = {"session_id": "one", "host_name": "h:1", **fields, "opts": options(milliseconds, **(levels or {}))}
    if "repository_root" not in given:
        given["emit_xspace"] = True
    return grpc_calls.channel.unary_unary(SERVICE + "Profile").future(message(**given), timeout=60)


def terminate(grpc_calls: GrpcCalls, session: str) -> bytes:
    return grpc_calls.channel.unary_unary(SERVICE + "Terminate")(message(terminate=session), timeout=60)


def is_busy(grpc_calls: GrpcCalls) -> bool:
    code, text = outcome(profile(grpc_calls).result)
    if code != "OK":
        assert (code, text) == ("INTERNAL", "Another profiling session active.")
    return code != "OK"


def running(grpc_calls: GrpcCalls, root: Path) -> Any:
    """A profile that is being made, until somebody ends it: it refuses others. (Unless those were first.)"""
    while True:
        made = profile(grpc_calls, TEN_MINUTES, repository_root=str(root))
        until(lambda made=made: made.done() or is_busy(grpc_calls), "it runs, or was refused")
        if not made.done():
            return made


def events(data: bytes) -> set[str]:
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    return {
        plane.event_metadata[event.metadata_id].name
        for plane in XSpace.FromString(data).planes
        for line in plane.lines
        for event in line.events
    }


class Asking:
    """Requests, one after the other, as long as the block lasts; all must be answered."""

    def __init__(self, server: Served) -> None:
        self._server, self._done, self._answers = server, threading.Event(), []
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._done.is_set():
            self._answers.append(self._server.predict(ASK).json)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        assert self._answers
        assert all(answer == ANSWER for answer in self._answers)


@pytest.mark.parametrize("runtime", ["c_api", "python"])
def test_a_trace_as_users_make_it(serve, saved_models, tmp_path: Path, runtime: str) -> None:
    """§11.2: TensorFlow's own client writes a profile that shows the model's operations; requests are answered."""
    import tensorflow as tf

    server = serve("many", saved_models.many, f"--tensorflow_runtime={runtime}")
    with Asking(server):
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)  # operations that are cheap, too
        tf.profiler.experimental.client.trace(
            f"grpc://127.0.0.1:{server.grpc_port}", str(tmp_path), 300, options=options
        )
    (written,) = tmp_path.rglob("*.xplane.pb")
    assert written.name == f"127.0.0.1_{server.grpc_port}.xplane.pb"
    assert written.parent.parent == tmp_path / "plugins" / "profile", "where TensorBoard looks"
    assert any(name.startswith("product:") for name in events(written.read_bytes())), "the matmul's name"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not tell what a process has loaded")
def test_nothing_is_loaded_before_the_first(serve, saved_models) -> None:
    """§11.2: who does not profile pays nothing for it; who does, no import of Python TensorFlow."""
    server = serve("half", saved_models.half_plus[2], "--tensorflow_runtime=c_api")

    def loaded() -> set[str]:
        return {Path(found.path).name.split(".")[0] for found in psutil.Process(server.process.pid).memory_maps()}

    assert "_pywrap_profiler" not in loaded()
    with calls(server.grpc_port) as grpc_calls:
        profile(grpc_calls).result()
    assert "_pywrap_profiler" in loaded()
    assert {name for name in loaded() if name.startswith("_pywrap")} == {
        "_pywrap_profiler",
        "_pywrap_py_exception_registry",
    }


def test_an_answer_with_the_profile_in_it(profiled: Served, grpc_calls: GrpcCalls) -> None:
    """§11.2: emit_xspace; the answer's field 8 holds it, field 7 says whether anything happened."""
    with Asking(profiled):
        answer = profile(grpc_calls, 300).result()
        nothing = profile(grpc_calls, 300, {"host_tracer_level": 0, "device_tracer_level": 0}).result()
    assert b"SessionRun" in answer
    assert nothing.startswith(bytes([7 << 3, 1])), "empty_trace: the levels are those that were asked for"
    assert not answer.startswith(bytes([7 << 3, 1]))


def test_the_python_tracer(profiled: Served, grpc_calls: GrpcCalls) -> None:
    """An option that TensorBoard offers: here there is no model in Python, but it must not hurt."""
    levels = {"host_tracer_level": 3, "python_tracer_level": 1}  # 3 also shows operations that proved to be cheap
    with Asking(profiled):
        assert b"product:" in profile(grpc_calls, 300, levels).result()


def test_terminate(grpc_calls: GrpcCalls, tmp_path: Path) -> None:
    """§11.2: Terminate ends the session it names, early; that one is written. One profile at a time."""
    first = running(grpc_calls, tmp_path)
    assert terminate(grpc_calls, "another") == b""
    assert all(is_busy(grpc_calls) for _ in range(200)), "that was somebody else's"
    assert terminate(grpc_calls, "one") == b""
    first.result()
    assert (tmp_path / "one" / "h_1.xplane.pb").is_file()
    assert not is_busy(grpc_calls)


@pytest.mark.parametrize(
    ("fields", "code", "part"),
    [
        ({"repository_root": "logs"}, "INVALID_ARGUMENT", "'logs'"),
        ({"repository_root": ""}, "INVALID_ARGUMENT", "absolute paths"),
        ({"repository_root": "gs://bucket/logs"}, "INVALID_ARGUMENT", "gs://bucket/logs"),
        ({"repository_root": "{folder}", "session_id": ".."}, "INVALID_ARGUMENT", "'..'"),
        ({"repository_root": "{folder}", "session_id": "../other"}, "INVALID_ARGUMENT", "'../other'"),
        ({"repository_root": "{folder}", "host_name": "../../host"}, "INVALID_ARGUMENT", "'../../host.xplane.pb'"),
        ({"repository_root": "{folder}", "session_id": "o\0ne"}, "INVALID_ARGUMENT", r"'o\x00ne'"),
        ({"repository_root": "{folder}\0"}, "INVALID_ARGUMENT", "absolute paths"),
        ({"repository_root": "{folder}/file"}, "INTERNAL", "{folder}/file/one/h_1.xplane.pb, as seen by the server"),
    ],
)
def test_wrong_places(grpc_calls: GrpcCalls, tmp_path: Path, fields: dict[str, str], code: str, part: str) -> None:
    """§11.2: a client names the folder; it cannot name others than it says, and hears what is wrong."""
    (tmp_path / "file").write_text("no folder")
    given = {key: value.format(folder=tmp_path) for key, value in fields.items()}
    ended, text = failure(profile(grpc_calls, **given).result)
    assert ended == code
    assert part.format(folder=tmp_path) in text
    assert [child.name for child in tmp_path.rglob("*")] == ["file"], "nothing was written"
    assert not is_busy(grpc_calls), "the next one may come"


def test_bytes_that_are_no_message(grpc_calls: GrpcCalls) -> None:
    """§11.2: the sender is to blame, for both calls; also for options inside."""
    for method, data in (("Profile", b"\xff"), ("Terminate", b"\xff"), ("Profile", message(opts=b"\xff"))):
        code, text = failure(grpc_calls.channel.unary_unary(SERVICE + method), data, timeout=60)
        assert (code, text[:21]) == ("INVALID_ARGUMENT", "The message is not a "), method
    assert not is_busy(grpc_calls)


def test_a_client_that_leaves(grpc_calls: GrpcCalls, tmp_path: Path) -> None:
    """Ours: its profile ends with it, nothing is written, and the next one can start."""
    running(grpc_calls, tmp_path).cancel()
    until(lambda: not is_busy(grpc_calls), "it has ended")
    assert not list(tmp_path.iterdir())


def test_a_signal_ends_a_profile(serve, saved_models, tmp_path: Path) -> None:
    """§11.2, §13: a drain does not wait for it; what was recorded is written."""
    server = serve("half", saved_models.half_plus[2], "--drain_seconds=600")
    with calls(server.grpc_port) as grpc_calls:
        profiling = running(grpc_calls, tmp_path)
        server.terminate(signal.SIGTERM)
        profiling.result()
        assert server.exit_status(30) == 0
    assert (tmp_path / "one" / "h_1.xplane.pb").is_file()


def test_what_is_not_there(serve, saved_models, grpc_calls: GrpcCalls) -> None:
    """§1.4 enable_profiler: without it there is no such service; and with it no Monitor, which is for TPUs."""
    monitor = grpc_calls.channel.unary_unary(SERVICE + "Monitor")
    assert failure(monitor, b"", timeout=60)[0] == grpc.StatusCode.UNIMPLEMENTED.name
    server = serve("half", saved_models.half_plus[2], "--enable_profiler=false")
    with calls(server.grpc_port) as others:
        assert failure(profile(others).result)[0] == grpc.StatusCode.UNIMPLEMENTED.name
