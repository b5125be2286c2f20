"""TFLite models (§1.4, §11.3)."""

import base64
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree

import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow import make_tensor_proto
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

import labkit
from labkit.errors import ModelFolderError

from .. import tflite_models
from ..grpc_calls import calls, failure, request
from ..served import Command, Served, until
from ..tflite_models import WEIGHTS, signatures, tensor_names, with_metadata, write

FLAG = "--prefer_tflite_model"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return tflite_models.make(tmp_path_factory.mktemp("tflite"))


def content(model: Path) -> bytes:
    return (model / "1" / "model.tflite").read_bytes()


def keys(model: Path) -> tuple[list[str], list[str]]:
    """What clients call inputs and outputs: the tensors' names without ``:0``."""
    return tuple([name.removesuffix(":0") for name in names] for names in tensor_names(content(model)))


@pytest.fixture
def serve_file(serve: Callable[..., Served], tmp_path: Path) -> Callable[..., Served]:
    """`serve_file(content)`: a server of one .tflite file."""

    def started(file: bytes, *flags: str) -> Served:
        write(tmp_path / "m" / "1", file)
        return serve("m", tmp_path / "m", FLAG, *flags)

    return started


@pytest.fixture(scope="module")
def half(models: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory):
    with Served(tmp_path_factory.mktemp("server"), "m", models["half"], FLAG) as server:
        yield server


def test_without_signatures(serve, models: Mapping[str, Path]) -> None:
    """§11.3: one signature, serving_default; its keys are the tensors' names without :0."""
    server = serve("m", models["pair"], FLAG)
    (a, b), outputs = keys(models["pair"])
    metadata = server.ask("GET", "/v1/models/m/metadata").json["metadata"]["signature_def"]["signature_def"]
    assert list(metadata) == ["serving_default"]
    definition = metadata["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert sorted(definition["inputs"]) == sorted((a, b)) == ["serving_default_a", "serving_default_b"]
    assert sorted(definition["outputs"]) == sorted(outputs)
    info = definition["inputs"]["serving_default_a"]
    assert info["name"] == "serving_default_a:0"
    assert info["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in info["tensor_shape"]["dim"]] == ["-1", "2"]
    rows = [{"serving_default_a": [1, 2], "serving_default_b": [3, 4]}, {a: [5, 6], b: [7, 8]}]
    predictions = server.predict({"instances": rows}).json["predictions"]
    assert [sorted(row.values()) for row in predictions] == [[[3, 8], [4, 6]], [[12, 14], [35, 48]]]


def test_signatures_in_the_metadata(serve_file, models: Mapping[str, Path]) -> None:
    """§11.3: SignatureDefs in signature_defs_metadata count."""
    half = content(models["half"])
    (x,), (y,) = tensor_names(half)
    described = {
        "serving_default": ("predict", {"x": x}, {"y": y}),
        "other": ("regress", {"number": x}, {"result": y, "again": y}),
    }
    server = serve_file(with_metadata(half, signatures(described)))
    assert server.predict({"instances": [1.0, 2.0]}).json == {"predictions": [2.5, 3.0]}
    asked = {"signature_name": "other", "inputs": {"number": [4.0]}}
    assert server.predict(asked).json == {"outputs": {"result": [4.0], "again": [4.0]}}
    metadata = server.ask("GET", "/v1/models/m/metadata").json["metadata"]["signature_def"]["signature_def"]
    assert sorted(metadata) == ["other", "serving_default"]
    assert metadata["other"]["method_name"] == "tensorflow/serving/regress"
    with calls(server.grpc_port) as grpc_calls:
        answer = grpc_calls.predict(request("m", "other", number=[[1.0], [2.0]]))
        assert list(answer.outputs["result"].float_val) == [2.5, 3.0]
        assert failure(grpc_calls.predict, request("m", "third", x=[1.0])) == (
            "FAILED_PRECONDITION",
            'Serving signature key "third" not found.',
        )


def test_tensors_without_a_number(serve_file, models: Mapping[str, Path]) -> None:
    """§11.3: early converters left the :0 out, which SignatureDefs have nevertheless."""
    half = content(models["half"])
    (x,), (y,) = tensor_names(half)
    old = tflite_models.as_of_old(half)
    assert tensor_names(old) == (["serving_default_x"], [y.removesuffix(":0")])
    server = serve_file(with_metadata(old, signatures({"serving_default": ("predict", {"x": x}, {"y": y})})))
    assert server.predict({"instances": [{"x": 1.0}]}).json == {"predictions": [2.5]}


WRONG_METADATA = {
    "a tensor that is not there": (
        signatures({"serving_default": ("predict", {"a": "nowhere:0"}, {})}),
        "input a of signature serving_default is the tensor nowhere:0, which the model does not have; it has ",
    ),
    "an input left out": (
        signatures({"serving_default": ("predict", {"a": "serving_default_a:0"}, {})}),
        "signature serving_default leaves out the input tensors serving_default_b:0",
    ),
    "no map": (b"rubbish", ""),
}


@pytest.mark.parametrize("title", WRONG_METADATA)
def test_signatures_that_do_not_fit(tmp_path: Path, models: Mapping[str, Path], title: str) -> None:
    """The load fails and says why."""
    buffer, reason = WRONG_METADATA[title]
    write(tmp_path / "m" / "1", with_metadata(content(models["pair"]), buffer))
    error = start_error(tmp_path, tmp_path / "m", FLAG)
    assert "INVALID_ARGUMENT: Invalid SignatureDefs found in TfLite model: " + reason in error


def start_error(folder: Path, model: Path, *flags: str) -> str:
    with Command(folder, "--port=auto", "--model_name=m", f"--model_base_path={model}", *flags) as command:
        assert command.exit_status() == 255, command.output
        assert "Traceback" not in command.stderr
        return command.stdout


def test_inputs_of_any_shape(half: Served) -> None:
    """§11.3: the interpreter is resized to the request's shape, every time anew."""
    for x, y in (
        ([[1.0]], [[2.5]]),
        ([[0.0]] * 5, [[2.0]] * 5),
        ([1.0, 2.0], [2.5, 3.0]),
        (2.0, 3.0),
        ([[[4.0]]], [[[4.0]]]),
        ([], []),
        ([[1.0]], [[2.5]]),
    ):
        assert half.predict({"inputs": x}).json == {"outputs": y}


@pytest.mark.parametrize("model", ["recurrent", "text", "half", "pair"])
def test_a_shape_never_ends_the_server(serve, models: Mapping[str, Path], model: str) -> None:
    """Some of the interpreter's kernels abort on shapes that they do not expect; those do not get that far."""
    server = serve("m", models[model], FLAG)
    names, _ = keys(models[model])
    value = "a" if model == "text" else 1.0
    for dimensions in (0, 1, 2, 3, 4, 6, 7, 12, 33, 64):
        nested = value
        for _ in range(dimensions):
            nested = [nested]
        answer = server.predict({"inputs": dict.fromkeys(names, nested)})
        assert answer.status in (200, 400, 500)
        if dimensions > 6:
            assert answer.status == 400
    if model == "recurrent":
        answer = server.predict({"inputs": [1.0, 2.0]})
        assert answer.status == 400
        assert answer.error.startswith("Input tensor serving_default_x:0 has shape [2], the model takes [1, 4, 2]; ")
    assert server.process.poll() is None


def test_inputs_of_a_shape_that_the_model_cannot_be_given(serve, models: Mapping[str, Path]) -> None:
    """An error, and the next request is answered as if nothing had been."""
    server = serve("m", models["dense"], FLAG, "--num_tflite_pools=1")
    for _ in range(2):
        answer = server.predict({"instances": [[1.0, 2.0]]})
        assert answer.status == 500  # INTERNAL, as upstream
        assert answer.error.startswith("Failed to resize input tensor: serving_default_x:0 to [1, 2]: ")
        assert server.predict({"instances": [[1, 0, 0], [0, 0, 1]]}).json == {"predictions": [[1, 2], [5, 6]]}


def test_values_that_the_model_cannot_be_run_on(serve, models: Mapping[str, Path]) -> None:
    server = serve("m", models["text"], FLAG)
    answer = server.predict({"inputs": []})
    assert answer.status == 500
    assert answer.error.startswith("Failed to run interpreter: ")
    assert server.predict({"inputs": ["a"]}).status == 200


def test_inputs_of_another_type(half: Served) -> None:
    """§5.6: no casting."""
    with calls(half.grpc_port) as grpc_calls:
        asked = request("m", serving_default_x=make_tensor_proto([1], "int64"))
        assert failure(grpc_calls.predict, asked) == (
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int64 is provided",
        )


def test_strings(serve, models: Mapping[str, Path]) -> None:
    """Any bytes, any length, in and out."""
    server = serve("m", models["text"], FLAG)
    texts = [b"a\0\xff", b"a", b"", b"x" * 100_000]
    sent = [{"b64": base64.b64encode(text).decode()} for text in texts]
    outputs = server.predict({"inputs": sent[1:]}).json["outputs"]
    assert sorted(outputs.values(), key=len) == [["a"], [True, False, False]]
    with calls(server.grpc_port) as grpc_calls:
        answer = grpc_calls.predict(request("m", serving_default_t=make_tensor_proto(texts)))
        assert sorted(list(tensor.string_val) for tensor in answer.outputs.values()) == [[], [texts[0]]]


def test_weights_of_16_bits(serve, models: Mapping[str, Path]) -> None:
    server = serve("m", models["dense_half"], FLAG)
    assert server.predict({"instances": [[1, 0, 0], [0, 0, 1]]}).json == {"predictions": [[1, 2], [5, 6]]}


def test_quantised(serve, models: Mapping[str, Path]) -> None:
    """int8 in and out, as the model has it: clients quantise."""
    x = np.array([[1, 0, 0], [0.5, -0.5, 1]], np.float32)
    sent, numbers = tflite_models.quantised(content(models["dense_int8"]), x)
    server = serve("m", models["dense_int8"], FLAG)
    answer = server.predict({"instances": sent.tolist()})
    np.testing.assert_allclose(numbers(answer.json["predictions"]), x @ WEIGHTS, atol=0.2)
    assert server.predict({"instances": [[1.5, 0, 0]]}).status == 400, "a float is no int8"


def test_a_recurrent_layer_forgets(serve, models: Mapping[str, Path]) -> None:
    """Its state is in the interpreter. A request's answer does not depend on the one before."""
    server = serve("m", models["recurrent"], FLAG, "--num_tflite_pools=1")
    series = [[[[0.5, 0.5]] * 4], [[[-2.0, 2.0]] * 4], [[[0.5, 0.5]] * 4]]
    first, second, third = (server.predict({"inputs": x}).json["outputs"] for x in series)
    assert first == third != second


@pytest.mark.parametrize("flags", [(), ("--num_tflite_pools=1",), ("--num_tflite_interpreters_per_pool=4",)])
def test_concurrent_requests_are_not_mixed_up(serve, models: Mapping[str, Path], flags: tuple[str, ...]) -> None:
    """An interpreter serves one at a time; of requests of many sizes each gets its own answer."""
    server = serve("m", models["pair"], FLAG, *flags)

    def ask(number: int) -> None:
        a = np.full((1 + number % 7, 2), number, np.float32)
        inputs = {"serving_default_a": a.tolist(), "serving_default_b": (a + 1).tolist()}
        with calls(server.grpc_port) as grpc_calls:
            outputs = grpc_calls.predict(request("m", serving_default_a=a, serving_default_b=a + 1)).outputs
        rest = server.predict({"inputs": inputs}).json["outputs"]
        for answered in ([np.array(tensor.float_val) for tensor in outputs.values()], rest.values()):
            total, product = sorted((np.ravel(value) for value in answered), key=lambda values: values[0])
            assert total.tolist() == [2.0 * number + 1] * a.size
            assert product.tolist() == [number * (number + 1.0)] * a.size

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(ask, range(3, 203)))


def test_the_number_of_interpreters(serve, models: Mapping[str, Path]) -> None:
    """Who finds all of them busy waits, at most as long as its time limit says."""
    slow, quick = {"inputs": 2_000_000_000}, {"inputs": 1}
    for pools, each, status in ((1, 1, 504), (1, 2, 200), (2, 1, 200)):
        flags = (f"--num_tflite_pools={pools}", f"--num_tflite_interpreters_per_pool={each}")
        server = serve("m", models["count"], FLAG, *flags, "--rest_api_timeout_in_ms=1000")
        for _ in range(5):  # quick requests of other models are soon answered on the event loop
            assert server.predict(quick).json == {"outputs": 1}
        process = psutil.Process(server.process.pid)
        with ThreadPoolExecutor(1) as threads:
            before = process.cpu_times().user
            busy = threads.submit(server.predict, slow)
            until(lambda process=process, before=before: process.cpu_times().user > before + 0.3, "a run that goes on")
            answer = server.predict(quick)
            assert not busy.done()
            server.process.kill()
            assert isinstance(busy.exception(), ConnectionError | OSError)
        assert answer.status == status, answer.text
        if status == 504:
            assert answer.error == "Timed out waiting for a free interpreter"


def test_which_file_wins(serve, saved_models, models: Mapping[str, Path], tmp_path: Path) -> None:
    """§1.4: with the flag model.tflite, without it the SavedModel."""
    version = saved_models.add_version(tmp_path / "m", "1", plus=3)
    write(version, content(models["half"]))
    assert serve("m", tmp_path / "m").predict({"inputs": [1.0]}).json == {"outputs": [3.5]}
    assert serve("m", tmp_path / "m", FLAG).predict({"inputs": [1.0]}).json == {"outputs": [2.5]}


def test_a_tflite_model_without_the_flag(serve, saved_models, models: Mapping[str, Path], tmp_path: Path) -> None:
    """It is not served, and the flag that would is named: at the start, and when it comes later."""
    file = models["half"] / "1" / "model.tflite"
    error = start_error(tmp_path, models["half"])
    assert "NOT_FOUND: Nothing to serve for model m: " in error
    assert f"--prefer_tflite_model serves {file}." in error
    saved_models.add_version(tmp_path / "m", "1")
    server = serve("m", tmp_path / "m")
    copytree(models["half"] / "1", tmp_path / "m" / "2")
    until(lambda: f"--prefer_tflite_model serves {tmp_path / 'm' / '2' / 'model.tflite'}." in server.stderr, "a hint")
    assert server.states() == {1: "AVAILABLE"}


def test_from_python(models: Mapping[str, Path]) -> None:
    """`labkit.serve` takes the flag as it takes all of them, and names it where it is missing."""
    with labkit.serve(models["half"], name="m", prefer_tflite_model=True) as server:
        assert server.predict([[1.0]]).tolist() == [[2.5]]
    with pytest.raises(ModelFolderError, match="--prefer_tflite_model serves "):
        labkit.serve(models["half"], name="m")


def test_a_folder_without_either_file(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    error = start_error(tmp_path, tmp_path / "m", FLAG)
    assert "holds no model.tflite or saved_model.pb" in error
    assert f"Expected {tmp_path / 'm'}/1/model.tflite" in error


def test_versions_of_both_kinds(serve, saved_models, models: Mapping[str, Path], tmp_path: Path) -> None:
    """A SavedModel gives way to a TFLite model and comes back."""
    saved_models.add_version(tmp_path / "m", "1", plus=3)
    server = serve("m", tmp_path / "m", FLAG)
    assert server.predict({"inputs": [1.0]}).json == {"outputs": [3.5]}
    write(tmp_path / "m" / "2", content(models["half"]))
    until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "version 2 alone")
    assert server.predict({"inputs": [1.0]}).json == {"outputs": [2.5]}
    (tmp_path / "m" / "2").rename(tmp_path / "aside")
    until(lambda: server.states() == {2: "END", 1: "AVAILABLE"}, "version 1 again")
    assert server.predict({"inputs": [1.0]}).json == {"outputs": [3.5]}


def test_a_file_that_is_no_model(serve, models: Mapping[str, Path], tmp_path: Path) -> None:
    """The version ends with an error, the one before goes on; once repaired it is loaded."""
    good = content(models["half"])
    write(tmp_path / "m" / "1", good)
    server = serve("m", tmp_path / "m", FLAG)
    write(tmp_path / "m" / "2", good[: len(good) // 2])
    until(lambda: server.states().get(2) == "END", "a failed load")
    status = server.ask("GET", "/v1/models/m/versions/2").json["model_version_status"][0]["status"]
    assert status["error_code"] == "INVALID_ARGUMENT"
    assert f"{tmp_path / 'm' / '2' / 'model.tflite'} is no TFLite model that works here: " in status["error_message"]
    assert server.predict({"inputs": [1.0]}).json == {"outputs": [2.5]}
    write(tmp_path / "m" / "2", good)
    until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "version 2 repaired")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, models: Mapping[str, Path], tmp_path: Path) -> None:
    """The start fails and says what to install."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ai_edge_litert'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    error = start_error(tmp_path, models["half"], FLAG)
    assert error.startswith("Failed to start server. Error: --prefer_tflite_model needs the package ai-edge-litert")
    assert '-m pip install "labkit[tflite]"' in error


def test_python_tensorflow_is_not_imported(half: Served) -> None:
    assert half.predict({"inputs": [1.0]}).json == {"outputs": [2.5]}
    mapped = [Path(entry.path).name for entry in psutil.Process(half.process.pid).memory_maps()]
    assert any("litert" in name.lower() for name in mapped)
    assert not any(name.startswith("_pywrap_tensorflow") for name in mapped)


def test_beside_python_tensorflow(serve, saved_models, models: Mapping[str, Path], tmp_path: Path) -> None:
    """The fallback serves both kinds in one process, too."""
    saved_models.add_version(tmp_path / "m", "1", plus=3)
    write(tmp_path / "m" / "2", content(models["half"]))
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path / "m"}" model_platform: "tensorflow" '
        "model_version_policy { all {} } } }"
    )
    server = serve("m", tmp_path / "m", FLAG, "--tensorflow_runtime=python", f"--model_config_file={config}")
    until(lambda: server.states() == {2: "AVAILABLE", 1: "AVAILABLE"}, "both versions")
    assert server.predict({"inputs": [1.0]}, version=1).json == {"outputs": [3.5]}
    assert server.predict({"inputs": [1.0]}, version=2).json == {"outputs": [2.5]}


def test_batched(serve_file, models: Mapping[str, Path], tmp_path: Path) -> None:
    """§9.2: requests run together, and nobody notices. The batch is only run when it is full."""
    parameters = tmp_path / "batching.pbtxt"
    parameters.write_text("max_batch_size { value: 3 } batch_timeout_micros { value: 600000000 }")
    server = serve_file(content(models["half"]), "--enable_batching", f"--batching_parameters_file={parameters}")
    with ThreadPoolExecutor(3) as threads:
        answers = threads.map(server.predict, [{"instances": [x]} for x in ([1.0], [2.0], [3.0])])
        assert [answer.json["predictions"] for answer in answers] == [[[2.5]], [[3.0]], [[3.5]]]


def test_warmed_up(serve, models: Mapping[str, Path], tmp_path: Path) -> None:
    """§8: its warm-up requests are answered by the interpreter; one that fails, fails the load."""
    for version, value in (("1", [[1.0]]), ("2", [["no number"]])):
        write(tmp_path / version, content(models["half"]))
        write_warm_up(tmp_path / version, request("m", serving_default_x=make_tensor_proto(value)))
    (tmp_path / "m").mkdir()
    (tmp_path / "1").rename(tmp_path / "m" / "1")
    server = serve("m", tmp_path / "m", FLAG)
    (tmp_path / "2").rename(tmp_path / "m" / "2")
    until(lambda: server.states() == {2: "END", 1: "AVAILABLE"}, "a load that fails")
    status = server.ask("GET", "/v1/models/m/versions/2").json["model_version_status"][0]["status"]
    assert "Expects arg[0] to be float but string is provided" in status["error_message"]


def write_warm_up(version: Path, asked: PredictRequest) -> None:
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as records:
        records.write(PredictionLog(predict_log=PredictLog(request=asked)).SerializeToString())


def test_memory_is_returned(serve, models: Mapping[str, Path], tmp_path: Path) -> None:
    """§6.5: an unloaded version leaves nothing of its 64 MiB of weights behind."""
    write(tmp_path / "m" / "1", content(models["half"]))
    server = serve("m", tmp_path / "m", FLAG)
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    write(tmp_path / "m" / "2", content(models["large"]))
    until(lambda: server.states() == {2: "AVAILABLE", 1: "END"}, "the large version")
    assert server.predict({"inputs": [[1.0] * 4096]}).json["outputs"][0][:2] == [4096.0, 4096.0]
    assert process.memory_info().rss > before + (64 << 20)
    (tmp_path / "m" / "2").rename(tmp_path / "aside")
    until(lambda: server.states()[1] == "AVAILABLE" and server.states()[2] == "END", "the small version")
    until(lambda: process.memory_info().rss < before + (32 << 20), "less memory")
