"""What the wire forms of a batch refuse, and in which words."""

import numpy as np
import pytest

from labkit.bench import payload

from .batches import NOT_IN_JSON, TEXT


@pytest.mark.parametrize("dtype", NOT_IN_JSON)
def test_json_refuses_what_tensorflow_serving_does_not_read(dtype):
    for form in (payload.json_rows("python"), payload.json_rows(), payload.json_columns(), payload.json_columns(2)):
        with pytest.raises(
            ValueError, match=f"input 'x' is {np.dtype(dtype)}, .* does not read from JSON: send it over"
        ):
            form.encode({"x": np.zeros(2, dtype)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.array(1, np.float32)}, r"one row or more, .* \{'x': \(\)\}"),
        ({"x": np.float32([])}, r"one row or more, .* \{'x': \(0,\)\}"),
        ({"x": np.float32([1]), "y": np.float32([1, 2])}, r"as many of each input; .* \{'x': \(1,\), 'y': \(2,\)\}"),
        ({"x": np.float32([1]), "y": np.float32([])}, "as many of each input"),
        ({"x": np.float32([[1]]), "y": np.array(1, np.float32)}, "as many of each input"),
    ],
)
def test_rows_need_a_batch(inputs, message):
    for form in (payload.json_rows("python"), payload.json_rows(), payload.json_rows(2), payload.json_base64()):
        with pytest.raises(ValueError, match=message):
            form.encode(inputs)


def test_json_refuses_shapes_that_lists_do_not_show():
    for form in (payload.json_columns(), payload.json_rows("python")):
        with pytest.raises(
            ValueError, match=r"'x' has the shape \(0, 4\), of which JSON's lists show no more than a 0"
        ):
            form.encode({"x": np.zeros((0, 4), np.float32)})
    assert payload.json_columns().encode({"x": np.zeros((2, 0), np.float32)}) == b'{"inputs":[[],[]]}'


def test_other_refusals_say_what_was_passed():
    x = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=r"the inputs \['x'\] are text, not numbers with raw bytes"):
        payload.json_base64().encode({"x": TEXT})
    with pytest.raises(ValueError, match=r"nothing can be rounded in 'x' \(int64\), 'y' \(object\)"):
        payload.json_rows(2).encode({"x": np.arange(2), "y": TEXT})
    for digits in ("longest", -1, 18, 2.0, True):
        with pytest.raises(ValueError, match=f"'shortest', 'python' or a number from 0 to 17, got {digits!r}"):
            payload.json_rows(digits)
    for form in (payload.json_rows(), payload.tensor_content("m")):
        for inputs in (x, {}, None):
            with pytest.raises(ValueError, match="wanted is a mapping from input name to array"):
                form.encode(inputs)
        with pytest.raises(ValueError, match="input 'x' is a list, wanted is a numpy array"):
            form.encode({"x": [1.0]})
        with pytest.raises(ValueError, match=r"objects with \['NoneType', 'int'\] in it, wanted are bytes or str"):
            form.encode({"x": np.array([1, None, "a"], object)})
        with pytest.raises(ValueError, match=r"input 'x' is datetime64\[s\], which TensorFlow has no type for"):
            form.encode({"x": np.array([0], "datetime64[s]")})
    for form in (payload.json_rows(), payload.tensor_fields("m")):
        with pytest.raises(ValueError, match="surrogates not allowed"):
            form.encode({"x": np.array(["\ud800"], object)})


def test_measure_refuses_what_it_cannot_measure():
    with pytest.raises(ValueError, match=r"no values, only the shapes \[\(0, 4\)\]"):
        payload.measure({"x": np.zeros((0, 4))})
    with pytest.raises(ValueError, match="does not read from JSON"):
        payload.measure({"x": np.zeros(1, np.float16)}, [payload.json_rows()])
