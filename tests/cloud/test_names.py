from types import SimpleNamespace

import pytest
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format

from labkit.cloud.local.names import settle
from labkit.cloud.local.status import ApiError

CLOUD = SimpleNamespace(project="penguin-lab", project_number="123")


def settled(message):
    bare = type(message).pb(message)
    settle(CLOUD, bare)
    return type(message).wrap(bare)


def test_the_projects_id_becomes_its_number_wherever_a_name_stands():
    request = types.DeployModelRequest(
        endpoint="projects/penguin-lab/locations/us-central1/endpoints/1",
        deployed_model=types.DeployedModel(model="projects/123/locations/us-central1/models/2@default"),
    )
    request = settled(request)
    assert request.endpoint == "projects/123/locations/us-central1/endpoints/1"
    assert request.deployed_model.model == "projects/123/locations/us-central1/models/2@default"


def test_someone_elses_project_is_refused():
    request = types.ListModelsRequest(parent="projects/other/locations/us-central1")
    with pytest.raises(ApiError, match=r"project other .*this session is penguin-lab") as error:
        settled(request)
    assert error.value.http_status == 403


def test_two_locations_in_one_request_are_refused():
    request = types.DeployModelRequest(
        endpoint="projects/123/locations/us-central1/endpoints/1",
        deployed_model=types.DeployedModel(model="projects/123/locations/europe-west4/models/2"),
    )
    with pytest.raises(ApiError, match=r"europe-west4, but the request is for us-central1") as error:
        settled(request)
    assert error.value.http_status == 400


@pytest.mark.parametrize("location", ["moon-base1", "..", "us-central1x"])
def test_a_location_that_google_does_not_have_is_refused(location):
    with pytest.raises(ApiError, match=r"is not one of .*europe-west4") as error:
        settled(types.ListModelsRequest(parent=f"projects/penguin-lab/locations/{location}"))
    assert error.value.http_status == 400


def test_the_callers_own_data_is_left_alone():
    request = types.PredictRequest.pb()(endpoint="projects/penguin-lab/locations/us-central1/endpoints/1")
    json_format.ParseDict({"a": "projects/other/locations/x"}, request.instances.add())
    settle(CLOUD, request)
    assert json_format.MessageToDict(request.instances[0]) == {"a": "projects/other/locations/x"}
    job = types.CustomJob(labels={"from": "projects/other/locations/x"})
    assert settled(job).labels["from"] == "projects/other/locations/x"
    endpoint = types.Endpoint(display_name="projects/other/locations/x", description="projects/other/locations/x")
    assert settled(types.Endpoint(endpoint)) == endpoint
    container = types.ModelContainerSpec(env=[{"name": "SOURCE", "value": "projects/other/locations/x"}])
    assert settled(container).env[0].value == "projects/other/locations/x"
