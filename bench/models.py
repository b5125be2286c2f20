"""Writes what every side serves and is asked: `python models.py FOLDER` fills a folder in FOLDER for each, with

1/ (a SavedModel), body.json (REST), message.bin (gRPC, framed as HTTP/2 carries it) and answer.json (what TensorFlow
itself answers). `small` is one softmax layer and one row of 4 features, `large` the same and 1000 rows of 784; `CNN`
is two convolutions and one picture of 28 x 28 pixels, `CNN with a hidden layer` the same with a dense layer behind.
`wide` answers with 4.5 MB of float32. `any length` has a SavedModel alone, which finds the largest number of a row.
"""

import json
import struct
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

SIZES = {"small": (1, 4, 3), "large": (1000, 784, 10), "wide": (1125, 4, 1000)}  # rows, features, classes
CNNS = {"CNN": 0, "CNN with a hidden layer": 1024}  # units of the hidden layer


def softmax_layer(features: int, classes: int) -> tf.Module:
    """Fixed weights; `serve` takes `x` [rows, features] and gives `y` [rows, classes]."""
    module = tf.Module()
    module.kernel = tf.Variable(tf.random.stateless_normal([features, classes], seed=[1, 2]) / features**0.5)

    @tf.function(input_signature=[tf.TensorSpec([None, features], tf.float32, name="x")])
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.nn.softmax(x @ module.kernel)}

    module.serve = serve
    return module


def largest_number() -> tf.Module:
    """`serve` takes `x` [rows, any length] and gives `y` [rows]: an answer that does not grow, and no rounding."""
    module = tf.Module()
    spec = tf.TensorSpec([None, None], tf.float32, name="x")
    module.serve = tf.function(lambda x: {"y": tf.reduce_max(x, axis=1)}, input_signature=[spec])
    return module


def convolutions(hidden: int) -> keras.Model:
    """The convolutional network that introductions begin with, its weights random.

    Keras' own has no hidden layer behind the convolutions, TensorFlow's first one had one of 1024 units.
    """
    keras.utils.set_random_seed(1)
    dense = [keras.layers.Dense(hidden, activation="relu")] if hidden else []
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="x"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            *dense,
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def write_layer(folder: Path, rows: int, features: int, classes: int) -> None:
    module = softmax_layer(features, classes)
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": module.serve})
    x = np.random.default_rng(0).random((rows, features), dtype=np.float32)
    write_questions(folder, x, module.serve(x)["y"].numpy())


def write_cnn(folder: Path, hidden: int) -> None:
    model = convolutions(hidden)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.__call__, [tf.TensorSpec([None, 28, 28, 1], tf.float32, name="x")])
    archive.write_out(str(folder / "1"), verbose=False)
    x = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1)).astype(np.float32) / 255
    write_questions(folder, x, model(x).numpy())


def write_questions(folder: Path, x: np.ndarray, answer: np.ndarray) -> None:
    # float32's own shortest digits ("0.63696", not "0.6369600296020508"), as a client's JSON library writes them
    numbers = np.array([float(str(value)) for value in x.ravel()]).reshape(x.shape).tolist()
    (folder / "body.json").write_text(json.dumps({"instances": numbers}, separators=(",", ":")))
    (folder / "answer.json").write_text(json.dumps(answer.tolist()))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    message = request.SerializeToString()
    (folder / "message.bin").write_bytes(struct.pack(">BI", 0, len(message)) + message)


for name, size in SIZES.items():
    write_layer(Path(sys.argv[1]) / name, *size)
module = largest_number()
tf.saved_model.save(module, str(Path(sys.argv[1]) / "any length" / "1"), signatures={"serving_default": module.serve})
for name, hidden in CNNS.items():
    write_cnn(Path(sys.argv[1]) / name, hidden)
