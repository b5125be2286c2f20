import json
import threading

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.cloud.local.batch_inputs import Instance
from labkit.cloud.local.batch_requests import Asker
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.replicas import LARGEST_BODY
from labkit.cloud.local.status import ApiError


class Container:
    """Doubles numbers, and refuses a batch with any that is negative."""

    def __init__(self):
        self.bodies = []

    def predict(self, body):
        self.bodies.append(body)
        numbers = json.loads(body)["instances"]
        if any(number < 0 for number in numbers):
            return HttpAnswer(400, {}, b"negative")
        return HttpAnswer(200, {}, json.dumps({"predictions": [2 * number for number in numbers]}).encode())

    def sizes(self):
        return sorted(len(json.loads(body)["instances"]) for body in self.bodies)


def instance(value):
    text = json.dumps(value).encode()
    return Instance(text, text)


BAD = Instance(b"", b'"?"', problem="no JSON")


def ask(predict, instances, size=4, parameters=b"", stopped=lambda: False):
    asker = Asker(predict, parameters)
    found = asker.outcomes(iter(instances), size=size, side_by_side=3, stopped=stopped)
    return [outcome for batch in found for outcome in batch]


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.one_of(st.integers(-3, 50), st.none()), max_size=60), size=st.integers(1, 9))
def test_nothing_is_lost_and_order_is_kept(values, size):
    given_instances = [BAD if value is None else instance(value) for value in values]
    outcomes = ask(Container().predict, given_instances, size)
    assert [outcome.instance for outcome in outcomes] == given_instances
    for value, outcome in zip(values, outcomes, strict=True):
        if value is None or value < 0:
            assert outcome.error and not outcome.prediction
        else:
            assert json.loads(outcome.prediction) == 2 * value and outcome.error is None


def test_what_is_refused_is_asked_again_in_halves():
    container = Container()
    outcomes = ask(container.predict, [instance(value) for value in (1, 2, -1, 4)])
    assert [json.loads(outcome.prediction or b"null") for outcome in outcomes] == [2, 4, None, 8]
    assert container.sizes() == [1, 1, 2, 2, 4]
    assert "Non-OK result 400 (negative)" in outcomes[2].error.message


def test_a_request_holds_no_more_than_fits():
    def predict(body):
        sizes.append(len(body))
        return HttpAnswer(200, {}, json.dumps({"predictions": [0] * (body.count(b",") + 1)}).encode())

    sizes = []
    large, too_large = Instance(b"1" * 400_000, b'"large"'), Instance(b"1" * LARGEST_BODY, b'"too large"')
    outcomes = ask(predict, [large] * 8 + [too_large], size=64)
    assert len(sizes) == 3 and max(sizes) <= LARGEST_BODY
    assert [outcome.error is None for outcome in outcomes] == [True] * 8 + [False]
    assert str(LARGEST_BODY) in outcomes[-1].error.message


def test_parameters_stand_beside_the_instances():
    container = Container()
    ask(container.predict, [instance(1)], parameters=b'{"top":3}')
    assert json.loads(container.bodies[0]) == {"instances": [1], "parameters": {"top": 3}}


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"error": 1}', b'{"predictions": [1]}', b'{"predictions": 3}'])
def test_an_answer_that_is_no_predictions_fails_its_batch(body):
    outcomes = ask(lambda _: HttpAnswer(200, {}, body), [instance(1), instance(2)])
    assert all("Expected" in outcome.error.message for outcome in outcomes)


def test_numbers_that_json_lacks_are_kept():
    body = b'{"predictions": [NaN, -Infinity]}'
    outcomes = ask(lambda _: HttpAnswer(200, {}, body), [instance(1), instance(2)])
    assert [outcome.prediction for outcome in outcomes] == [b"NaN", b"-Infinity"]


def test_a_container_that_does_not_answer_is_not_asked_again():
    def predict(body):
        asked.append(body)
        raise ApiError(grpc.StatusCode.UNAVAILABLE, "nobody there")

    asked = []
    outcomes = ask(predict, [instance(1), instance(2)])
    assert [outcome.error.code for outcome in outcomes] == [grpc.StatusCode.UNAVAILABLE] * 2
    assert len(asked) == 1


def test_a_batch_whose_answer_is_too_large_is_asked_again_in_halves():
    def predict(body):
        sizes.append(len(json.loads(body)["instances"]))
        if sizes[-1] > 2:
            raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "Response size too large.")
        return Container().predict(body)

    sizes = []
    assert all(outcome.prediction for outcome in ask(predict, [instance(1)] * 4))
    assert sizes == [4, 2, 2]


def test_a_gateway_that_gave_up_is_not_asked_again():
    asked = []
    outcomes = ask(lambda body: (asked.append(body), HttpAnswer(504))[1], [instance(1)] * 4)
    assert len(asked) == 1 and all(outcome.error for outcome in outcomes)


def test_batches_are_under_way_side_by_side():
    together = threading.Barrier(3, timeout=10)

    def predict(body):
        together.wait()
        return Container().predict(body)

    assert len(ask(predict, [instance(1)] * 12)) == 12


def test_once_stopped_nothing_more_is_asked():
    stopped = threading.Event()

    def predict(body):
        stopped.set()
        return Container().predict(body)

    def endless():
        while True:
            yield instance(1)

    assert len(ask(predict, endless(), stopped=stopped.is_set)) <= 6 * 4
