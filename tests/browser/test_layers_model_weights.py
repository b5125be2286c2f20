"""Weights of TensorFlow.js models: written in shards, read from folders and artifacts, and put back complete or not."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

from labkit.browser import export_layers_model, load_weights, read_weights
from labkit.errors import ModelConversionError

SPEC = {"name": "a", "shape": [2, 1], "dtype": "float32"}


def model_of(width: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            kl.DepthwiseConv2D(3, name="depthwise"),
            kl.BatchNormalization(name="norm"),
            kl.Flatten(),
            kl.Dense(width, name="dense"),
        ]
    )


def test_the_folder_holds_what_was_exported(tmp_path: Path) -> None:
    model = model_of(40_000)  # 5 MB of weights
    folder = export_layers_model(model, tmp_path / "deep" / "model")
    shards = sorted(folder.glob("*.bin"))
    assert [shard.name for shard in shards] == ["group1-shard1of2.bin", "group1-shard2of2.bin"]
    assert shards[0].stat().st_size == 4 * 2**20
    weights = read_weights(folder)
    assert list(weights) == [
        "depthwise/depthwise_kernel", "depthwise/bias", "norm/gamma", "norm/beta", "norm/moving_mean",
        "norm/moving_variance", "dense/kernel", "dense/bias",
    ]  # fmt: skip
    for weight, wanted in zip(weights.values(), model.weights, strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert read_weights(folder / "model.json").keys() == weights.keys()


def test_an_older_model_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    export_layers_model(model_of(40_000), tmp_path / "model")
    export_layers_model(model_of(2), tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["group1-shard1of1.bin", "model.json"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ModelConversionError, match="not overwritten"):
        export_layers_model(model_of(2), tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "model"]


def test_weights_are_loaded_complete_or_not_at_all(tmp_path: Path) -> None:
    model, other = model_of(3), model_of(3)
    weights = read_weights(export_layers_model(model, tmp_path / "model"))
    x = np.ones((2, 6, 6, 2), "float32")
    before = np.asarray(other(x))
    wrong = {**weights, "norm/beta": np.zeros(3), "more/kernel": np.zeros(1)}
    del wrong["dense/bias"]
    with pytest.raises(ModelConversionError) as refused:
        load_weights(other, wrong)
    assert "missing: dense/bias; left over: more/kernel; of another shape: norm/beta (3,) instead of (2,)" in str(
        refused.value
    )
    np.testing.assert_array_equal(other(x), before)
    load_weights(other, weights)
    np.testing.assert_array_equal(other(x), model(x))


def test_layers_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    def towers() -> keras.Model:
        x = keras.Input((2,))
        inner = [
            keras.Sequential([keras.Input((2,)), kl.Dense(2, name="dense")], name=name) for name in ("left", "right")
        ]
        return keras.Model(x, kl.Add()([part(x) for part in inner]))

    model = towers()
    weights = read_weights(export_layers_model(model, tmp_path / "model"))
    assert sorted(weights) == ["left.dense/bias", "left.dense/kernel", "right.dense/bias", "right.dense/kernel"]
    again = towers()
    load_weights(again, weights)
    for weight, wanted in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize(
    "data", [b"\0\0\x80?\0\0\0@", np.frombuffer(b"\0\0\x80?\0\0\0@", "u1"), [b"\0\0\x80?", b"\0\0\0@"]]
)
def test_artifacts_are_read_in_either_spelling(data: Any) -> None:
    for artifacts in ({"weightSpecs": [SPEC], "weightData": data}, {"weight_specs": [SPEC], "weight_data": data}):
        np.testing.assert_array_equal(read_weights(artifacts)["a"], [[1], [2]])


def test_quantised_weights_and_those_of_the_optimizer() -> None:
    specs = [
        {**SPEC, "name": "half", "quantization": {"dtype": "float16", "original_dtype": "float32"}},
        {**SPEC, "name": "byte", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
        {**SPEC, "name": "adam/m", "group": "optimizer"},
        {"name": "whole", "shape": [], "dtype": "int32"},
    ]
    data = np.float16([1.5, -2]).tobytes() + bytes([0, 4]) + bytes(8) + np.int32(7).tobytes()
    weights = read_weights({"weightSpecs": specs, "weightData": data})
    assert {name: weight.ravel().tolist() for name, weight in weights.items()} == {
        "half": [1.5, -2.0],
        "byte": [-1.0, 1.0],
        "whole": [7],
    }
    assert weights["half"].dtype == weights["byte"].dtype == np.float32


@pytest.mark.parametrize(
    ("artifacts", "words"),
    [
        ({}, "artifacts has nothing"),
        ({"weightSpecs": [SPEC]}, "artifacts has weightSpecs"),
        ({"weightSpecs": [SPEC], "weightData": bytes(7)}, "end after 7 bytes, within 'a'"),
        ({"weightSpecs": [SPEC], "weightData": bytes(12)}, "12 bytes of weights, and the specs name 8"),
        ({"weightSpecs": [{**SPEC, "dtype": "string"}], "weightData": bytes(8)}, "of dtype string"),
        ({"weightSpecs": [SPEC], "weightData": 8}, "weightData is a int"),
    ],
)
def test_incomplete_artifacts_are_refused(artifacts: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelConversionError, match=words):
        read_weights(artifacts)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelConversionError, match="is not the folder of"):
        read_weights(tmp_path)
    folder = export_layers_model(model_of(2), tmp_path / "model")
    (shard,) = folder.glob("*.bin")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ModelConversionError, match="end after"):
        read_weights(folder)
    shard.unlink()
    with pytest.raises(ModelConversionError, match="not all of one"):
        read_weights(folder)
    (folder / "model.json").write_text(json.dumps({"format": "graph-model"}))
    with pytest.raises(ModelConversionError, match="weightsManifest"):
        read_weights(folder)
