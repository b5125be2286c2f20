"""Predictions of the local cloud, asked of a container that is a small Python program."""

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.api import httpbody_pb2
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format, struct_pb2

from labkit.cloud.local.status import ApiError
from labkit.waiting import wait_until

from .refusals import refused


@pytest.fixture
def served(vertex, endpoint):
    """`served(*words)`: a model whose container gets these words has all traffic; the deployed model's id."""

    def make(*words):
        return vertex.deploy(endpoint, vertex.upload(arguments=list(words)).model)

    return make


def value(content):
    return json_format.ParseDict(content, struct_pb2.Value())


def predict(vertex, endpoint, instances, parameters=None):
    request = types.PredictRequest.pb(types.PredictRequest(endpoint=endpoint))
    request.instances.extend(value(instance) for instance in instances)
    if parameters is not None:
        request.parameters.CopyFrom(value(parameters))
    return vertex.prediction.Predict(types.PredictRequest.wrap(request))


def predictions(response):
    return [json_format.MessageToDict(each) for each in types.PredictResponse.pb(response).predictions]


def raw(vertex, endpoint, data, content_type="application/json"):
    body = httpbody_pb2.HttpBody(data=data, content_type=content_type)
    return vertex.prediction.RawPredict(types.RawPredictRequest(endpoint=endpoint, http_body=body))


INSTANCES = [
    {"name": "Ærø", "ok": True, "no": None, "size": [1.5, 2.25], "nested": {"deep": [[1, 2], [3, 4]]}},
    [[0.5, 1, -2], [3, 4, 5]],
    [[[1], [2]], [[3], [4.5]]],
    [[1, 2], [3]],
    [[1] * 1000, *([2] for _ in range(999))],
    [1, [2]],
    [1, "seven77"],
    [[1, 2], [3, "seven77"]],
    [[1.5]],
    ["words", False, None, 7],
    [],
    {},
    3,
    -0.125,
    "text",
    None,
    [1e300, 5e-324],
    [2**53, 1],
    list(range(200)),
    "x" * 300,
]


def test_instances_arrive_as_they_were_sent_and_predictions_come_back(vertex, endpoint, served):
    deployed = served()
    response = predict(vertex, endpoint, INSTANCES, {"bias": [1, 2]})
    said, *back = predictions(response)
    assert json.loads(said["asked"]) == {"instances": INSTANCES, "parameters": {"bias": [1, 2]}}
    assert back == INSTANCES
    assert response.deployed_model_id == deployed
    assert response.model.rpartition("/")[0].endswith("/models")
    assert (response.model_version_id, response.model_display_name) == ("1", "penguins")
    assert said["path"].endswith(f"/deployedModels/{deployed}:predict")


def test_whole_numbers_are_whole_in_what_the_container_is_asked(vertex, endpoint, served):
    served()
    said = predictions(predict(vertex, endpoint, [[1, 2, 3], [[4, 5], [6, 7]], 8, {"id": 9}]))[0]
    assert said["asked"] == '{"instances":[[1,2,3],[[4,5],[6,7]],8,{"id":9}]}'


@pytest.mark.parametrize(
    ("instances", "text"),
    [
        ([[1, 2], [3.5, 4], [5, 6]], "[[1,2],[3.5,4.0],[5,6]]"),
        ([[0.5, 1], [1, 0.25]], "[[0.5,1.0],[1.0,0.25]]"),
        ([[[1], [2]], [[3], [4.5]]], "[[[1],[2]],[[3.0],[4.5]]]"),
        ([1, 2.5, 3], "[1,2.5,3]"),
        ([[1], [2, 3]], "[[1],[2,3]]"),
    ],
)
def test_a_batch_is_asked_as_each_of_its_instances_would_be(vertex, endpoint, served, instances, text):
    served()
    said, *back = predictions(predict(vertex, endpoint, instances))
    assert said["asked"] == f'{{"instances":{text}}}'
    assert back == instances


@pytest.mark.parametrize(
    "content",
    [
        [],
        [[]],
        [0.5],
        [1, 2.5],
        [True, 1.5],
        [[1, 2.5], [3, 4]],
        [[1, 2.5], [3]],
        [[1, 2.5], [3, False]],
        [[1, 2.5], [3, None]],
        [[1, 2.5], ["3", 4]],
        [[[1], [2]], [[3], [4]]],
        [[[0.5] * 200] * 3] * 2,
    ],
)
def test_predictions_come_back_as_the_container_gave_them(vertex, endpoint, served, content):
    served(f"answer={json.dumps({'predictions': content})}")
    back = predictions(predict(vertex, endpoint, [1]))
    assert json.dumps(back) == json.dumps(json.loads(json.dumps(content), parse_int=float))


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("count", [1, 9])
def test_what_json_cannot_write_is_refused(vertex, endpoint, served, number, count):
    served()
    request = types.PredictRequest.pb(types.PredictRequest(endpoint=endpoint))
    numbers = [struct_pb2.Value(number_value=number)] * count
    request.instances.append(struct_pb2.Value(list_value=struct_pb2.ListValue(values=numbers)))
    code = refused(lambda: vertex.prediction.Predict(types.PredictRequest.wrap(request)), "NaN")
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (422, "INVALID_ARGUMENT"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
def test_the_containers_error_is_passed_on_with_its_words(vertex, endpoint, served, status, code):
    served(f"status={status}")
    assert refused(lambda: predict(vertex, endpoint, [1]), "no birds").name == code
    assert refused(lambda: raw(vertex, endpoint, b"{}"), "no birds").name == code


@pytest.mark.parametrize("answer", ["[1, 2]", '{"outputs": [1]}', '{"predictions": {"a": 1}}', "birds", "NaN"])
def test_an_answer_without_predictions_is_an_error_that_shows_it(vertex, endpoint, served, answer):
    served(f"answer={answer}")
    assert refused(lambda: predict(vertex, endpoint, [1]), answer[:9]) is grpc.StatusCode.INTERNAL
    assert raw(vertex, endpoint, b"{}")[0].data == answer.encode()


def test_a_raw_prediction_is_bytes_both_ways_and_says_who_answered(vertex, endpoint, served):
    deployed = served()
    body, headers = raw(vertex, endpoint, "ærø".encode().lower() * 2 + b"\x00", "text/plain")
    assert (body.content_type, body.data) == ("text/plain", b"\xc3\xa6R\xc3\xb8" * 2 + b"\x00")
    assert headers == {
        "X-Vertex-AI-Endpoint-Id": endpoint.rpartition("/")[2],
        "X-Vertex-AI-Deployed-Model-Id": deployed,
        "X-Vertex-AI-Model": vertex.get(endpoint).deployed_models[0].model,
        "X-Vertex-AI-Model-Version-Id": "1",
    }


def test_more_than_a_megabyte_and_a_half_is_refused(vertex, endpoint, served):
    served()
    large = ["x" * 1_500_000]
    assert refused(lambda: predict(vertex, endpoint, large), "1500000") is grpc.StatusCode.INVALID_ARGUMENT
    refused(lambda: raw(vertex, endpoint, b"x" * 1_500_001, "text/plain"), "1500000")
    assert len(raw(vertex, endpoint, b"x" * 1_500_000, "text/plain")[0].data) == 1_500_000
    assert predictions(predict(vertex, endpoint, [[0] * 200_000]))[1] == [0] * 200_000


def test_without_a_model_there_is_nobody_to_ask(vertex, endpoint):
    code = refused(lambda: predict(vertex, endpoint, [1]), endpoint, "doesn't have traffic_split")
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused(lambda: predict(vertex, endpoint + "0", [1]), endpoint + "0") is grpc.StatusCode.NOT_FOUND


def test_requests_go_where_the_split_says(vertex, endpoint, served):
    first = served()
    model = vertex.get(endpoint).deployed_models[0].model
    second = vertex.deploy(endpoint, model, {"0": 0, first: 100})

    def answering(**split):
        mask = {"paths": ["traffic_split"]}
        vertex.call("UpdateEndpoint", endpoint={"name": endpoint, "traffic_split": split}, update_mask=mask)
        return {predict(vertex, endpoint, [1]).deployed_model_id for _ in range(60)}

    assert answering(**{first: 100, second: 0}) == {first}
    assert answering(**{second: 100}) == {second}
    assert answering(**{first: 50, second: 50}) == {first, second}


def test_a_request_whose_model_is_undeployed_before_it_is_asked_goes_to_another(vertex, cloud, endpoint, served):
    first = served()
    deployment = cloud.deployments[f"{endpoint}/deployedModels/{first}"]
    second = vertex.deploy(endpoint, deployment.model, {"0": 0, first: 100})

    class Leaving:
        """The first model's replicas, which are undeployed when they are about to be asked."""

        stop = deployment.replicas.stop

        def predict(self, *args, **options):
            gone = {"endpoint": endpoint, "deployed_model_id": first, "traffic_split": {second: 100}}
            vertex.done("UndeployModel", **gone)
            raise ApiError(grpc.StatusCode.UNAVAILABLE, "No replica is healthy now.")

    deployment.replicas = Leaving()
    assert predict(vertex, endpoint, [1]).deployed_model_id == second


def test_an_endpoint_may_have_a_timeout_of_its_own(vertex, endpoint, served):
    served("hold")
    config = {"name": endpoint, "client_connection_config": {"inference_timeout": {"nanos": 100_000_000}}}
    vertex.done("UpdateEndpointLongRunning", endpoint=config)
    assert refused(lambda: predict(vertex, endpoint, [1])) is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.timeout(30)  # half of what waiting for the answer would take
def test_the_end_of_the_cloud_breaks_off_what_is_under_way(vertex, endpoint, served):
    served("hold")
    (deployment,) = vertex.cloud.deployments.values()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(predict, vertex, endpoint, [1])
        wait_until(lambda: "It holds a request" in deployment.replicas.logs())
        vertex.endpoints.stop()
        assert refused(asked.result, "The cloud ended") is grpc.StatusCode.UNAVAILABLE


def test_no_request_fails_while_models_come_and_go(vertex, endpoint, served):
    first = served()
    model = vertex.get(endpoint).deployed_models[0].model
    done, answered = threading.Event(), []

    def ask():
        while not done.is_set():
            answered.append(predict(vertex, endpoint, [1]).deployed_model_id)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for _ in range(3):
                second = vertex.deploy(endpoint, model, {"0": 50, first: 50})
                gone = {"endpoint": endpoint, "deployed_model_id": first, "traffic_split": {second: 100}}
                vertex.done("UndeployModel", **gone)
                wait_until(lambda new=second: new in answered)
                first = second
        finally:
            done.set()
        for each in asking:
            each.result()
    assert first in answered
