"""Whatever comes together in a batch, everybody gets the answer that a server without batching gives."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..batched import parameters
from ..grpc_calls import GrpcCalls, calls, request
from ..served import Served
from .profile import fuzzed

# Name -> flags, parameters. The time to wait is short: batches are sometimes full, and often not.
WAYS = {
    "plain": ([], parameters(max_batch_size=7, batch_timeout_micros=2000)),
    "filled up": (
        ["--strict_tensorflow_serving"],
        parameters("allowed_batch_sizes: [2, 5, 7]", max_batch_size=7, batch_timeout_micros=2000),
    ),
    "split": (
        [],
        parameters(
            max_batch_size=7,
            max_execution_batch_size=3,
            enable_large_batch_splitting="true",
            batch_timeout_micros=2000,
            max_enqueued_batches=100,
            num_batch_threads=3,
        ),
    ),
    "in Python": (["--tensorflow_runtime=python"], parameters(max_batch_size=7, batch_timeout_micros=2000)),
}


@pytest.fixture(scope="module")
def batching(batch_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, GrpcCalls]]:
    """A server for each of `WAYS`."""
    with ExitStack() as open_ones:
        made = {}
        for name, (flags, text) in WAYS.items():
            folder = tmp_path_factory.mktemp("server")
            (folder / "batching").write_text(text + " max_enqueued_batches { value: 100 }" * (name != "split"))
            flags = ["--enable_batching", f"--batching_parameters_file={folder / 'batching'}", *flags]
            server = open_ones.enter_context(Served(folder, "m", batch_model, *flags))
            made[name] = open_ones.enter_context(calls(server.grpc_port))
        yield made


ROWS = [1, 1, 1, 2, 3, 7]  # mostly small, so that many fit into a batch
sizes = st.lists(
    st.tuples(st.sampled_from(["serving_default", "pair"]), st.sampled_from(ROWS)), min_size=1, max_size=20
)


@pytest.mark.parametrize("way", WAYS)
@fuzzed
@given(sizes=sizes, width=st.integers(0, 3), first=st.integers(-1000, 1000))
def test_everybody_gets_his_own_answer(
    batching: dict[str, GrpcCalls], way: str, sizes: list[tuple[str, int]], width: int, first: int
) -> None:
    """§9.2: all sent at once; no value stands in two requests, so nobody's rows can pass for another's."""
    sent, number = [], float(first)
    for signature, rows in sizes:
        x = np.arange(rows * max(width, 1), dtype="float32").reshape(rows, -1) + number
        number += x.size
        feeds = {"x": x[:, :1]} if signature == "serving_default" else {"a": x[:, :width], "b": -x}
        future = batching[way].prediction.Predict.future(request("m", signature, **feeds), timeout=60)
        sent.append((feeds, future))
    for feeds, future in sent:
        found = {key: np.array(each.float_val, "float32") for key, each in future.result().outputs.items()}
        expected = {"y": feeds["x"] / 2 + 2} if "x" in feeds else feeds
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert np.array_equal(found[key], value.ravel()), (key, feeds)
