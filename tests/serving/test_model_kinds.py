"""SavedModels of many makes and ages through a real server, in both of its runtimes (§12, issue 3 item 2)."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from . import kind_models
from .grpc_calls import calls, failure, request
from .served import Answer, Command, Served, until

RUNTIMES = ("c_api", "python")

LINE = ({"x": [1.0, 2.0]}, {"y": [10.0, 13.0]})
SUMS = ({"x": [[1.0, 1.0, 1.0], [0.0, 0.0, 2.0]]}, [[16.0], [13.0]])

# Model, signature (serving_default if none): what it is asked, what it answers.
ASKED: Mapping[tuple[str, str], tuple[dict, dict]] = {
    ("reference_variables", ""): LINE,
    ("main_op", ""): LINE,
    ("legacy_init_op", ""): LINE,
    ("constants_only", ""): LINE,
    ("text_format", ""): LINE,
    ("on_a_gpu", ""): LINE,
    ("xla", ""): LINE,
    ("tensorflow_2", ""): ({"x": [1.0, 2.0, 3.0]}, {"y": [10.0, 13.0, 16.0]}),
    ("tensorflow_2", "serving_default"): LINE,
    ("tensorflow_2", "number"): ({"words": ["blue", "grey"]}, {"number": [2, -1]}),
    ("vocabulary_file", "number"): ({"words": ["blue", "grey"]}, {"line": [2, -1]}),
    ("vocabulary_file", "known"): ({"words": ["blue", "grey"]}, {"known": [True, False]}),
    ("keras_3", ""): (SUMS[0], {"output_0": SUMS[1]}),
    ("keras_3", "serve"): (SUMS[0], {"output_0": SUMS[1]}),
    ("keras_3_text", ""): ({"text": [["Red green"], ["grey, blue!"]]}, {"output_0": [[2, 3, 0, 0], [1, 4, 0, 0]]}),
    ("keras_2", ""): (SUMS[0], {"line": SUMS[1]}),
    ("keras_2_exported", ""): ({"word": [["red"], ["grey"]]}, {"output_0": [[1], [0]]}),
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return kind_models.make(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module", params=RUNTIMES)
def server(
    request: pytest.FixtureRequest, kinds: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One server of all of them, in each runtime."""
    folder = tmp_path_factory.mktemp("server")
    config = folder / "models.config"
    entries = (
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}' for name, path in kinds.items()
    )
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    flags = (f"--model_config_file={config}", f"--tensorflow_runtime={request.param}")
    with Served(folder, "", "", *flags) as running:
        yield running


def ask(server: Served, model: str, body: Any) -> Answer:
    return server.ask("POST", f"/v1/models/{model}:predict", body)


@pytest.mark.parametrize(("model", "signature"), ASKED, ids=lambda part: part or "default")
def test_it_answers(server: Served, model: str, signature: str) -> None:
    """Over REST, by row and by column, and over gRPC."""
    inputs, outputs = ASKED[model, signature]
    named = {"signature_name": signature} if signature else {}
    (output,) = outputs.values()
    assert ask(server, model, {"inputs": inputs, **named}).json == {"outputs": output}
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    assert ask(server, model, {"instances": rows, **named}).json == {"predictions": output}
    with calls(server.grpc_port) as grpc_calls:
        answered = grpc_calls.predict(request(model, signature, **tensors(inputs))).outputs
    assert values(answered) == outputs


def tensors(inputs: dict[str, list]) -> dict:
    from tensorflow import make_tensor_proto

    return {name: make_tensor_proto(value, "float32" if name == "x" else "string") for name, value in inputs.items()}


def values(outputs: Mapping[str, Any]) -> dict[str, list]:
    from tensorflow import make_ndarray

    return {name: make_ndarray(tensor).tolist() for name, tensor in outputs.items()}


def test_signatures(server: Served) -> None:
    """§12.3, §12.6: each model's own names, an operation for initialising among them."""
    expected = {
        "reference_variables": ["serving_default"],
        "vocabulary_file": ["known", "number"],
        "tensorflow_2": ["__saved_model_init_op", "number", "serving_default"],
        "keras_3": ["__saved_model_init_op", "serve", "serving_default"],
        "keras_2": ["__saved_model_init_op", "serving_default"],
    }
    for model, names in expected.items():
        answer = server.ask("GET", f"/v1/models/{model}/metadata").json
        assert sorted(answer["metadata"]["signature_def"]["signature_def"]) == names


def test_a_model_without_serving_default(server: Served) -> None:
    """§3.3: a request has to name a signature then."""
    answer = ask(server, "vocabulary_file", {"inputs": {"words": ["red"]}})
    assert answer.status == 400
    assert answer.error == 'Serving signature name: "serving_default" not found in signature def'


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tags(serve: Callable[..., Served], tmp_path: Path, runtime: str) -> None:
    """§1.4: --saved_model_tags chooses among the graphs of a SavedModel; tags that none has are named."""
    kind_models.several_graphs(tmp_path / "m" / "1", [["serve"], ["serve", "gpu"], ["train"]])
    for tags, offset in (("serve", 0.0), ("serve,gpu", 1.0), ("gpu,serve", 1.0), ("train", 2.0)):
        server = serve("m", tmp_path / "m", f"--saved_model_tags={tags}", f"--tensorflow_runtime={runtime}")
        assert server.predict({"inputs": [5.0]}).json == {"outputs": [5.0 + offset]}
    error = start_error(tmp_path, "--saved_model_tags=tpu", f"--tensorflow_runtime={runtime}")
    assert "tpu" in error
    assert "tag" in error


def start_error(folder: Path, *flags: str) -> str:
    """What a server of the model in `folder` / m prints when it cannot start."""
    with Command(folder, "--port=auto", "--model_name=m", f"--model_base_path={folder / 'm'}", *flags) as command:
        assert command.exit_status() == 255, command.output
        assert "Traceback" not in command.stderr
        return command.stdout


def _rename_an_operation(graph: Any) -> None:
    node = next(node for node in graph.graph_def.node if node.op.startswith("Add"))
    node.op = "NoSuchOperation"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_operation_that_is_not_here(
    serve: Callable[..., Served], kinds: Mapping[str, Path], tmp_path: Path, runtime: str
) -> None:
    """A model with a custom operation: alone it ends the start, beside another version that one goes on."""
    copytree(kinds["constants_only"] / "1", tmp_path / "custom")
    kind_models.edit(tmp_path / "custom", _rename_an_operation)
    copytree(tmp_path / "custom", tmp_path / "m" / "1")
    error = start_error(tmp_path, f"--tensorflow_runtime={runtime}")
    assert "NOT_FOUND: " in error
    assert "Op type not registered 'NoSuchOperation'" in error

    copytree(kinds["constants_only"] / "1", tmp_path / "n" / "1")
    server = serve("n", tmp_path / "n", f"--tensorflow_runtime={runtime}")
    (tmp_path / "custom").rename(tmp_path / "n" / "2")
    until(lambda: server.states() == {2: "END", 1: "AVAILABLE"}, "a failed load")
    status = server.ask("GET", "/v1/models/n/versions/2").json["model_version_status"][0]["status"]
    assert status["error_code"] == "NOT_FOUND"
    assert "Op type not registered 'NoSuchOperation'" in status["error_message"]
    assert server.predict({"inputs": [1.0]}).json == {"outputs": [10.0]}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_session_is_configured(serve: Callable[..., Served], saved_models, tmp_path: Path, runtime: str) -> None:
    """§1.4: what --tensorflow_session_config_file says reaches the session: here, how long a run may take."""
    config = tmp_path / "session.config"
    config.write_text("operation_timeout_in_ms: 200")
    server = serve(
        "m", saved_models.slow, f"--tensorflow_session_config_file={config}", f"--tensorflow_runtime={runtime}"
    )
    with calls(server.grpc_port) as grpc_calls:
        asked = request("m", "wait", seconds=60.0, x=1.0)
        assert failure(grpc_calls.predict, asked, timeout=None)[0] == "DEADLINE_EXCEEDED"
