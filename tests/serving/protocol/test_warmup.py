"""§8: a version answers the requests in its assets.extra/tf_serving_warmup_requests before it becomes available."""

import os
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from shutil import copytree

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from labkit.serving.embedded.tfrecord import masked_crc32c

from ..grpc_calls import request
from ..served import Command, Served, until
from ..warmup_model import make_warmup_model

FILE = Path("assets.extra", "tf_serving_warmup_requests")
HINT = ". Please verify your warmup data is in TFRecord format."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that remembers in which order it was asked."""
    return make_warmup_model(tmp_path_factory.mktemp("warmup_model"))


def predict(x: float, name: str = "m", **more) -> PredictionLog:
    """The record of one Predict request."""
    log = PredictionLog()
    log.predict_log.request.CopyFrom(request(name, **more, x=[x]))
    return log


def record(text: str) -> PredictionLog:
    return text_format.Parse(text, PredictionLog())


def examples(x: int) -> str:
    feature = f'feature {{ key: "x" value {{ float_list {{ value: {x} }} }} }}'
    return f"input {{ example_list {{ examples {{ features {{ {feature} }} }} }} }}"


def written(logs: Iterable[PredictionLog | bytes], path: Path) -> bytes:
    """A TFRecord file at `path`, written by TensorFlow as tutorials do it; its bytes."""
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log if isinstance(log, bytes) else log.SerializeToString())
    return path.read_bytes()


def add_version(model: Path, base: Path, number: int, warmup: Iterable[PredictionLog | bytes] | bytes) -> Path:
    """Put `model` under `base` as that version, complete from the first moment it is seen, with that warm-up."""
    aside = base.parent / f"{base.name}-{number}.tmp"
    copytree(model / "1", aside)
    if isinstance(warmup, bytes):
        (aside / FILE).parent.mkdir()
        (aside / FILE).write_bytes(warmup)
    else:
        written(warmup, aside / FILE)
    base.mkdir(exist_ok=True)
    return aside.rename(base / str(number))


def remembered(served: Served) -> float:
    answer = served.predict({"signature_name": "recall", "instances": [0.0]})
    assert answer.status == 200, answer.text
    return answer.json["predictions"][0]


ORDER = [
    predict(1),
    record(f'classify_log {{ request {{ model_spec {{ signature_name: "classify" }} {examples(2)} }} }}'),
    record(f'regress_log {{ request {{ model_spec {{ signature_name: "regress" }} {examples(3)} }} }}'),
    record(
        'multi_inference_log { request { tasks { method_name: "tensorflow/serving/regress" '
        f'model_spec {{ name: "other" signature_name: "regress" }} }} {examples(4)} }} }}'
    ),
    predict(5),
]


@pytest.mark.parametrize("runtime", ["c_api", "python"])
def test_order(serve: Callable[..., Served], model: Path, tmp_path: Path, runtime: str) -> None:
    """All four kinds of log, in order, before the version is available; TensorFlow wrote the file."""
    add_version(model, tmp_path / "m", 1, ORDER)
    served = serve("m", tmp_path / "m", f"--tensorflow_runtime={runtime}")
    assert remembered(served) == 12345
    lines = [line for line in served.stderr.splitlines() if re.search("warmup data|Successfully loaded", line)]
    path = tmp_path / "m" / "1" / FILE
    for line, expected in zip(
        lines,
        [
            f"Starting to read warmup data for model at {path}",
            rf"Finished reading warmup data for model at {path}. Number of warmup records read: 5. "
            r"Elapsed time \(microseconds\): \d+.",
            "Successfully loaded servable version {name: m version: 1}",
        ],
        strict=True,
    ):
        assert re.search(expected, line), line


def test_iterations(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    """Each record so often, before the next one."""
    add_version(model, tmp_path / "m", 1, [predict(1), predict(2)])
    assert remembered(serve("m", tmp_path / "m", "--num_request_iterations_for_warmup=3")) == 111222
    assert remembered(serve("m", tmp_path / "m", "--num_request_iterations_for_warmup=0")) == 12


def test_names_versions_and_labels_are_ignored(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    labelled = predict(3)
    labelled.predict_log.request.model_spec.version_label = "canary"
    unnamed = predict(4)
    unnamed.predict_log.request.model_spec.Clear()
    logs = [predict(1, "other"), predict(2, "m", version=99), labelled, unnamed, predict(9, signature="recall")]
    add_version(model, tmp_path / "m", 1, logs)
    assert remembered(serve("m", tmp_path / "m")) == 1234


def test_records_of_no_type_are_skipped(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    """Of any length: their checksums are right, too."""
    lengths = [0, 1, 40, 62, 63, 64, 65, 127, 1000, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 70, 3_000_001]
    fillers = [PredictionLog() for _ in lengths]
    for filler, length in zip(fillers, lengths, strict=True):
        filler.log_metadata.model_spec.signature_name = "x" * length
    add_version(model, tmp_path / "m", 1, [b"", predict(1), *fillers, predict(2)])
    served = serve("m", tmp_path / "m")
    assert remembered(served) == 12
    assert f"Number of warmup records read: {len(lengths) + 3}." in served.stderr


def test_no_file(serve: Callable[..., Served], model: Path) -> None:
    served = serve("m", model)
    assert f"No warmup data file found at {model / '1' / FILE}" in served.stderr
    assert remembered(served) == 0


def test_switched_off(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    add_version(model, tmp_path / "m", 1, b"no TFRecord")
    served = serve("m", tmp_path / "m", "--enable_model_warmup=false")
    assert remembered(served) == 0
    assert "warmup data" not in served.stderr


def test_a_thousand_records(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    """And a few bytes at the end, which TensorFlow's reader ignores."""
    whole = written([predict(0)] * 999 + [predict(7)], tmp_path / "written")
    add_version(model, tmp_path / "m", 1, whole + whole[:11])
    served = serve("m", tmp_path / "m")
    assert remembered(served) == 7
    assert "Number of warmup records read: 1000." in served.stderr


def test_batching(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    """Warm-up goes through the batching queue, as upstream; it is in the metrics."""
    add_version(model, tmp_path / "m", 1, [predict(1), predict(2)])
    config = tmp_path / "monitoring"
    config.write_text("prometheus_config { enable: true }")
    served = serve(
        "m", tmp_path / "m", "--enable_batching", f"--monitoring_config_file={config}",
        "--num_request_iterations_for_warmup=2",
    )  # fmt: skip
    page = served.ask("GET", "/monitoring/prometheus/metrics").text
    labels = f'model_path="{tmp_path / "m" / "1"}",status="OK"'
    assert f":tensorflow:serving:model_warmup_latency_count{{{labels}}} 1\n" in page
    assert re.search(r":batching_session:queuing_latency_count{.*} 4\n", page)
    assert re.search(r':runtime_latency_count{model_name="m",API="Predict",.*} 4\n', page)
    assert remembered(served) == 1122


def head(length: int) -> bytes:
    """What stands before a record of that length."""
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc32c(packed))


def damaged(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.fixture(scope="module")
def two_records(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written([predict(1), predict(2)], tmp_path_factory.mktemp("records") / "two")


def test_broken_files(serve: Callable[..., Served], model: Path, two_records: bytes, tmp_path: Path) -> None:
    """Not a TFRecord file, or a damaged one: DATA_LOSS. The old version keeps serving."""
    first = len(two_records) // 2
    cut_off = f"truncated record at {first}' failed with Read less bytes than requested{HINT}"
    cases = {
        b"this is no TFRecord": f"corrupted record at 0 (Is this even a TFRecord file?){HINT}",
        damaged(two_records, first + 3): f"corrupted record at {first}{HINT}",  # a length
        damaged(two_records, first + 8): f"corrupted record at {first}{HINT}",  # its checksum
        damaged(two_records, first + 20): f"corrupted record at {first + 12}{HINT}",  # data
        damaged(two_records, 2 * first - 1): f"corrupted record at {first + 12}{HINT}",  # their checksum
        two_records[:-1]: cut_off,
        two_records[: first + 12]: cut_off,
        two_records[:first] + head((1 << 31) - 1) + b"x": cut_off,
        head(1 << 60): f"record of {1 << 60} bytes at 12, a message has at most 2147483647{HINT}",
    }
    _check_failures(serve, model, tmp_path / "m", [(data, "DATA_LOSS", text) for data, text in cases.items()])


def _check_failures(
    serve: Callable[..., Served], model: Path, base: Path, cases: list[tuple[bytes | list, str, str]]
) -> None:
    """Versions that fail to load, one after the other, each with the code and the message's beginning."""
    add_version(model, base, 1, [predict(1)])
    served = serve("m", base, "--max_num_load_retries=0")
    for number, (warmup, code, text) in enumerate(cases, 2):
        folder = add_version(model, base, number, warmup)
        status = until(lambda number=number: _failed(served, number), f"version {number} fails, {text}")
        assert status["error_code"] == code, status
        assert status["error_message"].startswith(text.format(path=folder / FILE)), status
        assert str(folder / FILE) in status["error_message"]
        assert remembered(served) == 1
        assert served.states()[1] == "AVAILABLE"


def _failed(served: Served, number: int) -> dict | None:
    for entry in served.ask("GET", "/v1/models/m").json["model_version_status"]:
        if entry["version"] == str(number) and entry["state"] == "END":
            return entry["status"]
    return None


def test_failing_records(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    """Any failing record fails the load, with its own code."""
    import tensorflow as tf

    wrong_type, name_missing = predict(1), predict(1)
    wrong_type.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1], "int64"))
    name_missing.predict_log.request.inputs["y"].CopyFrom(name_missing.predict_log.request.inputs["x"])
    no_examples = record('classify_log { request { model_spec { signature_name: "classify" } } }')
    streamed, session_run = PredictionLog(), PredictionLog()
    streamed.predict_streamed_log.SetInParent()
    session_run.session_run_log.SetInParent()
    unsupported = "Unsupported log_type for warmup: "
    cases = [
        ([predict(1), predict(1, signature="foo")], "FAILED_PRECONDITION", 'Serving signature key "foo" not found.'),
        ([wrong_type], "INVALID_ARGUMENT", ""),
        ([name_missing], "INVALID_ARGUMENT", "input size does not match signature: 2!=1"),
        ([no_examples], "INVALID_ARGUMENT", "Input is empty."),
        ([session_run], "UNIMPLEMENTED", unsupported + "5"),
        ([streamed], "UNIMPLEMENTED", unsupported + "7"),
        ([b"\xff"], "INVALID_ARGUMENT", "Failed to parse warmup record: "),
        (
            [PredictionLog()] * 1001,
            "INVALID_ARGUMENT",
            "Number of warmup records exceeds the maximum (1000) at {path}",
        ),
    ]
    _check_failures(serve, model, tmp_path / "m", cases)


def test_a_repaired_warm_up_is_tried_again(serve: Callable[..., Served], model: Path, tmp_path: Path) -> None:
    """As any version whose files change; §13."""
    add_version(model, tmp_path / "m", 1, [predict(1)])
    served = serve("m", tmp_path / "m", "--max_num_load_retries=0")
    folder = add_version(model, tmp_path / "m", 2, b"this is no TFRecord")
    until(lambda: _failed(served, 2), "version 2 fails")
    aside = tmp_path / "repaired"
    written([predict(2)], aside)
    aside.replace(folder / FILE)
    until(lambda: served.states().get(2) == "AVAILABLE" and served.states().get(1) == "END", "version 2 serves")
    assert remembered(served) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_in_the_files_place(model: Path, tmp_path: Path) -> None:
    """It is not waited for; at the start a failed warm-up ends the server."""
    folder = add_version(model, tmp_path / "m", 1, b"")
    (folder / FILE).unlink()
    os.mkfifo(folder / FILE)
    (tmp_path / "server").mkdir()
    with Command(tmp_path / "server", "--port=auto", f"--model_base_path={tmp_path / 'm'}") as server:
        assert server.exit_status() == 255, server.output
    assert f"FAILED_PRECONDITION: {folder / FILE} is not a regular file" in server.stdout
