"""Endpoints of the local cloud, with containers that are small Python programs."""

import json
import threading

import grpc
import pytest

from labkit.waiting import wait_until

from .refusals import refused

PARENT = "projects/123456789012/locations/europe-west4"
CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"


@pytest.fixture
def model(vertex):
    return vertex.upload().model


def split(vertex, endpoint):
    return dict(vertex.get(endpoint).traffic_split)


def undeploy(vertex, endpoint, deployed, **traffic_split):
    vertex.done("UndeployModel", endpoint=endpoint, deployed_model_id=deployed, traffic_split=traffic_split)


def test_an_endpoint_is_made_listed_changed_and_deleted(vertex):
    fields = {"display_name": "birds", "labels": {"lab": "five"}}
    made = vertex.done("CreateEndpoint", parent=PARENT, endpoint=fields, endpoint_id="77")
    assert made.name == f"{PARENT}/endpoints/77"
    assert made.create_time
    listed = vertex.call("ListEndpoints", parent=PARENT, filter="labels.lab=five").endpoints
    assert [each.name for each in listed] == [made.name]
    mask = {"paths": ["display_name"]}
    changed = {"name": made.name, "display_name": "owls", "description": "not in the mask"}
    vertex.call("UpdateEndpoint", endpoint=changed, update_mask=mask)
    found = vertex.get(made.name)
    assert (found.display_name, found.description, found.labels["lab"]) == ("owls", "", "five")
    assert found.etag != made.etag
    vertex.done("DeleteEndpoint", name=made.name)
    assert refused(lambda: vertex.get(made.name), "77") is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"display_name": ""}, "INVALID_ARGUMENT", "display_name"),
        ({"labels": {"A": "b"}}, "INVALID_ARGUMENT", "'A'"),
        ({"traffic_split": {"1": 100}}, "INVALID_ARGUMENT", "traffic_split"),
        ({"network": "projects/1/global/networks/n"}, "UNIMPLEMENTED", "network"),
        ({"dedicated_endpoint_enabled": True}, "UNIMPLEMENTED", "dedicated_endpoint_enabled"),
    ],
)
def test_what_cannot_be_an_endpoint_here_is_refused(vertex, fields, code, word):
    fields = {"display_name": "birds", **fields}
    found = refused(lambda: vertex.done("CreateEndpoint", parent=PARENT, endpoint=fields), word)
    assert found.name == code


def test_an_endpoint_id_is_given_once_and_has_a_shape(vertex):
    request = {"parent": PARENT, "endpoint": {"display_name": "birds"}, "endpoint_id": "77"}
    vertex.done("CreateEndpoint", **request)
    assert refused(lambda: vertex.done("CreateEndpoint", **request), "77") is grpc.StatusCode.ALREADY_EXISTS
    request["endpoint_id"] = "Upper"
    assert refused(lambda: vertex.done("CreateEndpoint", **request), "Upper") is grpc.StatusCode.INVALID_ARGUMENT


def test_a_deployed_model_runs_until_it_is_undeployed(vertex, containers, endpoint, model):
    deployed = vertex.deploy(endpoint, f"{model}@default")
    found = vertex.get(endpoint)
    (one,) = found.deployed_models
    assert (one.id, one.model, one.model_version_id, one.display_name) == (deployed, model, "1", "penguins")
    assert one.status.available_replica_count == 1
    assert dict(found.traffic_split) == {deployed: 100}
    assert [ref.deployed_model_id for ref in vertex.model(model).deployed_models] == [deployed]
    assert containers() == 1
    undeploy(vertex, endpoint, deployed)
    assert containers() == 0
    assert not vertex.get(endpoint).deployed_models
    assert split(vertex, endpoint) == {}


def test_what_is_deployed_cannot_be_deleted(vertex, endpoint, model):
    vertex.upload(parent_model=model, version_aliases=["default"])
    deployed = vertex.deploy(endpoint, f"{model}@1")
    words = "is deployed or being deployed at the following Endpoint(s): " + endpoint
    assert refused(lambda: vertex.done("DeleteModel", name=model), words) is grpc.StatusCode.FAILED_PRECONDITION
    refused(lambda: vertex.done("DeleteModelVersion", name=f"{model}@1"), words)
    refused(lambda: vertex.done("DeleteEndpoint", name=endpoint), "deployed or being-deployed DeployedModel(s)")
    undeploy(vertex, endpoint, deployed)
    vertex.done("DeleteModelVersion", name=f"{model}@1")
    vertex.done("DeleteModel", name=model)
    vertex.done("DeleteEndpoint", name=endpoint)


def test_a_deployment_that_fails_says_why_and_leaves_nothing(vertex, containers, endpoint):
    broken = vertex.upload(arguments=["broken"]).model
    code = refused(lambda: vertex.deploy(endpoint, broken), "no model in here")
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    found = vertex.get(endpoint)
    assert not found.deployed_models
    assert not found.traffic_split
    assert containers() == 0
    vertex.done("DeleteModel", name=broken)
    vertex.done("DeleteEndpoint", name=endpoint)


def test_a_failed_deployment_leaves_the_traffic_of_others_alone(vertex, endpoint, model):
    first = vertex.deploy(endpoint, model)
    broken = vertex.upload(arguments=["broken"]).model
    refused(lambda: vertex.deploy(endpoint, broken, {"0": 50, first: 50}))
    assert split(vertex, endpoint) == {first: 100}


def test_the_new_model_has_the_key_0_in_the_split_that_it_is_deployed_with(vertex, endpoint, model):
    first = vertex.deploy(endpoint, model)
    second = vertex.deploy(endpoint, model, {"0": 10, first: 90})
    assert split(vertex, endpoint) == {first: 90, second: 10}
    third = vertex.deploy(endpoint, model, {})
    assert split(vertex, endpoint) == {first: 90, second: 10}
    assert third in [each.id for each in vertex.get(endpoint).deployed_models]


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        ({"0": 90}, "needs to be 100. It is 90"),
        ({"0": 50, "123": 50}, "does not have: 123"),
        ({"0": 150}, "from 0 to 100"),
    ],
)
def test_a_split_that_cannot_be_is_refused(vertex, containers, endpoint, model, traffic, words):
    code = refused(lambda: vertex.deploy(endpoint, model, traffic), words)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert containers() == 0


def test_the_split_is_updated_among_those_that_are_there(vertex, endpoint, model):
    first = vertex.deploy(endpoint, model)
    second = vertex.deploy(endpoint, model, {"0": 0, first: 100})
    mask = {"paths": ["traffic_split"]}
    new = {"name": endpoint, "traffic_split": {first: 30, second: 70}}
    vertex.call("UpdateEndpoint", endpoint=new, update_mask=mask)
    assert split(vertex, endpoint) == {first: 30, second: 70}
    wrong = {"name": endpoint, "traffic_split": {first: 30, "9": 70}}
    refused(lambda: vertex.call("UpdateEndpoint", endpoint=wrong, update_mask=mask), "does not have: 9")
    assert split(vertex, endpoint) == {first: 30, second: 70}


def test_a_model_with_traffic_goes_only_when_others_take_it(vertex, containers, endpoint, model):
    first = vertex.deploy(endpoint, model)
    second = vertex.deploy(endpoint, model, {"0": 40, first: 60})
    code = refused(lambda: undeploy(vertex, endpoint, second), "gets 40% of the traffic")
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    refused(lambda: undeploy(vertex, endpoint, second, **{first: 60}), "It is 60")
    assert containers() == 2
    undeploy(vertex, endpoint, second, **{first: 100})
    assert split(vertex, endpoint) == {first: 100}
    assert containers() == 1
    code = refused(lambda: undeploy(vertex, endpoint, second), second, first)
    assert code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("resources", "code", "word"),
    [
        ({"machine": "n1-standard-3"}, "INVALID_ARGUMENT", "n1-standard-3"),
        ({"machine": "potato"}, "INVALID_ARGUMENT", "potato"),
        ({"machine": "g2-standard-4"}, "RESOURCE_EXHAUSTED", "no accelerators"),
        ({"min_replica_count": 0}, "INVALID_ARGUMENT", "min_replica_count is 0"),
        ({"min_replica_count": 3, "max_replica_count": 2}, "INVALID_ARGUMENT", "max_replica_count is 2"),
        ({"max_replica_count": 99}, "RESOURCE_EXHAUSTED", "quotas"),
        ({"autoscaling_metric_specs": [{"metric_name": "noise", "target": 1}]}, "INVALID_ARGUMENT", "noise"),
        ({"autoscaling_metric_specs": [{"metric_name": CPU, "target": 101}]}, "INVALID_ARGUMENT", "101"),
        ({"autoscaling_metric_specs": [{"metric_name": CPU, "target": 9}] * 2}, "INVALID_ARGUMENT", "twice"),
    ],
)
def test_machines_that_cannot_be_are_refused(vertex, endpoint, model, resources, code, word):
    assert refused(lambda: vertex.deploy(endpoint, model, **resources), word).name == code


def test_an_accelerator_is_a_quota_that_this_machine_does_not_have(vertex, endpoint, model):
    machine = {"machine_type": "n1-standard-4", "accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 1}
    code = refused(lambda: vertex.deploy(endpoint, model, machine_spec=machine), "CustomModelServingT4GPUs")
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_other_resources_are_refused(vertex, endpoint, model):
    def deploy(**resources):
        vertex.done("DeployModel", endpoint=endpoint, deployed_model={"model": model, **resources})

    assert refused(deploy, "DEDICATED_RESOURCES") is grpc.StatusCode.INVALID_ARGUMENT
    pool = {"shared_resources": f"{PARENT}/deploymentResourcePools/p"}
    assert refused(lambda: deploy(**pool), "pools") is grpc.StatusCode.UNIMPLEMENTED


def test_as_many_replicas_as_are_asked_for_run(vertex, containers, endpoint, model):
    deployed = vertex.deploy(endpoint, model, min_replica_count=2)
    (one,) = vertex.get(endpoint).deployed_models
    assert one.status.available_replica_count == 2
    assert (one.dedicated_resources.min_replica_count, one.dedicated_resources.max_replica_count) == (2, 2)
    change = {"id": deployed, "dedicated_resources": {"min_replica_count": 1, "max_replica_count": 1}}
    mask = {"paths": ["dedicated_resources.min_replica_count", "dedicated_resources.max_replica_count"]}
    changed = vertex.done("MutateDeployedModel", endpoint=endpoint, deployed_model=change, update_mask=mask)
    assert changed.deployed_model.dedicated_resources.max_replica_count == 1
    wait_until(lambda: containers() == 1)
    assert vertex.get(endpoint).deployed_models[0].dedicated_resources.machine_spec.machine_type == "n1-standard-2"
    mask = {"paths": ["machine_spec"]}
    wrong = {"endpoint": endpoint, "deployed_model": change, "update_mask": mask}
    refused(lambda: vertex.done("MutateDeployedModel", **wrong), "what can be mutated is")


def test_what_is_being_deployed_cannot_be_deleted(vertex, cloud, endpoint, model, monkeypatch):
    started, go_on = threading.Event(), threading.Event()
    start = cloud.containers.start

    def slow_start(*args):
        started.set()
        assert go_on.wait(30)
        return start(*args)

    monkeypatch.setattr(cloud.containers, "start", slow_start)
    deploying = threading.Thread(target=vertex.deploy, args=(endpoint, model))
    deploying.start()
    try:
        assert started.wait(30)
        refused(lambda: vertex.done("DeleteModel", name=model), "being deployed")
        refused(lambda: vertex.done("DeleteEndpoint", name=endpoint), "being-deployed")
        assert not vertex.get(endpoint).deployed_models
        assert not vertex.model(model).deployed_models
    finally:
        go_on.set()
        deploying.join()
    assert vertex.get(endpoint).deployed_models


def test_a_cloud_that_ends_ends_its_containers(vertex, containers, endpoint, model):
    vertex.deploy(endpoint, model)
    vertex.endpoints.stop()
    assert containers() == 0


def test_a_container_knows_its_endpoint(vertex, endpoint, model):
    deployed = vertex.deploy(endpoint, model, machine="e2-standard-4")
    said = vertex.call("RawPredict", endpoint=endpoint, http_body={"data": b'{"instances": []}'})[0]
    environment = json.loads(said.data)["predictions"][0]["environment"]
    assert environment["AIP_ENDPOINT_ID"] == endpoint.rpartition("/")[2]
    assert environment["AIP_DEPLOYED_MODEL_ID"] == deployed
    assert environment["AIP_MACHINE_TYPE"] == "e2-standard-4"
