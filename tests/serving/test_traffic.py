"""Clients that keep asking: everything that becomes of a question is in the log."""

import itertools
import threading
from email.message import Message
from urllib.error import HTTPError

import grpc
import pytest

import labkit
from labkit.errors import RequestError
from labkit.serving.traffic import Traffic


def test_answers_are_kept_in_the_order_in_which_they_came() -> None:
    numbers = itertools.count()
    with Traffic(lambda: next(numbers), clients=1, pause=0) as traffic:
        traffic.wait(20)
    assert traffic.answers == list(range(len(traffic.log)))
    assert traffic.errors == []
    assert [one.at for one in traffic.log] == sorted(one.at for one in traffic.log)


def test_clients_ask_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)  # nobody gets on before three ask
    with Traffic(together.wait, clients=3) as traffic:
        traffic.wait(9)
        together.abort()
    assert len(traffic.answers) >= 9
    assert {one.client for one in traffic.log} == {0, 1, 2}


def test_a_failure_is_kept_by_its_code_or_its_type_and_the_client_goes_on() -> None:
    no_page = HTTPError("http://127.0.0.1", 404, "no such page", Message(), None)
    failures = itertools.cycle([RequestError("UNAVAILABLE", "not now"), ZeroDivisionError("no code"), no_page, None])

    def ask() -> str:
        failure = next(failures)
        if failure:
            raise failure
        return "answered"

    with Traffic(ask, clients=1, pause=0) as traffic:
        traffic.wait(8)
    assert traffic.errors[:6] == ["UNAVAILABLE", "ZeroDivisionError", "404"] * 2
    assert traffic.answers[:2] == ["answered"] * 2
    assert [(one.answer, one.error) for one in traffic.log[:4]] == [
        (None, "UNAVAILABLE"),
        (None, "ZeroDivisionError"),
        (None, "404"),
        ("answered", ""),
    ]


def test_a_failure_over_grpc_is_kept_by_its_status_code(saved_models) -> None:
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    unknown = predict_pb2.PredictRequest()
    unknown.model_spec.name = "no_such_model"
    with labkit.serve(saved_models.half_plus[2]) as server, grpc.insecure_channel(server.grpc_address) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        with Traffic(lambda: predict(unknown, timeout=20), clients=1) as traffic:
            traffic.wait(3)
    assert set(traffic.errors) == {"NOT_FOUND"}


def test_nothing_is_asked_before_the_start_nor_after_the_stop() -> None:
    asked = []
    traffic = Traffic(lambda: asked.append(1), clients=2, pause=0)
    assert traffic.log == [] == asked
    with traffic:
        traffic.wait(5)
    count = len(asked)
    assert count == len(traffic.log)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("client ")]
    traffic.stop()
    assert len(asked) == count


def test_waiting_for_questions_that_nobody_asks_ends() -> None:
    with pytest.raises(TimeoutError):
        Traffic(lambda: None).wait(1, timeout=0.1)


def test_no_clients_are_refused() -> None:
    with pytest.raises(ValueError, match="clients is 0; at least one has to ask"):
        Traffic(lambda: None, clients=0)
