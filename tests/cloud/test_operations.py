import threading

import pytest
from google.cloud.aiplatform_v1 import types
from google.protobuf import empty_pb2

from labkit.cloud.local.operations import Operations
from labkit.cloud.local.status import ApiError, unmet

PLACE = "projects/1/locations/l"


def start(operations, work):
    return operations.start(PLACE, types.UploadModelOperationMetadata(), work)


def test_work_that_is_quick_is_done_when_the_call_returns():
    operation = start(Operations(), lambda: types.UploadModelResponse(model="m"))
    assert operation.done
    response = types.UploadModelResponse.pb()()
    assert operation.response.Unpack(response)
    assert response.model == "m"
    assert operation.metadata.type_url.endswith("google.cloud.aiplatform.v1.UploadModelOperationMetadata")


def test_work_that_is_slow_can_be_asked_about_and_waited_for():
    operations, go_on = Operations(hold=0.01), threading.Event()

    def work():
        go_on.wait(10)
        return empty_pb2.Empty()

    operation = start(operations, work)
    assert not operation.done
    assert not operations.get(operation.name).done
    assert [each.name for each in operations.list(PLACE)] == [operation.name]
    go_on.set()
    assert operations.wait(operation.name, 10).done


def test_an_error_in_the_work_is_the_operations_error():
    def fails():
        raise unmet("first do that")

    operation = start(Operations(), fails)
    assert operation.done
    assert (operation.error.code, operation.error.message) == (9, "first do that")


def test_a_mistake_in_the_work_is_internal_and_logged(capsys):
    operation = start(Operations(), lambda: 1 / 0)
    assert (operation.error.code, operation.error.message) == (13, "ZeroDivisionError: division by zero")
    assert "Traceback" in capsys.readouterr().err


def test_what_was_forgotten_is_not_found():
    operations = Operations()
    operation = start(operations, empty_pb2.Empty)
    operations.forget(operation.name)
    for ask in (operations.get, operations.forget, lambda name: operations.wait(name, 1)):
        with pytest.raises(ApiError, match="not found"):
            ask(operation.name)


def test_work_whose_operation_was_forgotten_does_not_bring_it_back():
    operations, go_on, workers = Operations(hold=0.01), threading.Event(), []

    def work():
        workers.append(threading.current_thread())
        go_on.wait(10)
        return empty_pb2.Empty()

    operation = start(operations, work)
    operations.forget(operation.name)
    go_on.set()
    workers[0].join()
    assert operations.list(PLACE) == []
