"""The LitServe service its documentation leads to: `python litserve_app.py MODEL_FOLDER/1 PORT default|tuned`.

`tuned` switches on the two settings LitServe offers for many small requests: its ZeroMQ queue, and batches of up to
8 rows that wait for nobody (`batch_timeout=0`).
"""

import sys

import litserve
import numpy as np
import tensorflow as tf


class Rows(litserve.LitAPI):
    """Decode, predict, encode; LitServe runs this in a worker process of its own."""

    def setup(self, device: str) -> None:
        self.model = tf.saved_model.load(sys.argv[1])
        self.infer = self.model.signatures["serving_default"]

    def decode_request(self, request: dict) -> np.ndarray:
        return np.asarray(request["instances"], np.float32)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.infer(x=tf.constant(rows))["y"].numpy()

    def encode_response(self, outputs: np.ndarray) -> dict:
        return {"predictions": outputs.tolist()}


class BatchedRows(Rows):
    """The same for LitServe's batches: every request here carries the same number of rows."""

    def batch(self, requests: list[np.ndarray]) -> np.ndarray:
        self.rows_each = len(requests[0])
        return np.concatenate(requests)

    def unbatch(self, outputs: np.ndarray) -> list[np.ndarray]:
        return list(outputs.reshape(-1, self.rows_each, *outputs.shape[1:]))


if __name__ == "__main__":
    tuned = sys.argv[3] == "tuned"
    path = "/v1/models/m:predict"
    api = BatchedRows(api_path=path, max_batch_size=8, batch_timeout=0.0) if tuned else Rows(api_path=path)
    server = litserve.LitServer(api, fast_queue=tuned)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="info", access_log=False)
