"""Targets: addresses, and HTTP libraries that answer, refuse and give up alike."""

import threading
from contextlib import closing

import pytest

from labkit.bench import payload
from labkit.bench.targets import LIBRARIES, Connection, GrpcTarget, RestTarget
from labkit.errors import RequestError

from .answering import ANSWER, answering_with

BODY = b'{"instances": [1.0]}'


def test_an_address_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"'127.0.0.1:8501'.* whole address"):
        RestTarget("127.0.0.1:8501")
    with pytest.raises(ValueError, match="library is 'curl'"):
        RestTarget("http://127.0.0.1:8501/", library="curl")


def test_a_form_of_the_other_protocol() -> None:
    with pytest.raises(ValueError, match="'TensorProto, tensor_content', a way to write gRPC requests"):
        RestTarget("http://127.0.0.1:1/", form=payload.tensor_content("m"))
    with pytest.raises(ValueError, match="this target speaks gRPC"):
        GrpcTarget("127.0.0.1:1", "m", form=payload.json_rows())


def test_a_header_that_is_given_takes_the_place_of_the_usual_one_however_it_is_written() -> None:
    headers = {"content-type": "text/plain", "X-More": "1"}
    assert RestTarget("http://127.0.0.1:1/", headers=headers).headers == headers
    with answering_with(lambda _: 200) as server, closing(RestTarget(server.url, headers=headers).connect()) as asked:
        asked.send(BODY)
    assert server.requests[0].headers.get_all("Content-Type") == ["text/plain"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_answers_and_refuses_alike(library: str) -> None:
    with answering_with(lambda number: 200 if number == 1 else 429) as server:
        connection = RestTarget(server.url, library=library).connect()
        assert connection.send(BODY) == ANSWER
        with pytest.raises(RequestError, match=r"RESOURCE_EXHAUSTED \(HTTP 429\): number 2"):
            connection.send(BODY)
        connection.close()
        assert server.connections == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_goes_on_after_an_answer_that_was_too_late(library: str) -> None:
    given_up = threading.Event()

    def answer(number: int) -> int:
        if number == 1:
            given_up.wait()
        return 200

    with (
        answering_with(answer) as server,
        closing(RestTarget(server.url, library=library, timeout=0.2).connect()) as asked,
    ):
        with pytest.raises(RequestError, match=r"DEADLINE_EXCEEDED: .*[Tt]ime"):
            asked.send(BODY)
        given_up.set()
        while (received := answer_in_time(asked)) is None:
            pass  # on a busy machine the next one may be too late, too
        assert received == ANSWER


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_asks_once_and_nobody_else(library: str) -> None:
    with answering_with(lambda _: 302) as server, closing(RestTarget(server.url, library=library).connect()) as asked:
        with pytest.raises(RequestError, match="HTTP 302"):
            asked.send(BODY)
        assert server.asked == 1


def answer_in_time(asked: Connection) -> bytes | None:
    try:
        return asked.send(BODY)
    except RequestError as error:
        if error.code != "DEADLINE_EXCEEDED":
            raise
        return None
