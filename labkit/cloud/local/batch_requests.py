"""Ask a container about many instances: batches side by side, and what it refuses again in halves."""

import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import orjson

from labkit.cloud.local.batch_inputs import Instance
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.replicas import LARGEST_BODY
from labkit.cloud.local.status import ApiError

_FEWEST_BYTES = len(b'{"instances":[]}')
_UNANSWERED = (502, 503, 504)  # nobody answered in time: halves would wait as long
_MOST_WORDS = 1000  # of a container's answer, repeated in an error


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an instance.

    Attributes:
        instance: it.
        prediction: the container's, as JSON; empty if there is none.
        error: why there is none.
    """

    instance: Instance
    prediction: bytes = b""
    error: ApiError | None = None


class Asker:
    """Asks a container for the predictions of batches.

    Args:
        predict: sends a body, as `Replicas.predict` does.
        parameters: what goes beside the instances, as JSON; empty for nothing.
    """

    def __init__(self, predict: Callable[[bytes], HttpAnswer], parameters: bytes = b"") -> None:
        self._predict = predict
        self._end = b'],"parameters":' + parameters + b"}" if parameters else b"]}"
        self._room = LARGEST_BODY - _FEWEST_BYTES - len(self._end)

    def outcomes(
        self, instances: Iterable[Instance], *, size: int, side_by_side: int, stopped: Callable[[], bool]
    ) -> Generator[list[Outcome]]:
        """What becomes of instances, batch after batch, in their order.

        Args:
            instances: read only as far as there is room for their batches.
            size: the most instances in a batch.
            side_by_side: how many batches are under way at the same time.
            stopped: whether to ask no more; then this ends early.
        """
        pending: deque[Future[list[Outcome]]] = deque()
        pool = ThreadPoolExecutor(side_by_side, "batch-prediction")
        try:
            for batch in self._batches(instances, size):
                if stopped():
                    return
                pending.append(pool.submit(self._ask, batch))
                if len(pending) >= 2 * side_by_side:
                    yield pending.popleft().result()
            while pending and not stopped():
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _batches(self, instances: Iterable[Instance], size: int) -> Iterator[list[Instance]]:
        batch: list[Instance] = []
        room = self._room
        for instance in instances:
            if batch and (len(batch) == size or len(instance.sent) + 1 > room):
                yield batch
                batch, room = [], self._room
            batch.append(instance)
            room -= len(instance.sent) + 1
        if batch:
            yield batch

    def _ask(self, batch: list[Instance]) -> list[Outcome]:
        good = [each for each in batch if self._is_good(each)]
        predicted = iter(self._predicted(good) if good else [])
        return [next(predicted) if self._is_good(each) else self._not_sent(each) for each in batch]

    def _is_good(self, instance: Instance) -> bool:
        return not instance.problem and len(instance.sent) <= self._room

    def _not_sent(self, instance: Instance) -> Outcome:
        problem = instance.problem or (
            f"The instance takes {len(instance.sent)} bytes; a request has at most {LARGEST_BODY}."
        )
        return Outcome(instance, error=ApiError(grpc.StatusCode.INVALID_ARGUMENT, problem))

    def _predicted(self, batch: list[Instance]) -> list[Outcome]:
        try:
            answer = self._predict(b'{"instances":[' + b",".join([each.sent for each in batch]) + self._end)
        except ApiError as error:
            if error.code is grpc.StatusCode.INVALID_ARGUMENT and len(batch) > 1:  # the answer is too large
                return self._in_halves(batch)
            return [Outcome(each, error=error) for each in batch]
        if answer.status == 200:
            return _outcomes(batch, bytes(answer.body))
        if len(batch) > 1 and answer.status not in _UNANSWERED:
            return self._in_halves(batch)
        words = bytes(answer.body).decode(errors="replace")[:_MOST_WORDS]
        return _all_failed(batch, f"Non-OK result {answer.status} ({words}) from server.")

    def _in_halves(self, batch: list[Instance]) -> list[Outcome]:
        half = len(batch) // 2
        return self._predicted(batch[:half]) + self._predicted(batch[half:])


def _outcomes(batch: list[Instance], body: bytes) -> list[Outcome]:
    try:
        predictions, write = _predictions(body)
    except (ValueError, KeyError, TypeError):
        words = body.decode(errors="replace")[:_MOST_WORDS]
        return _all_failed(batch, f'Expected a JSON object with "predictions", got {words}')
    if not isinstance(predictions, list) or len(predictions) != len(batch):
        got = len(predictions) if isinstance(predictions, list) else type(predictions).__name__
        return _all_failed(batch, f"Expected a list of {len(batch)} predictions, one for each instance, got {got}.")
    return [Outcome(each, write(prediction)) for each, prediction in zip(batch, predictions, strict=True)]


def _predictions(body: bytes) -> tuple[object, Callable[[object], bytes]]:
    """The predictions, and what writes one as JSON: NaN and Infinity are no JSON, but containers send them."""
    try:
        return orjson.loads(body)["predictions"], orjson.dumps
    except ValueError:
        return json.loads(body)["predictions"], lambda prediction: json.dumps(prediction).encode()


def _all_failed(batch: list[Instance], why: str) -> list[Outcome]:
    # These first words are the real service's.
    error = ApiError(grpc.StatusCode.INTERNAL, f"Post request fails. Cannot get predictions. Error: {why}")
    return [Outcome(each, error=error) for each in batch]
