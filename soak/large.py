"""Large requests at once: what a server needs of memory for them, as a multiple of what was sent."""

import threading
from dataclasses import dataclass

import grpc
import numpy as np
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from soak.questions import float_tensor
from soak.resources import MIB, Watch
from soak.target import Target

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_SECONDS = 300.0


@dataclass(frozen=True)
class LargeLoad:
    """What large requests took.

    Attributes:
        sent: bytes in flight: requests at a time, times their size.
        before: the server's memory before.
        peak: its memory at its largest.
        after: its memory when all were answered.
        wrong: in words, each answer that was not the right one.
    """

    sent: int
    before: int
    peak: int
    after: int
    wrong: tuple[str, ...]

    @property
    def multiple(self) -> float:
        """Memory taken for the requests, as a multiple of what was in flight."""
        return (self.peak - self.before) / self.sent


def ask(target: Target, clients: int, megabytes: int) -> LargeLoad:
    """So many clients send one request of so many megabytes each, over a connection each, at the same moment."""
    start, wrong = threading.Barrier(clients), []

    def send(number: int) -> None:
        with target.channel() as channel:
            predict = channel.unary_unary(_PREDICT, response_deserializer=PredictResponse.FromString)
            message = _message(target.model, number, megabytes)
            grpc.channel_ready_future(channel).result(_SECONDS)
            start.wait(_SECONDS)
            answer = predict(message, timeout=_SECONDS).outputs["y"].float_val[0]
            if answer != number + 1:
                wrong.append(f"{answer} instead of {number + 1}")

    def client(number: int) -> None:
        try:
            send(number)
        except grpc.RpcError as error:
            wrong.append(f"{error.code().name}: {error.details()}")
        except Exception as error:  # a client must not leave unheard, nor let the others wait for it
            start.abort()
            wrong.append(f"the client failed: {error!r}")

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(clients)]
    with Watch(target.pid, every=0.01) as watch:
        before = watch.samples[0].resident
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = watch.look().resident
    return LargeLoad(clients * megabytes * MIB, before, watch.peak, after, tuple(wrong))


def _message(model: str, number: int, megabytes: int) -> bytes:
    """A request for the sum of its numbers, all of them zero but one, which is another in each request."""
    x = np.zeros(megabytes * MIB // 4, np.float32)
    x[number] = number + 1
    request = PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "total"
    float_tensor(request, "x", [x.size], x.tobytes())
    return request.SerializeToString()
