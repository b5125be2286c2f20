"""Dynamic batching, §9, through both protocols.

A batch that waits ten minutes is taken only when it is full: whoever is answered then was in it.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..batch_model import make_batch_model
from ..grpc_calls import GrpcCalls, calls, failure, outcome, request
from ..savedmodels import SavedModels
from ..served import Answer, Command, Served, until
from .predict_form_cases import COLUMNAR, ROW, SIGNATURES, body
from .predict_value_cases import ANSWERS, TYPES

TEN_MINUTES = 600_000_000
FULL = "The batch scheduling queue to which this task was submitted is full"
TOO_LATE = "Run() timeout exceeded while waiting in batching queue"


@pytest.fixture(scope="session")
def batch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_batch_model(tmp_path_factory.mktemp("batch_model"))


@pytest.fixture
def batched(serve, batch_model: Path, tmp_path: Path) -> Callable[..., Served]:
    """`batched(parameters, *flags, model=...)`: a server that batches; wrapped numbers as keywords."""

    def started(*flags: str, model: Path = batch_model, more: str = "", **wrapped: int | str) -> Served:
        file = tmp_path / "batching.pbtxt"
        file.write_text(parameters(more, **wrapped))
        return serve("m", model, "--enable_batching", f"--batching_parameters_file={file}", *flags)

    return started


@pytest.fixture
def aside() -> Iterator[Callable[..., "Future[Any]"]]:
    """`aside(function, *arguments)`: called in a thread of its own."""
    with ThreadPoolExecutor(64) as threads:
        yield threads.submit


def parameters(more: str = "", **wrapped: int | str) -> str:
    return "\n".join([*(f"{name} {{ value: {value} }}" for name, value in wrapped.items()), more])


def ask(server: Served, signature: str, **inputs: Any) -> Answer:
    return server.predict({"signature_name": signature, "inputs": inputs})


def outputs(answer: Answer) -> Any:
    assert answer.status == 200, answer.text
    return answer.json["outputs"]


def test_requests_run_together(batched, aside) -> None:
    """§9.1, §9.2: requests of both protocols share a run, each gets its own rows back."""
    server = batched(max_batch_size=4, batch_timeout_micros=TEN_MINUTES)
    with calls(server.grpc_port) as grpc_calls:
        first = aside(ask, server, "rows", x=[[1.0, 2.0]])
        second = aside(grpc_calls.predict, request("m", "rows", x=[[3.0, 4.0], [5.0, 6.0]]))
        third = aside(ask, server, "rows", x=[[7.0, 8.0]])
        assert outputs(first.result()) == {"rows": [4], "x": [[1.0, 2.0]]}
        assert outputs(third.result()) == {"rows": [4], "x": [[7.0, 8.0]]}
        assert list(second.result().outputs["x"].float_val) == [3.0, 4.0, 5.0, 6.0]
        assert list(second.result().outputs["rows"].int_val) == [4, 4]


def test_as_many_wait_as_come(batched, aside) -> None:
    """§9.1: the threads that answer requests do not bound a batch; many more clients wait than there are of them."""
    server = batched(max_batch_size=48, batch_timeout_micros=TEN_MINUTES)
    answers = [aside(ask, server, "rows", x=[float(number)]) for number in range(48)]
    for number, answer in enumerate(answers):
        assert outputs(answer.result()) == {"rows": [48], "x": [float(number)]}


def test_large_requests_wait_as_well(batched, aside) -> None:
    """§9.1: also those that are decoded in threads (over 16 KiB)."""
    server = batched(max_batch_size=24, batch_timeout_micros=TEN_MINUTES)
    rows = [[float(number)] * 10_000 for number in range(24)]
    answers = [aside(ask, server, "rows", x=[row]) for row in rows]
    for row, answer in zip(rows, answers, strict=True):
        assert outputs(answer.result()) == {"rows": [24], "x": [row]}


def test_classify_is_batched(batched, aside) -> None:
    """§9.1: every call that runs the model."""
    server = batched(max_batch_size=2, batch_timeout_micros=TEN_MINUTES)
    path, example = "/v1/models/m:classify", {"signature_name": "classify", "examples": [{"x": 2.0}]}
    first = aside(server.ask, "POST", path, example)
    second = aside(server.ask, "POST", path, example)
    assert first.result().json == second.result().json == {"results": [[["", 3.0]]]}


def test_a_batch_waits_no_longer_than_it_may(batched) -> None:
    """§9.1: batch_timeout_micros."""
    server = batched(max_batch_size=100, batch_timeout_micros=1000)
    assert outputs(ask(server, "rows", x=[1.0])) == {"rows": [1], "x": [1.0]}


def test_batches_form_while_threads_are_busy(batched, aside) -> None:
    """§9.1: batch_timeout_micros is 0, a free thread takes what there is; meanwhile the next batch fills."""
    server = batched(num_batch_threads=1)

    def rows_while_busy() -> bool:
        busy = aside(ask, server, "slow", seconds=[0.5])
        answers = [aside(ask, server, "rows", x=[float(number)]) for number in range(10)]
        assert busy.result().status == 200
        return max(outputs(answer.result())["rows"][0] for answer in answers) > 1

    until(rows_while_busy, "requests that waited for the thread were run together")


def test_answers_are_those_of_an_unbatched_server(batched, many: Served, saved_models: SavedModels, aside) -> None:
    """§9.2: every signature, type and error of §3, all at once; but for the errors of §9.3."""
    server = batched(model=saved_models.many, max_batch_size=64)
    cases = [*ROW, *COLUMNAR, *SIGNATURES, *TYPES, *ANSWERS]
    answers = [aside(server.predict, body(case.request)) for case in cases]
    unbatchable = 0
    for case, answer in zip(cases, (answer.result() for answer in answers), strict=True):
        expected = many.predict(body(case.request))
        if answer.text.replace('"m"', '"many"') != expected.text:
            assert answer.error.startswith(("Batch", "Tensors with name")), (case, answer.text, expected.text)
            unbatchable += 1
    assert unbatchable < len(cases) / 3, "most of them can be batched"


def test_32_clients_get_their_own_answers(batched, batch_model: Path, serve, aside) -> None:
    """§9.2."""
    plain, server = serve("m", batch_model), batched(max_batch_size=32)

    def one(number: int) -> bool:
        with calls(server.grpc_port) as grpc_calls:
            for turn in range(20):
                x = np.arange(turn % 3 + 1, dtype="float32")[:, None] + 100 * number + turn
                over_grpc = grpc_calls.predict(request("m", x=x)).outputs["y"]
                assert np.array_equal(over_grpc.float_val, (x / 2 + 2).ravel())
                answer = server.predict({"instances": x.tolist()})
                assert answer.json == {"predictions": (x / 2 + 2).tolist()}
        return answer.text == plain.predict({"instances": x.tolist()}).text

    assert all(client.result() for client in [aside(one, number) for number in range(32)])


def test_padding(batched, aside) -> None:
    """§9.2: a batch is filled up to an allowed size with the last request's first row, which nobody gets to see."""
    server = batched(max_batch_size=8, batch_timeout_micros=300_000, more="allowed_batch_sizes: [4, 8]")
    assert outputs(ask(server, "content", x=[1.0, 2.0, 3.0])) == [[1.0, 2.0, 3.0, 1.0]] * 3
    assert outputs(ask(server, "content", x=[1.0, 2.0, 3.0, 4.0])) == [[1.0, 2.0, 3.0, 4.0]] * 4

    def together() -> Any:
        first, second = (aside(ask, server, "content", x=x) for x in ([1.0, 2.0, 3.0], [5.0, 6.0]))
        contents = [*outputs(first.result()), *outputs(second.result())]
        return contents if len(contents[0]) == 8 else None

    contents = until(together, "both requests are in one batch")
    assert len(contents) == 5
    assert contents[0] in ([1.0, 2.0, 3.0, 5.0, 6.0, 5.0, 5.0, 5.0], [5.0, 6.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0])
    assert contents == contents[:1] * 5


def test_variable_length(batched, aside) -> None:
    """§9.1: pad_variable_length_inputs repeats an input's first element until all have the longest's shape."""
    server = batched(max_batch_size=2, batch_timeout_micros=TEN_MINUTES, more="pad_variable_length_inputs: true")
    short = aside(ask, server, "length", x=[[2.0]])
    long = aside(ask, server, "length", x=[[1.0, 1.0, 1.0]])
    assert outputs(short.result()) == {"size": [3], "y": [6.0]}
    assert outputs(long.result()) == {"size": [3], "y": [3.0]}


def test_large_batch_splitting(batched, aside) -> None:
    """§9.1: a request is spread over batches of max_execution_batch_size, and its answer is whole again."""
    server = batched(
        max_batch_size=10,
        max_execution_batch_size=4,
        batch_timeout_micros=TEN_MINUTES,
        enable_large_batch_splitting="true",
    )
    large = aside(ask, server, "rows", x=[float(number) for number in range(10)])
    small = aside(ask, server, "rows", x=[10.0, 11.0])
    assert outputs(large.result()) == {"rows": [4] * 10, "x": [float(number) for number in range(10)]}
    assert outputs(small.result()) == {"rows": [4, 4], "x": [10.0, 11.0]}
    answer = ask(server, "rows", x=[0.0] * 11)
    assert (answer.status, answer.error) == (400, "Task size 11 is larger than maximum input batch size 10")


@pytest.mark.parametrize(
    ("signature", "inputs", "status", "error"),
    [
        ("rows", {"x": 1.0}, 400, "Batching Run() input tensors must have at least one dimension"),
        ("pair", {"a": [1.0], "b": [1.0, 2.0]}, 400, "Batching Run() input tensors must have equal 0th-dimension size"),
        ("rows", {"x": [0.0] * 9}, 400, "Task size 9 is larger than maximum input batch size 8"),
        ("total", {"x": [1.0]}, 400, "Batched output tensor has 0 dimensions"),
        (
            "first_row",
            {"x": [1.0, 2.0]},
            400,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        ),
    ],
)
def test_requests_that_cannot_be_batched(
    eights: Served, signature: str, inputs: dict[str, Any], status: int, error: str
) -> None:
    """§9.3."""
    answer = ask(eights, signature, **inputs)
    assert (answer.status, answer.error) == (status, error)


@pytest.fixture(scope="module")
def eights(batch_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose batches have up to eight rows."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "batching").write_text(parameters(max_batch_size=8))
    flags = ("--enable_batching", f"--batching_parameters_file={folder / 'batching'}")
    with Served(folder, "m", batch_model, *flags) as server:
        yield server


def test_codes_over_grpc(eights: Served) -> None:
    """§9.3: INVALID_ARGUMENT and FAILED_PRECONDITION, which REST answers with the same number."""
    with calls(eights.grpc_port) as grpc_calls:
        assert failure(grpc_calls.predict, request("m", "rows", x=1.0))[0] == "INVALID_ARGUMENT"
        assert failure(grpc_calls.predict, request("m", "total", x=[1.0]))[0] == "FAILED_PRECONDITION"


def test_different_shapes(batched, aside) -> None:
    """§9.3: without padding FAILED_PRECONDITION, for every request of the batch."""
    server = batched(max_batch_size=3, batch_timeout_micros=TEN_MINUTES)
    with calls(server.grpc_port) as grpc_calls:
        sent = [request("m", "length", x=x) for x in ([[1.0]], [[1.0, 2.0]], [[1.0]])]
        ends = [aside(outcome, grpc_calls.predict, each) for each in sent]
        for end in ends:
            code, message = end.result()
            assert code == "FAILED_PRECONDITION"
            assert message.startswith("Tensors with name ")
            assert "have different shapes and padding is turned off" in message


@pytest.mark.parametrize("strict", [False, True])
def test_bad_values_fail_alone(batched, aside, strict: bool) -> None:
    """[deviation] Upstream fails the whole batch; here only the request that is wrong, unless strict."""
    server = batched(
        f"--strict_tensorflow_serving={str(strict).lower()}", max_batch_size=3, batch_timeout_micros=TEN_MINUTES
    )
    with calls(server.grpc_port) as grpc_calls:
        good = [aside(outcome, grpc_calls.predict, request("m", "checked", x=[number])) for number in (1.0, 2.0)]
        bad = aside(outcome, grpc_calls.predict, request("m", "checked", x=[float("nan")]))
        assert bad.result()[0] == "INVALID_ARGUMENT"
        assert {end.result()[0] for end in good} == {"INVALID_ARGUMENT" if strict else "OK"}


def test_other_types_are_not_batched(batched, aside) -> None:
    """§9.2: a request of a wrong type gets the model's own error, at once and alone."""
    from tensorflow import make_tensor_proto

    server = batched(max_batch_size=2, batch_timeout_micros=TEN_MINUTES)
    with calls(server.grpc_port) as grpc_calls:
        waiting = aside(outcome, grpc_calls.predict, request("m", "rows", x=[1.0]))
        code, message = failure(grpc_calls.predict, request("m", "rows", x=make_tensor_proto([1], "int32")))
        assert code == "INVALID_ARGUMENT"
        assert "float" in message
        assert outcome(grpc_calls.predict, request("m", "rows", x=[2.0]))[0] == "OK"
        assert waiting.result()[0] == "OK"


def _fill_queue(server: Served, grpc_calls: GrpcCalls, aside: Callable[..., "Future[Any]"]) -> "Future[Any]":
    """One row waits, of two: two more do not fit beside it. (They are a full batch while it has not come yet.)"""
    waiting = aside(outcome, grpc_calls.predict, request("m", "rows", x=[1.0]))
    _until_full(grpc_calls)
    return waiting


def _until_full(grpc_calls: GrpcCalls) -> None:
    until(lambda: outcome(grpc_calls.predict, request("m", "rows", x=[2.0, 3.0]))[0] == "UNAVAILABLE", "a full queue")


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
            connection = server.connection()
            connection.request("POST", "/v1/models/m:predict", '{"signature_name": "rows", "inputs": [1.0]}')
            _until_full(grpc_calls)
            connection.close()
        else:
            call = grpc_calls.prediction.Predict.future(request("m", "rows", x=[1.0]))
            _until_full(grpc_calls)
            call.cancel()
        _until_empty(grpc_calls)


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
    _copy_with(batch_model / "1", own / "1", parameters(max_batch_size=41, batch_timeout_micros=TEN_MINUTES))
    config = tmp_path / "models"
    config.write_text(
        "model_config_list {"
        + "".join(
            f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
            for name, path in (("plain", base), ("m", own))
        )
        + "}"
    )
    flags = ("--enable_batching", "--enable_per_model_batching_parameters", f"--model_config_file={config}")
    server = serve("m", "", *flags)
    waiting = [aside(ask, server, "rows", x=[float(number)]) for number in range(40)]
    for size in (1, 10_000):
        sent = {"signature_name": "rows", "inputs": [1.0] * size}
        answer = server.ask("POST", "/v1/models/plain:predict", sent)
        assert answer.json["outputs"] == {"rows": [size] * size, "x": [1.0] * size}
    outputs(ask(server, "rows", x=[0.0]))
    assert {outputs(each.result())["rows"][0] for each in waiting} == {41}


def _copy_with(version: Path, copy: Path, batching: str) -> None:
    from shutil import copytree

    copytree(version, copy)
    (copy / "batching_params.pbtxt").write_text(batching)


def test_a_signal_drains_the_queue(batched, aside) -> None:
    """[deviation §13] What waits when the signal comes is answered."""
    server = batched(max_batch_size=10, batch_timeout_micros=2_000_000)
    with calls(server.grpc_port) as grpc_calls:
        over_rest = aside(ask, server, "rows", x=[1.0])
        over_grpc = aside(outcome, grpc_calls.predict, request("m", "rows", x=[2.0]))
        assert ask(server, "content", x=[1.0] * 10).status == 200
        server.terminate(signal.SIGTERM)
        assert outputs(over_rest.result())["x"] == [1.0]
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


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "allowed_batch_sizes: [2]",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 2; expected 1000",
        ),
        ("max_batch_size { value: 2 } allowed_batch_sizes: [4, 2]", "allowed_batch_sizes entries must be"),
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be at least 1; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        ("max_batch_size: 8", "batching.pbtxt"),
    ],
)
def test_start_errors(tmp_path: Path, batch_model: Path, text: str, error: str) -> None:
    """§9.1."""
    (tmp_path / "batching.pbtxt").write_text(text)
    flags = (f"--batching_parameters_file={tmp_path / 'batching.pbtxt'}", "--enable_batching")
    stdout = _failed_start(tmp_path, batch_model, *flags)
    assert stdout.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert error in stdout


def test_parameters_without_batching(tmp_path: Path, batch_model: Path) -> None:
    """§1.5."""
    stdout = _failed_start(tmp_path, batch_model, "--batching_parameters_file=/nowhere")
    assert stdout.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert "batching_parameters_file" in stdout
    assert "enable_batching" in stdout


def test_parameters_that_are_not_there(tmp_path: Path, batch_model: Path) -> None:
    """§9.1: the message names the file."""
    stdout = _failed_start(tmp_path, batch_model, "--enable_batching", "--batching_parameters_file=/nowhere")
    assert stdout.startswith("Failed to start server. Error: NOT_FOUND: /nowhere")


def test_a_models_own_parameters_that_do_not_fit(tmp_path: Path, batch_model: Path) -> None:
    """§9.1, §9.4: the load fails, and with it the start."""
    _copy_with(batch_model / "1", tmp_path / "own" / "1", "allowed_batch_sizes: [2]")
    flags = ("--enable_batching", "--enable_per_model_batching_parameters")
    stdout = _failed_start(tmp_path, tmp_path / "own", *flags)
    assert "Last entry in allowed_batch_sizes must match max_batch_size" in stdout


def _failed_start(folder: Path, model: Path, *flags: str) -> str:
    with Command(folder, "--port=auto", f"--model_base_path={model}", *flags) as command:
        assert command.exit_status() == 255, command.output
        assert "Traceback" not in command.stderr, command.output
        return command.stdout
