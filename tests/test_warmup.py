"""labkit.export.write_warmup: requests that a server warms a version up with."""

import re
from pathlib import Path

import numpy as np
import pytest

from labkit import serve
from labkit.errors import ModelFolderError, WarmupError
from labkit.export import export, write_warmup

FILE = Path("assets.extra", "tf_serving_warmup_requests")
ROW = np.ones((1, 2), np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model with the signatures serving_default (x), two (a, b) and classify (tf.Examples)."""
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1, name="y")])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="a"), tf.TensorSpec([None], tf.string, "b")])
    def two(a, b):
        return {"a": a, "b": b}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(inputs):
        parsed = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([2], tf.float32)})
        return {"scores": model(parsed["x"])}

    return export(model, tmp_path_factory.mktemp("saved"), signatures={"two": two, "classify": classify})


@pytest.fixture
def version(saved, tmp_path):
    """A copy of it, without a warm-up."""
    import shutil

    return Path(shutil.copytree(saved, tmp_path / "m" / "1"))


def logs(path):
    """What stands in the file, read by TensorFlow."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    return [PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


def classification(signature="classify", x=(1.0, 2.0)):
    from tensorflow_serving.apis.classification_pb2 import ClassificationRequest

    request = ClassificationRequest()
    request.model_spec.signature_name = signature
    request.input.example_list.examples.add().features.feature["x"].float_list.value.extend(x)
    return request


def test_mappings_arrays_and_lists_become_predict_requests(version):
    import tensorflow as tf

    path = write_warmup(version, [{"x": ROW}, ROW, [[1, 2], [3, 4]], tf.constant(ROW)])
    assert path == version / FILE
    requests = [log.predict_log.request for log in logs(path)]
    assert [request.model_spec.signature_name for request in requests] == ["serving_default"] * 4
    arrays = [tf.make_ndarray(request.inputs["x"]) for request in requests]
    assert [array.tolist() for array in arrays] == [[[1, 1]], [[1, 1]], [[1, 2], [3, 4]], [[1, 1]]]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}
    assert sorted(child.name for child in version.iterdir() if child.name.startswith(".")) == [], "nothing left aside"


def test_another_signature(version):
    path = write_warmup(version, [{"a": [1], "b": ["text"]}, {"a": np.array([2]), "b": np.array(["t"])}],
                        signature_name="two")  # fmt: skip
    first, second = (log.predict_log.request for log in logs(path))
    assert first.model_spec.signature_name == second.model_spec.signature_name == "two"
    assert first.inputs["b"].string_val == [b"text"]
    assert second.inputs["a"].int64_val == [2]


def test_messages_are_written_as_they_are(version):
    from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
    from tensorflow_serving.apis.regression_pb2 import RegressionRequest

    classify = classification()
    regress = RegressionRequest(model_spec=classify.model_spec, input=classify.input)
    multi = MultiInferenceRequest(input=classify.input)
    multi.tasks.add(method_name="tensorflow/serving/classify").model_spec.name = "m"
    multi.tasks[0].model_spec.signature_name = "classify"
    ready = PredictionLog()
    ready.classify_log.request.CopyFrom(classify)
    ready.log_metadata.model_spec.name = "kept"
    first, second, third, fourth = logs(write_warmup(version, (m for m in (classify, regress, multi, ready))))
    assert first.classify_log.request == classify
    assert second.regress_log.request == regress
    assert third.multi_inference_log.request == multi
    assert fourth == ready


def test_a_server_takes_them(version):
    write_warmup(version, [ROW, classification()])
    with serve(version.parent) as server:
        assert "Number of warmup records read: 2." in server.logs()


def _messages():
    from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
    from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    empty = classification()
    empty.input.Clear()
    multi = MultiInferenceRequest(input=classification().input)
    multi.tasks.add().model_spec.signature_name = "classify"
    other_output = PredictRequest(output_filter=["z"])
    import tensorflow as tf

    other_output.inputs["x"].CopyFrom(tf.make_tensor_proto(ROW))
    streamed = PredictionLog()
    streamed.predict_streamed_log.SetInParent()
    return {
        "foo": classification("foo"),
        "predict": classification("serving_default"),
        "empty": empty,
        "multi": multi,
        "output": other_output,
        "streamed": streamed,
        "unset": PredictionLog(),
        "status": GetModelStatusRequest(),
    }


@pytest.mark.parametrize(
    ("request_", "signature", "error"),
    [
        ({"y": ROW}, "serving_default", "it has the inputs ['y'], signature 'serving_default' takes ['x']"),
        ({"x": ROW, "y": ROW}, "serving_default", "it has the inputs ['x', 'y'], signature 'serving_default' takes"),
        ({"x": np.ones((1, 2))}, "serving_default", "input 'x' is float64, the signature takes float32: convert it"),
        ({"x": np.ones(2, np.float32)}, "serving_default", "input 'x' has the shape (2,), the signature takes (None,"),
        ({"x": [["a", "b"]]}, "serving_default", "the value of input 'x' cannot be made a tensor"),
        ({"x": [[1.0], [2.0, 3.0]]}, "serving_default", "the value of input 'x' cannot be made a tensor"),
        (ROW, "foo", "the model has no signature 'foo'; it has classify, serve, serving_default, two"),
        (ROW, "two", "signature 'two' has the inputs ['a', 'b']: pass a mapping"),
        ("foo", "", "the model has no signature 'foo'"),
        ("predict", "", "signature 'serving_default' takes ['x'], not tf.Examples as its input 'inputs'"),
        ("empty", "", "this ClassificationRequest has no examples"),
        ("multi", "", "all tasks of a MultiInferenceRequest must name a model"),
        ("output", "", "it asks for ['z'], signature 'serving_default' gives ['output_0']"),
        ("streamed", "", "it is a PredictionLog of predict_streamed_log; servers warm up with PredictRequest, Class"),
        ("unset", "", "it is a PredictionLog of nothing"),
        ("status", "", "it is a GetModelStatusRequest; servers warm up with"),
    ],
    ids=str,
)
def test_what_a_server_would_refuse_is_refused(version, request_, signature, error):
    before = write_warmup(version, [ROW]).read_bytes()
    request = _messages()[request_] if isinstance(request_, str) else request_
    with pytest.raises(WarmupError, match=re.escape(f"Request 2: {error}")):
        write_warmup(version, [classification(), request], **({"signature_name": signature} if signature else {}))
    assert (version / FILE).read_bytes() == before, "what was there stays"
    assert list(version.glob(".writing-*")) == []


def test_at_most_a_thousand(version):
    assert len(logs(write_warmup(version, [ROW] * 1000))) == 1000
    with pytest.raises(WarmupError, match="More than 1000 requests"):
        write_warmup(version, [ROW] * 1001)
    with pytest.raises(WarmupError, match="no requests"):
        write_warmup(version, [])


@pytest.mark.parametrize("one", [{"x": ROW}, ROW])
def test_one_request_is_not_taken_for_a_list(version, one):
    with pytest.raises(WarmupError, match=r"got one (dict|ndarray): write \[request\]"):
        write_warmup(version, one)


def test_only_a_versions_folder_will_do(version, tmp_path):
    with pytest.raises(ModelFolderError, match=re.escape(f"choose a version, such as {version}")):
        write_warmup(version.parent, [ROW])
    with pytest.raises(ModelFolderError, match="not the folder of one version"):
        write_warmup(tmp_path / "elsewhere", [ROW])


def test_a_damaged_model_is_said_to_be_one(version):
    (version / "saved_model.pb").write_bytes(b"this is no protobuf message")
    with pytest.raises(ModelFolderError, match=re.escape(f"{version / 'saved_model.pb'} is damaged")):
        write_warmup(version, [ROW])
