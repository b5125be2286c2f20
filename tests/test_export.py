"""labkit.export: version folders."""

import pytest

from labkit.errors import ModelConversionError, ModelFolderError, WarmupError
from labkit.export import export, versions


@pytest.fixture(scope="module")
def model():
    import keras

    return keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1, name="y")])


def test_each_export_is_the_next_version(model, tmp_path):
    assert versions(tmp_path / "m") == []
    assert export(model, tmp_path / "m") == tmp_path / "m" / "1"
    assert export(model, tmp_path / "m") == tmp_path / "m" / "2"
    assert export(model, tmp_path / "m", version=7) == tmp_path / "m" / "7"
    assert export(model, tmp_path / "m") == tmp_path / "m" / "8"
    assert versions(tmp_path / "m") == [1, 2, 7, 8]
    assert sorted(child.name for child in (tmp_path / "m").iterdir()) == ["1", "2", "7", "8"], "nothing is left aside"
    assert (tmp_path / "m" / "1" / "saved_model.pb").exists()


def test_only_whole_numbers_are_versions(tmp_path):
    for name in ("1", "0002", "v3", "4.tmp", ".5"):
        (tmp_path / name).mkdir()
    (tmp_path / "6").touch()
    assert versions(tmp_path) == [1, 2]


def test_a_version_is_never_overwritten(model, tmp_path):
    export(model, tmp_path, version=3)
    with pytest.raises(ModelFolderError, match=r"holds a version 3 already.*write version 4"):
        export(model, tmp_path, version=3)
    with pytest.raises(ModelFolderError, match="whole number from 0 on, got -1"):
        export(model, tmp_path, version=-1)


def test_a_failed_export_leaves_nothing_behind(model, tmp_path):
    with pytest.raises(ValueError, match="input_signature"):
        export(model, tmp_path / "m", signatures={"no_signature": lambda x: x})
    assert list((tmp_path / "m").iterdir()) == []


def subclassed():
    import keras

    class Doubled(keras.Model):
        def call(self, x):
            return 2 * x

    return Doubled()


def without_input():
    import keras

    return keras.Sequential([keras.layers.Dense(1)])


@pytest.mark.parametrize("made", [subclassed, without_input])
def test_a_model_that_does_not_say_its_inputs_is_refused(made, tmp_path):
    import keras

    with pytest.raises(ModelConversionError, match=r"This (Doubled|Sequential) .*keras\.Model\(x, model\(x\)\)"):
        export(made(), tmp_path / "m")
    assert list((tmp_path / "m").iterdir()) == []
    x = keras.Input((2,))
    assert export(keras.Model(x, made()(x)), tmp_path / "m").name == "1", "the advice works"


def test_further_signatures_stand_beside_the_models_own(model, tmp_path):
    import numpy as np
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def from_text(text):
        numbers = tf.strings.to_number(tf.strings.split(text, ",").to_tensor("0"))
        return {"y": model(numbers)}

    path = export(model, tmp_path, signatures={"from_text": from_text})
    loaded = tf.saved_model.load(str(path))
    assert {"serving_default", "serve", "from_text"} <= set(loaded.signatures)
    direct = loaded.signatures["serving_default"](tf.constant([[1.0, 2.0]]))
    via_text = loaded.signatures["from_text"](tf.constant(["1,2"]))
    np.testing.assert_allclose(next(iter(direct.values())), via_text["y"])


def test_a_version_is_written_with_its_warm_up(model, tmp_path):
    """A server sees the version with its requests or not at all; one that does not fit keeps it from being written."""
    path = export(model, tmp_path / "m", warmup=[[[1.0, 2.0]], {"x": [[3.0, 4.0]]}])
    assert (path / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0
    with pytest.raises(WarmupError, match=r"Request 2: it has the inputs \['z'\]"):
        export(model, tmp_path / "m", warmup=[[[1.0, 2.0]], {"z": [[3.0, 4.0]]}])
    assert [child.name for child in (tmp_path / "m").iterdir()] == ["1"]
