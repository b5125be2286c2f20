"""Models as TFLite files: the same answers in Python and in a browser, where an open batch is refused.

All files are asked in one run of a browser.
"""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from labkit.browser import export_tflite, run
from labkit.browser.tflite import check_tflite
from labkit.errors import ModelConversionError
from labkit.export import export

# Largest difference from Keras's answers, which are of size 1, and how much smaller the file is.
QUANTIZED = {None: (1e-5, 1), "float16": (0.002, 2), "dynamic": (0.03, 4), "int8": (0.1, 4)}
SETUPS = ("LiteRT.js wasm", "LiteRT.js webgpu", "tfjs-tflite")
ASK = """
import { checkTflite, loadLiteRt, loadTflite, predictLiteRt } from './page/lite.js';

const ask = {
  'LiteRT.js wasm': (name, x) => liteRt(name, x, 'wasm'),
  'LiteRT.js webgpu': (name, x) => liteRt(name, x, 'webgpu'),
  'tfjs-tflite': async (name, x) => tfjs(await loadTflite(`files/${name}`), x),
};

async function liteRt(name, { data, shape }, accelerator) {
  const model = await loadLiteRt(`files/${name}`, accelerator);
  const { scores } = await predictLiteRt(model, { image: data });
  model.delete();
  return scores;
}

async function tfjs(model, { data, shape }) {
  const scores = model.predict(tf.tensor(data, shape));
  return { data: await scores.data(), shape: scores.shape };
}

const errors = {
  'LiteRT.js, open batch': () => loadLiteRt('files/open'),
  'tfjs-tflite, open batch': () => loadTflite('files/open'),
  'tfjs-tflite, dynamic': () => loadTflite('files/dynamic'),
  'wrong size': async () => predictLiteRt(await loadLiteRt('files/full'), { image: new Float32Array(3) }),
  'wrong name': async () => predictLiteRt(await loadLiteRt('files/full'), { picture: new Float32Array(192) }),
  'wrong accelerator': () => loadLiteRt('files/full', 'npu'),
  'no TFLite file': () => loadTflite('job.json'),
  'no bytes': () => checkTflite(new ArrayBuffer(0)),
  'no file': () => loadLiteRt('files/absent'),
};

export default async function ({ args }) {
  const answers = {}, messages = {};
  for (const [name, x] of Object.entries(args)) {
    answers[name] = {};
    for (const setup of Object.keys(ask)) {
      if (setup !== 'tfjs-tflite' || name !== 'dynamic') answers[name][setup] = await ask[setup](name, x);
    }
  }
  for (const [name, cause] of Object.entries(errors)) {
    messages[name] = await cause().then(() => 'no error', (error) => error.message);
  }
  const unguarded = await tfjs(await tflite.loadTFLiteModel('files/open'), args.full);
  return { answers, messages, unguarded };
}
""".replace("() => checkTflite", "async () => checkTflite")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A small convolutional network with weights at random; its answers are about 1 in size."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    hidden = layers.DepthwiseConv2D(3)(layers.Conv2D(16, 3, padding="same", activation="relu")(image))
    hidden = layers.Dense(256, activation="relu")(layers.Flatten()(layers.BatchNormalization()(hidden)))
    return keras.Model({"image": image}, {"scores": layers.Dense(10, name="scores")(hidden)})


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((50, 8, 8, 3), np.float32)


@pytest.fixture(scope="module")
def files(model, images, tmp_path_factory) -> dict[str, Path]:
    """The model by its name in the browser: as each kind of `quantize`, with a batch of 4, and with an open one."""
    root = tmp_path_factory.mktemp("tflite")
    saved_model = export(model, root / "model")
    open_batch = root / "open.tflite"
    open_batch.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert())
    return {
        "full": export_tflite(model, root / "full.tflite"),
        "float16": export_tflite(saved_model, root / "float16.tflite", quantize="float16"),
        "dynamic": export_tflite(saved_model, root / "dynamic.tflite", quantize="dynamic"),
        "int8": export_tflite(model, root / "int8.tflite", quantize="int8", representative=images),
        "four": export_tflite(saved_model, root / "four.tflite", batch=4),
        "open": open_batch,
    }


@pytest.fixture(scope="module")
def browser_answers(browser_is_here, files, images) -> dict[str, Any]:
    given = {name: images[: 4 if name == "four" else 1] for name in files if name != "open"}
    return run(ASK, files=files, args=given, backend=None, timeout=100)


def in_python(file: Path, signature: str = "serving_default", **inputs: np.ndarray) -> dict[str, np.ndarray]:
    return Interpreter(model_path=str(file)).get_signature_runner(signature)(**inputs)


@pytest.mark.parametrize(("quantize", "tolerance", "factor"), [(name, *wanted) for name, wanted in QUANTIZED.items()])
def test_answers_in_python_are_those_of_keras_and_files_are_smaller(
    quantize, tolerance, factor, model, images, files
) -> None:
    wanted = np.asarray(model({"image": images[:1]})["scores"])
    assert np.abs(wanted).max() > 0.1
    difference = np.abs(in_python(files[quantize or "full"], image=images[:1])["scores"] - wanted).max()
    assert difference < tolerance
    assert quantize is None or difference > 0
    ratio = files["full"].stat().st_size / files[quantize or "full"].stat().st_size
    assert ratio == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("name", ["full", "float16", "dynamic", "int8", "four"])
def test_answers_in_a_browser_are_those_of_keras(name, setup, model, images, browser_answers) -> None:
    if (name, setup) == ("dynamic", "tfjs-tflite"):
        assert "loadLiteRt, or another quantize" in browser_answers["messages"]["tfjs-tflite, dynamic"]
        return
    rows = 4 if name == "four" else 1
    wanted = np.asarray(model({"image": images[:rows]})["scores"])
    found = browser_answers["answers"][name][setup]
    assert found["shape"] == [rows, 10]
    tolerance = QUANTIZED.get(name, QUANTIZED[None])[0]
    np.testing.assert_allclose(found["data"].reshape(rows, 10), wanted, rtol=0, atol=tolerance)


def test_an_open_batch_is_refused_for_tfjs_tflite_would_answer_zeros(browser_answers) -> None:
    assert browser_answers["unguarded"]["shape"] == [1, 10]
    assert not browser_answers["unguarded"]["data"].any(), "tfjs-tflite does compute it: is the guard still needed?"
    for loader in ("LiteRT.js", "tfjs-tflite"):
        said = browser_answers["messages"][f"{loader}, open batch"]
        assert re.search(r'input "serving_default_image:0" has the shape \[-1,8,8,3\]', said)
        assert "export_tflite(model, path, batch=1)" in said


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("wrong size", 'input "image" takes 192 numbers, for the shape [1,8,8,3]; given were 3'),
        ("wrong name", 'input "image" takes 192 numbers, for the shape [1,8,8,3]; given were none'),
        ("wrong accelerator", 'no accelerator "npu"; there are wasm and webgpu'),
        ("no TFLite file", "job.json is not a TFLite file"),
        ("no bytes", "is not a TFLite file"),
        ("no file", "files/absent could not be loaded: HTTP 404"),
    ],
)
def test_what_goes_wrong_in_a_page_says_why(cause, words, browser_answers) -> None:
    assert words in browser_answers["messages"][cause]


def test_the_check_in_python_finds_an_open_batch_and_what_is_no_tflite_file(files, tmp_path) -> None:
    for name in files.keys() - {"open"}:
        check_tflite(files[name])
    with pytest.raises(ModelConversionError, match=r"'serving_default_image:0' has the shape \(-1, 8, 8, 3\).*batch=1"):
        check_tflite(files["open"])
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ModelConversionError, match="is not a TFLite file"):
        check_tflite(tmp_path / "model.json")
    with pytest.raises(ModelConversionError, match="is no file"):
        check_tflite(tmp_path / "absent")


def test_an_output_whose_size_depends_on_the_numbers_is_found(tmp_path) -> None:
    module = tf.Module()
    module.chosen = tf.function(lambda x: {"chosen": x[x > 0]}, input_signature=[tf.TensorSpec([5])])
    tf.saved_model.save(module, str(tmp_path / "saved_model"), signatures=module.chosen)
    with pytest.raises(ModelConversionError, match=r"model.tflite: the output .* has the shape \(-1,\)"):
        export_tflite(tmp_path / "saved_model", tmp_path / "model.tflite", batch=5)
    assert [file.name for file in tmp_path.iterdir()] == ["saved_model"]


def test_inputs_and_outputs_keep_their_names_and_a_recurrent_layer_its_answers(tmp_path) -> None:
    layers = keras.layers
    series, number = keras.Input((5, 3), name="series"), keras.Input((2,), name="number")
    hidden = layers.Concatenate()([layers.LSTM(4)(series), number])
    model = keras.Model(
        {"series": series, "number": number}, {"b": layers.Dense(2)(hidden), "a": layers.Dense(2)(hidden)}
    )
    random = np.random.default_rng(0)
    given = {"series": random.random((1, 5, 3), np.float32), "number": random.random((1, 2), np.float32)}
    wanted = model(given)
    found = in_python(export_tflite(model, tmp_path / "model.tflite"), **given)
    for name in ("a", "b"):
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)

    with pytest.raises(ModelConversionError, match="Give export_tflite the Keras model itself"):
        export_tflite(export(model, tmp_path / "saved"), tmp_path / "other.tflite")
    assert not (tmp_path / "other.tflite").exists()


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> Path:
    """A SavedModel of signatures that do not become TFLite files for a browser; `pair` does."""
    functions = {
        "text": tf.function(lambda x: {"y": tf.strings.length(x)}, input_signature=[tf.TensorSpec([None], tf.string)]),
        "wide": tf.function(lambda x: {"y": tf.argmax(x, 1)}, input_signature=[tf.TensorSpec([None, 3])]),
        "sizes": tf.function(lambda x: {"y": x + 1}, input_signature=[tf.TensorSpec([None, None])]),
        "inverse": tf.function(lambda x: {"y": tf.linalg.inv(x)}, input_signature=[tf.TensorSpec([3, 3])]),
        "pair": tf.function(lambda a, b: {"y": a + b}, input_signature=2 * [tf.TensorSpec([None, 3])]),
    }
    module, folder = tf.Module(), tmp_path_factory.mktemp("refused") / "saved_model"
    tf.saved_model.save(module, str(folder), signatures=functions)
    return folder


@pytest.mark.parametrize(
    ("signature", "batch", "words"),
    [
        ("text", 1, ["input 'x' is of type string", "Let the page turn the text into numbers"]),
        ("wide", 1, ["output 'y' is of type int64", "tf.cast(x, tf.int32)"]),
        ("sizes", 1, ["input 'x' has the shape (1, None)", "Input that states its size"]),
        ("inverse", 1, ["input 'x' has the shape (3, 3): give batch=3"]),
        ("inverse", 3, ["lacks: MatrixInverse", "export_graph_model"]),
        ("serving_default", 1, ["It has: inverse, pair, sizes, text, wide"]),
    ],
)
def test_what_cannot_be_converted_says_what_to_do(signature, batch, words, refused, tmp_path, capfd) -> None:
    with pytest.raises(ModelConversionError) as caught:
        export_tflite(refused, tmp_path / "model.tflite", signature=signature, batch=batch)
    for word in words:
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_arguments_that_make_no_sense_are_told(model, images, tmp_path) -> None:
    path = tmp_path / "model.tflite"
    for arguments, words in [
        ({"batch": 0}, "batch is 0"),
        ({"quantize": "int4"}, "float16, dynamic, int8"),
        ({"quantize": "int8"}, "go together"),
        ({"representative": images}, "go together"),
    ]:
        with pytest.raises(ModelConversionError, match=words):
            export_tflite(model, path, **arguments)
    for given in (3, keras.Sequential([keras.layers.Dense(2)])):
        with pytest.raises(ModelConversionError, match=f"model is of type {type(given).__name__}; give a Keras model"):
            export_tflite(given, path)
    with pytest.raises(ModelConversionError, match="is a folder"):
        export_tflite(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_examples_that_do_not_fit_are_told_which_and_what_is_wanted(refused, tmp_path) -> None:
    three = np.ones(3)
    for examples, words in [
        ([three], "example 0 is for the inputs without names; the model has a, b"),
        ([{"a": three, "b": three}, {"a": three}], "example 1 is for the inputs a; the model has a, b"),
        ([{"a": three, "b": three[np.newaxis]}], r"example 0 for 'b' has the shape \(1, 3\); \(3,\) is wanted"),
        ([], "representative holds no example"),
    ]:
        with pytest.raises(ModelConversionError, match=words):
            export_tflite(
                refused, tmp_path / "model.tflite", signature="pair", quantize="int8", representative=examples
            )
    assert list(tmp_path.iterdir()) == []


def test_it_says_nothing_even_where_no_log_level_holds_the_converter_back(model, images, tmp_path, capfd) -> None:
    file = export_tflite(model, tmp_path / "a" / "model.tflite", quantize="int8", representative=images[:3])
    assert capfd.readouterr() == ("", "")
    assert file == tmp_path / "a" / "model.tflite"
    assert [each.name for each in file.parent.iterdir()] == ["model.tflite"]
