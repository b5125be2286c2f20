"""Dynamic batching, §9: how batches are formed, run and taken apart, through both protocols.

A batch that waits ten minutes is taken only when it is full: whoever is answered then was in it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..batched import TEN_MINUTES, ask, outputs, parameters
from ..grpc_calls import calls, failure, outcome, request
from ..savedmodels import SavedModels
from ..served import Served, until
from .predict_form_cases import COLUMNAR, ROW, SIGNATURES, body
from .predict_value_cases import ANSWERS, TYPES


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
