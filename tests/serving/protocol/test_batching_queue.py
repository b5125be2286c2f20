"""Dynamic batching, §9: requests that wait. Full queues, clients that leave, deadlines, other models, the server's end.

A batch that waits ten minutes is taken only when it is full.
"""

import json
import signal
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from select import select
from typing import Any

import pytest

from ..batched import TEN_MINUTES, ask, copy_with, outputs, parameters
from ..grpc_calls import GrpcCalls, calls, outcome, request
from ..savedmodels import SavedModels
from ..served import Served, until
from .test_config_file import configuration, entry

FULL = "The batch scheduling queue to which this task was submitted is full"
SLOW = json.dumps({"signature_name": "slow", "inputs": {"seconds": [2.0]}})
TOO_LATE = "Run() timeout exceeded while waiting in batching queue"


def _fill_queue(server: Served, grpc_calls: GrpcCalls, aside: Callable[..., "Future[Any]"]) -> "Future[Any]":
    """One row waits, of two: two more do not fit beside it."""
    one_row = request("m", "rows", x=[1.0])
    return _queued(lambda: aside(outcome, grpc_calls.predict, one_row), Future.done, lambda: _is_full(grpc_calls))


def _queued(send: Callable[[], Any], ended: Callable[[Any], bool], is_full: Callable[[], bool]) -> Any:
    """What `send` sends, once it waits. While it has not come, who asks `is_full` is a full batch, and may be in its
    place when it comes; it is refused then, and sent again."""
    while True:
        sent = send()
        until(lambda: ended(sent) or is_full(), "a full queue")  # noqa: B023  (called at once)
        if not ended(sent):
            return sent


def _is_full(grpc_calls: GrpcCalls) -> bool:
    return outcome(grpc_calls.predict, request("m", "rows", x=[2.0, 3.0]))[0] == "UNAVAILABLE"


def _until_empty(grpc_calls: GrpcCalls) -> None:
    until(lambda: outcome(grpc_calls.predict, request("m", "rows", x=[2.0, 3.0]))[0] == "OK", "an empty queue")


TWO_ROWS = {"max_batch_size": 2, "max_enqueued_batches": 1, "batch_timeout_micros": TEN_MINUTES}


def test_full_queue(batched, aside) -> None:
    """§9.3: UNAVAILABLE; other queues have room; what waits is answered when its batch is full."""
    server = batched(**TWO_ROWS)
    with calls(server.grpc_port) as grpc_calls:
        waiting = _fill_queue(server, grpc_calls, aside)
        answer = ask(server, "rows", x=[2.0, 3.0])
        assert (answer.status, answer.error[: len(FULL)]) == (503, FULL)
        assert ask(server, "content", x=[2.0, 3.0]).status == 200
        assert outputs(ask(server, "rows", x=[4.0]))["rows"] == [2]
        assert waiting.result()[0] == "OK"


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_clients_that_leave_free_their_place(batched, protocol: str) -> None:
    """Ours: a closed connection, a cancelled call."""
    server = batched(**TWO_ROWS)
    with calls(server.grpc_port) as grpc_calls:
        if protocol == "rest":
            _queued(lambda: _asked(server), _is_answered, lambda: _is_full(grpc_calls)).close()
        else:
            predict, one_row = grpc_calls.prediction.Predict, request("m", "rows", x=[1.0])
            _queued(lambda: predict.future(one_row), lambda call: call.done(), lambda: _is_full(grpc_calls)).cancel()
        _until_empty(grpc_calls)


def _asked(server: Served) -> HTTPConnection:
    connection = server.connection()
    connection.request("POST", "/v1/models/m:predict", '{"signature_name": "rows", "inputs": [1.0]}')
    return connection


def _is_answered(connection: HTTPConnection) -> bool:
    return bool(select([connection.sock], [], [], 0)[0])


def test_deadline_in_the_queue(batched) -> None:
    """§9.3: RESOURCE_EXHAUSTED over REST, where the server's clock runs; its place is free then."""
    server = batched("--rest_api_timeout_in_ms=200", **TWO_ROWS)
    answer = ask(server, "rows", x=[1.0])
    assert (answer.status, answer.error) == (429, TOO_LATE)
    with calls(server.grpc_port) as grpc_calls:
        late = outcome(grpc_calls.predict, request("m", "rows", x=[1.0]), timeout=0.2)
        assert late[0] in ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")  # whoever looks at the clock first
        assert outcome(grpc_calls.predict, request("m", "rows", x=[2.0, 3.0]))[0] == "OK"


def test_waiting_blocks_nobody_else(serve, tmp_path: Path, batch_model: Path, aside) -> None:
    """§9.4: a model whose version has no batching_params.pbtxt is not batched; forty waiting for one that has do not
    keep it from answering, small requests or large ones."""
    base = tmp_path / "patient"
    base.mkdir()
    (base / "1").symlink_to(batch_model / "1")
    own = tmp_path / "own"
    copy_with(batch_model / "1", own / "1", parameters(max_batch_size=41, batch_timeout_micros=TEN_MINUTES))
    (tmp_path / "models").write_text(configuration(entry("plain", base), entry("m", own)))
    flags = ("--enable_batching", "--enable_per_model_batching_parameters")
    server = serve("m", "", f"--model_config_file={tmp_path / 'models'}", *flags)
    waiting = [aside(ask, server, "rows", x=[float(number)]) for number in range(40)]
    for size in (1, 10_000):
        sent = {"signature_name": "rows", "inputs": [1.0] * size}
        answer = server.ask("POST", "/v1/models/plain:predict", sent)
        assert answer.json["outputs"] == {"rows": [size] * size, "x": [1.0] * size}
    outputs(ask(server, "rows", x=[0.0]))
    assert {outputs(each.result())["rows"][0] for each in waiting} == {41}


@pytest.fixture
def two_models(batched, batch_model: Path, tmp_path: Path) -> Callable[..., Served]:
    """`two_models(**wrapped)`: a server that batches for the models `m` and `other`."""

    def started(**wrapped: int) -> Served:
        (tmp_path / "models").write_text(configuration(entry("m", batch_model), entry("other", batch_model)))
        return batched(f"--model_config_file={tmp_path / 'models'}", **wrapped)

    return started


def ask_other(server: Served, signature: str, **inputs: Any) -> Any:
    sent = {"signature_name": signature, "inputs": inputs}
    return server.ask("POST", "/v1/models/other:predict", sent).json["outputs"]


def test_one_pool_of_threads_for_all_models(two_models) -> None:
    """§9.1: the only thread runs one model's batch, so the other model's request is answered after it."""
    server = two_models(num_batch_threads=1)

    def waits_for_the_other_model() -> bool:
        with closing(server.connection()) as busy:
            busy.request("POST", "/v1/models/m:predict", SLOW)  # sent when the other one is not yet
            ask_other(server, "rows", x=[1.0])
            was_before, _, _ = select([busy.sock], [], [], 1.0)  # its client may hear of it a little later
            return busy.getresponse().status == 200 and bool(was_before)

    until(waits_for_the_other_model, "the other model's request waited for the thread")


def test_a_busy_model_does_not_starve_another(two_models, aside) -> None:
    """Ours: queues take turns, so who comes to a free queue is next, however many wait in a full one."""
    server = two_models(num_batch_threads=1, max_batch_size=1, max_enqueued_batches=100)
    busy = [aside(ask, server, "slow", seconds=[0.2]) for _ in range(30)]
    until(lambda: busy[0].done(), "they are being answered")
    assert ask_other(server, "rows", x=[1.0])["rows"] == [1]
    assert not all(each.done() for each in busy), "the others still wait"
    assert {each.result().status for each in busy} == {200}


def test_a_signal_drains_the_queue(batched, aside) -> None:
    """[deviation §13] What waits when the signal comes is answered."""
    server = batched(**TWO_ROWS | {"batch_timeout_micros": 4_000_000})
    with calls(server.grpc_port) as grpc_calls:
        over_grpc = _fill_queue(server, grpc_calls, aside)
        over_rest = _queued(
            lambda: aside(ask, server, "checked", x=[1.0]),
            Future.done,
            lambda: ask(server, "checked", x=[2.0, 3.0]).status == 503,
        )
        server.terminate(signal.SIGTERM)
        assert outputs(over_rest.result()) == [1.0]
        assert over_grpc.result()[0] == "OK"
        assert server.exit_status(30) == 0


def test_a_batch_that_never_fills_does_not_hold_up_the_end(batched, aside) -> None:
    """Ours: --drain_seconds bounds the wait of the queue, too."""
    server = batched("--drain_seconds=1", **TWO_ROWS)
    with calls(server.grpc_port) as grpc_calls:
        waiting = _fill_queue(server, grpc_calls, aside)
        server.terminate(signal.SIGTERM)
        assert server.exit_status(30) == 0
        assert waiting.result()[0] != "OK"


def test_a_version_is_unloaded_when_its_queue_is_empty(serve, saved_models: SavedModels, tmp_path: Path, aside) -> None:
    """§6, §9: requests that wait are answered by the version they came for."""
    base, file = tmp_path / "half", tmp_path / "batching"
    saved_models.add_version(base, "1")
    file.write_text(parameters(max_batch_size=10, batch_timeout_micros=5_000_000))
    server = serve("half", base, "--enable_batching", f"--batching_parameters_file={file}")
    waiting = aside(server.predict, {"instances": [1.0]}, version=1)
    saved_models.add_version(base, "2", plus=3)
    until(lambda: server.states().get(2) == "AVAILABLE", "version 2")
    assert waiting.result().json == {"predictions": [2.5]}
    until(lambda: server.states().get(1) == "END", "version 1 is gone")
