"""Writes what every side serves and is asked: `python models.py FOLDER` fills FOLDER/small and FOLDER/large with

1/ (a SavedModel: one softmax layer), body.json (REST), message.bin (gRPC, framed as HTTP/2 carries it) and answer.json
(what TensorFlow itself answers). `small` is one row of 4 features, `large` 1000 rows of 784.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

SIZES = {"small": (1, 4, 3), "large": (1000, 784, 10)}  # rows, features, classes


def softmax_layer(features: int, classes: int) -> tf.Module:
    """Fixed weights; `serve` takes `x` [rows, features] and gives `y` [rows, classes]."""
    module = tf.Module()
    module.kernel = tf.Variable(tf.random.stateless_normal([features, classes], seed=[1, 2]) / features**0.5)

    @tf.function(input_signature=[tf.TensorSpec([None, features], tf.float32, name="x")])
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.nn.softmax(x @ module.kernel)}

    module.serve = serve
    return module


def write(folder: Path, rows: int, features: int, classes: int) -> None:
    module = softmax_layer(features, classes)
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": module.serve})
    x = np.random.default_rng(0).random((rows, features), dtype=np.float32)
    # float32's own shortest digits ("0.63696", not "0.6369600296020508"), as a client's JSON library writes them
    numbers = [[float(str(value)) for value in row] for row in x]
    (folder / "body.json").write_text(json.dumps({"instances": numbers}, separators=(",", ":")))
    (folder / "answer.json").write_text(json.dumps(module.serve(x)["y"].numpy().tolist()))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    message = request.SerializeToString()
    (folder / "message.bin").write_bytes(struct.pack(">BI", 0, len(message)) + message)


for name, size in SIZES.items():
    write(Path(sys.argv[1]) / name, *size)
