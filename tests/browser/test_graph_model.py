"""SavedModel -> graph model: answers as in Python on every backend of TensorFlow.js, and errors with a way out.

All models are asked in one run of a browser.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from labkit import data, models
from labkit.browser import export_graph_model, run
from labkit.browser.graph_model_fusions import take_apart
from labkit.errors import EnvironmentProblem, ModelConversionError
from labkit.export import export

# Largest difference from Python's answers, which are of size 1. WebGL and WebGPU are computed here by SwiftShader.
TOLERANCES = {"cpu": 1e-5, "wasm": 1e-5, "webgl": 1e-5, "webgpu": 1e-5}
STEPS = {"float16": 0.002, "uint16": 1e-4, "uint8": 0.03}  # the same for stored weights that are rounded
ASK = """
import { useBackend } from './page/backends.js';
export default async function ({ args }) {
  const answers = {};
  for (const [name, { backends, inputs }] of Object.entries(args)) {
    answers[name] = {};
    for (const backend of backends) {
      const tf = await useBackend(backend);
      const model = await tf.loadGraphModel(`files/${name}/model.json`);
      const given = Object.fromEntries(Object.entries(inputs).map(([input, { data, shape, type }]) =>
        [input, tf.tensor(data, shape, type)]));
      const predicted = await model.predictAsync(given);
      const named = predicted.dataSync ? { only: predicted } : predicted;
      const plain = {};
      for (const [output, tensor] of Object.entries(named)) {
        plain[output] = { data: await tensor.data(), shape: tensor.shape };
      }
      answers[name][backend] = plain;
      model.dispose();
    }
  }
  return answers;
}
"""


class Signatures(tf.Module):
    """One signature for each trait that a conversion can get wrong."""

    def __init__(self) -> None:
        self.weights = tf.Variable(tf.random.stateless_normal((4, 3), [1, 2]))
        self.codes = tf.constant([0, 1_000_000, 123_457, 7])
        self.far = tf.constant([-1e9, 0.0, 1e-3])

    @tf.function(input_signature=[tf.TensorSpec([None, 4])])
    def alike(self, features):
        """Three outputs of which two have one shape; their tensors are not made in the order of their names."""
        product = features @ self.weights
        return {"zebra": product, "ant": product * 2, "mouse": tf.reduce_sum(features, 1)}

    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def loop(self, numbers):
        for _ in tf.range(tf.shape(numbers)[0]):
            numbers = numbers * 2
        return {"doubled": numbers}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def looked_up(self, index):
        """Whole numbers and numbers beyond float16 that rounding would spoil; 64 bits go in and out."""
        return {"code": tf.cast(tf.gather(self.codes, index), tf.int64), "far": tf.gather(self.far, index % 3)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def picture(self, jpeg):
        return {"pixels": tf.io.decode_jpeg(jpeg)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def text(self, words):
        return {"length": tf.strings.length(words), "upper": tf.strings.upper(words)}


@pytest.fixture(scope="module")
def signatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module, folder = Signatures(), tmp_path_factory.mktemp("signatures") / "saved_model"
    names = ("alike", "loop", "looked_up", "picture", "text")
    tf.saved_model.save(module, str(folder), signatures={name: getattr(module, name) for name in names})
    return folder


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers that the converter folds and fuses, with weights at random; its answers are about 1 in size."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3), name="image"),
            layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("swish"),
            layers.SeparableConv2D(24, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(256, activation="tanh"),
            layers.Dense(10),
        ]
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "kernel" not in weight.name:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return export(model, tmp_path_factory.mktemp("convolutional"))


@pytest.fixture(scope="module")
def penguins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six inputs by name, two of them text that lookup tables turn into numbers."""
    return export(models.penguins(data.penguins().train, epochs=1), tmp_path_factory.mktemp("penguins"))


def inputs_of(name: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "convolutional": {"image": random.random((3, 16, 16, 3), np.float32)},
        "penguins": data.penguins().test.take(slice(5)).inputs,
        "alike": {"features": random.random((2, 4), np.float32)},
        "loop": {"numbers": random.random((3, 2), np.float32)},
        "looked_up": {"index": np.array([1, 2, 3, 0])},
    }[name]


def written(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Inputs as JSON carries them; text has no array there."""
    types = {"f": "float32", "i": "int32", "O": "string"}
    return {
        name: {"data": array.ravel().tolist(), "shape": array.shape, "type": types[array.dtype.kind]}
        for name, array in inputs.items()
    }


def with_onednn(saved_model: Path, folder: Path) -> None:
    """Export in a process in which TensorFlow computes, and therefore fuses, as it does by itself on most machines."""
    program = "import sys; from labkit.browser import export_graph_model; export_graph_model(*sys.argv[1:])"
    command = [sys.executable, "-c", program, str(saved_model), str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}, timeout=100)


@pytest.fixture(scope="module")
def folders(convolutional, penguins, signatures, tmp_path_factory) -> dict[str, Path]:
    """The exported models by name."""
    root = tmp_path_factory.mktemp("graph_models")
    found = {
        "convolutional": export_graph_model(convolutional, root / "convolutional"),
        "penguins": export_graph_model(penguins, root / "penguins"),
    }
    for name in ("alike", "loop", "looked_up"):
        found[name] = export_graph_model(signatures, root / name, signature=name)
    found["convolutional onednn"] = root / "onednn"
    with_onednn(convolutional, root / "onednn")
    for quantize in STEPS:
        found[f"convolutional {quantize}"] = export_graph_model(
            convolutional, root / f"convolutional_{quantize}", quantize=quantize
        )
        found[f"looked_up {quantize}"] = export_graph_model(
            signatures, root / f"looked_up_{quantize}", signature="looked_up", quantize=quantize
        )
    return found


@pytest.fixture(scope="module")
def in_the_browser(browser_is_here: None, folders: dict[str, Path]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """What the models answer there: by model, backend and output."""
    jobs = {
        name: {
            "backends": ["wasm"] if " " in name else list(TOLERANCES),
            "inputs": written(inputs_of(name.split()[0])),
        }
        for name in folders
    }
    names = {name: name.replace(" ", "_") for name in folders}
    answers = run(
        ASK,
        files={names[name]: folder for name, folder in folders.items()},
        args={names[name]: job for name, job in jobs.items()},
        backend=None,
        timeout=100,
    )
    return {
        name: {
            backend: {output: np.reshape(value["data"], value["shape"]) for output, value in outputs.items()}
            for backend, outputs in answers[names[name]].items()
        }
        for name in folders
    }


def in_python(saved_model: Path, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    loaded = tf.saved_model.load(str(saved_model))
    answers = loaded.signatures[signature](**{name: tf.constant(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in answers.items()}


@pytest.mark.parametrize("backend", TOLERANCES)
@pytest.mark.parametrize("name", ["convolutional", "penguins"])
def test_answers_are_those_of_python(name, backend, in_the_browser, request) -> None:
    expected = in_python(request.getfixturevalue(name), "serving_default", inputs_of(name))
    (wanted,) = expected.values()
    assert np.abs(wanted).max() > 0.1
    found = in_the_browser[name][backend]
    assert list(found) == ["only"], "a single output is not an object of tensors"
    np.testing.assert_allclose(found["only"], wanted, rtol=0, atol=TOLERANCES[backend])


def test_what_onednn_fuses_runs_in_the_browser_too(in_the_browser, folders) -> None:
    if "/before_tanh" not in (folders["convolutional onednn"] / "model.json").read_text(encoding="utf-8"):
        pytest.skip("TensorFlow computes without oneDNN on this processor and has not fused the tanh")
    wanted, found = (in_the_browser[name]["wasm"]["only"] for name in ("convolutional", "convolutional onednn"))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCES["wasm"])


def fused(*names: str) -> dict[str, Any]:
    """A node of a graph as model.json has it."""
    attributes = {"fused_ops": {"list": {"s": [base64.b64encode(name.encode()).decode() for name in names]}}, "T": {}}
    return {"name": "dense", "op": "_FusedMatMul", "input": ["x", "w", "b"], "attr": attributes}


def test_a_fused_tanh_is_an_op_of_its_own_again() -> None:
    topology = {"node": [fused("BiasAdd", "Tanh")], "library": {"function": [{"nodeDef": [fused("BiasAdd", "Tanh")]}]}}
    take_apart(topology)
    product = {**fused("BiasAdd"), "name": "dense/before_tanh"}
    tanh = {"name": "dense", "op": "Tanh", "input": ["dense/before_tanh"], "attr": {"T": {}}}
    assert topology == {"node": [product, tanh], "library": {"function": [{"nodeDef": [product, tanh]}]}}


def test_what_is_fused_and_cannot_be_taken_apart_is_refused_with_a_way_out() -> None:
    with pytest.raises(ModelConversionError, match=r"fused dense with _FusedHardSwish.*TF_ENABLE_ONEDNN_OPTS=0"):
        take_apart({"node": [fused("BiasAdd", "Relu6"), fused("BiasAdd", "_FusedHardSwish")]})


@pytest.mark.parametrize("backend", TOLERANCES)
@pytest.mark.parametrize("name", ["alike", "looked_up"])
def test_several_outputs_come_under_their_own_names(name, backend, in_the_browser, signatures) -> None:
    expected = in_python(signatures, name, inputs_of(name))
    found = in_the_browser[name][backend]
    assert set(found) == set(expected)
    for output, wanted in expected.items():
        np.testing.assert_allclose(found[output], wanted, rtol=TOLERANCES[backend], err_msg=output)


@pytest.mark.parametrize("backend", TOLERANCES)
def test_a_loop_and_open_dimensions(backend, in_the_browser) -> None:
    numbers = inputs_of("loop")["numbers"]
    np.testing.assert_allclose(in_the_browser["loop"][backend]["only"], numbers * 8, rtol=1e-6)


def weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.bin"))


@pytest.mark.parametrize(("quantize", "factor"), [("float16", 2), ("uint16", 2), ("uint8", 4)])
def test_stored_weights_are_smaller_and_answers_near(quantize, factor, folders, in_the_browser) -> None:
    ratio = weight_bytes(folders["convolutional"]) / weight_bytes(folders[f"convolutional {quantize}"])
    assert ratio == pytest.approx(factor, rel=0.02)
    full = in_the_browser["convolutional"]["wasm"]["only"]
    difference = np.abs(in_the_browser[f"convolutional {quantize}"]["wasm"]["only"] - full).max()
    assert 0 < difference < STEPS[quantize]


@pytest.mark.parametrize("quantize", STEPS)
def test_what_rounding_would_spoil_is_stored_as_it_is(quantize, in_the_browser, signatures) -> None:
    expected = in_python(signatures, "looked_up", inputs_of("looked_up"))
    found = in_the_browser[f"looked_up {quantize}"]["wasm"]
    np.testing.assert_array_equal(found["code"], expected["code"])
    assert np.all(np.isfinite(found["far"]))


@pytest.mark.parametrize(
    ("signature", "quantize", "words"),
    [
        ("picture", None, ["DecodeJpeg", "Split the model", "tf.browser.fromPixels"]),
        ("text", None, ["StringLength, StringUpper", "Split the model"]),
        ("serving_default", None, ["no signature 'serving_default'", "alike, looked_up, loop, picture, text"]),
        ("alike", "int4", ["'int4'", "float16, uint8, uint16"]),
    ],
)
def test_what_cannot_be_converted_says_what_to_do(signature, quantize, words, signatures, tmp_path) -> None:
    with pytest.raises(ModelConversionError) as caught:
        export_graph_model(signatures, tmp_path / "web", signature=signature, quantize=quantize)
    for word in words:
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "something was written"


def test_a_folder_that_is_no_saved_model_is_named_with_a_way_out(convolutional, tmp_path) -> None:
    for given, words in [
        (tmp_path / "absent", "does not exist"),
        (tmp_path, "is not a SavedModel.*labkit.export"),
        (convolutional.parent, f"versions of a model, 1.*{convolutional}"),
        (convolutional / "saved_model.pb", "is a file"),
    ]:
        with pytest.raises(ModelConversionError, match=words):
            export_graph_model(given, tmp_path / "web")
    broken = tmp_path / "broken"
    shutil.copytree(convolutional, broken)
    shutil.rmtree(broken / "variables")
    with pytest.raises(ModelConversionError, match="TensorFlow cannot load"):
        export_graph_model(broken, tmp_path / "web")


def test_a_model_is_replaced_and_nothing_else_ever_is(convolutional, signatures, tmp_path) -> None:
    web = tmp_path / "deep" / "web"
    export_graph_model(convolutional, web)
    assert export_graph_model(signatures, web, signature="alike") == web
    model = json.loads((web / "model.json").read_text())
    assert list(model["signature"]["outputs"]) == ["ant", "mouse", "zebra"]
    assert {file.name for file in web.iterdir()} == {"model.json", *model["weightsManifest"][0]["paths"]}

    with pytest.raises(ModelConversionError, match="DecodeJpeg"):
        export_graph_model(signatures, web, signature="picture")
    assert json.loads((web / "model.json").read_text()) == model
    assert [file.name for file in web.parent.iterdir()] == ["web"]

    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ModelConversionError, match="new or an empty folder"):
        export_graph_model(convolutional, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_it_says_nothing_and_leaves_no_false_modules_behind(signatures, tmp_path, capfd) -> None:
    export_graph_model(signatures, tmp_path / "web", signature="looked_up", quantize="uint8")
    assert capfd.readouterr() == ("", "")
    for name in ("jax", "jax.experimental.jax2tf", "tf_keras", "tensorflow_hub", "tensorflow_decision_forests"):
        assert name not in sys.modules or sys.modules[name].__spec__ is not None, f"{name} is a stand-in"


def test_two_threads_may_export_at_once(convolutional, signatures, tmp_path) -> None:
    with ThreadPoolExecutor(2) as pool:
        exports = [
            pool.submit(export_graph_model, convolutional, tmp_path / "a"),
            pool.submit(export_graph_model, signatures, tmp_path / "b", signature="alike"),
        ]
        folders = [each.result() for each in exports]
    outputs = [json.loads((folder / "model.json").read_text())["signature"]["outputs"] for folder in folders]
    assert [len(each) for each in outputs] == [1, 3]


def test_without_the_converter_it_says_how_to_install_it(convolutional, tmp_path, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflowjs"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflowjs", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install --no-deps tensorflowjs==4\.22\.0"):
        export_graph_model(convolutional, tmp_path / "web")
