"""Both doors, gRPC and REST, and the services that are Google's common ones."""

import json

import grpc
import pytest
from google.cloud.location import locations_pb2
from google.longrunning import operations_pb2

from labkit.cloud.local.http_messages import HttpRequest
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.rest import RestServices
from labkit.cloud.local.services import PACKAGE, Services
from labkit.cloud.local.status import ApiError

PLACE = "projects/penguin-lab/locations/us-central1"


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    from labkit.cloud.local.containers import Containers
    from labkit.cloud.local.objects import Objects
    from labkit.cloud.local.storage import Storage

    folder = tmp_path_factory.mktemp("cloud")
    cloud = LocalCloud(
        project="penguin-lab",
        project_number="123",
        folder=folder,
        objects=Objects(Storage()),
        containers=Containers(folder, {}),
        environment={},
    )
    started = Services(cloud)
    yield started
    started.stop()


def over_rest(services, method, target, body=b""):
    answer = RestServices(services).answer(
        HttpRequest(method, "us-central1-aiplatform.googleapis.com", target, {}, body)
    )
    return answer.status, json.loads(answer.body)


def test_what_was_made_over_rest_is_found_over_both(services):
    status, operation = over_rest(services, "POST", f"/v1/{PLACE}/endpoints", b'{"displayName": "penguins"}')
    assert status == 200
    assert operation["done"]
    name = operation["response"]["name"]
    assert name.startswith("projects/123/locations/us-central1/endpoints/")
    request = services.request_type(f"{PACKAGE}.EndpointService", "GetEndpoint")(name=name)
    answer = services.call(f"{PACKAGE}.EndpointService", "GetEndpoint", request)
    assert answer.message.display_name == "penguins"
    assert over_rest(services, "GET", f"/v1/{name}")[1]["displayName"] == "penguins"
    found = over_rest(services, "GET", f"/v1/{PLACE}/endpoints?filter=display_name%3D%22penguins%22&pageSize=10")[1]
    assert [each["name"] for each in found["endpoints"]] == [name]
    assert over_rest(services, "GET", f"/v1/{name}?alt=json&prettyPrint=false&key=k")[1]["displayName"] == "penguins"
    operations = over_rest(services, "GET", f"/v1/{operation['name']}")[1]
    assert operations["response"]["name"] == name


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "words"),
    [
        ("POST", f"/v1/{PLACE}/endpoints", b"{", 400, "Invalid JSON"),
        ("POST", f"/v1/{PLACE}/endpoints", b"[1]", 400, "Invalid JSON"),
        ("POST", f"/v1/{PLACE}/endpoints", b'{"colour": "red"}', 400, "colour"),
        ("PATCH", f"/v1/{PLACE}/endpoints/9", b'"x"', 400, "Expected an object as endpoint, got 'x'"),
        ("GET", f"/v1/{PLACE}/endpoints/9", b"", 404, "endpoints/9"),
        ("GET", f"/v1/{PLACE}/endpoints?filter=x", b"", 400, "not understood"),
        ("GET", "/v1/projects/other/locations/us-central1/endpoints", b"", 403, "project other"),
        ("GET", f"/v1/{PLACE}/operations/9", b"", 404, "operations/9"),
        ("POST", f"/v1/{PLACE}/models/9:export", b"{}", 501, f"{PACKAGE}.ModelService/ExportModel"),
        ("GET", f"/v1/{PLACE}/tensorboards", b"", 501, "tensorboards"),
        ("GET", "/v2/nothing", b"", 501, "GET /v2/nothing"),
    ],
)
def test_errors_over_rest_say_what_is_wrong(services, method, target, body, status, words):
    found, content = over_rest(services, method, target, body)
    assert found == status
    assert words in content["error"]["message"]
    assert content["error"]["code"] == status


def test_enums_are_numbers_where_the_sdk_asks_for_them(services):
    model = {"displayName": "m", "containerSpec": {"imageUri": "tensorflow/serving"}}
    operation = over_rest(services, "POST", f"/v1/{PLACE}/models:upload", json.dumps({"model": model}).encode())[1]
    name = operation["response"]["model"]
    assert over_rest(services, "GET", f"/v1/{name}")[1]["supportedDeploymentResourcesTypes"] == ["DEDICATED_RESOURCES"]
    numbered = over_rest(services, "GET", f"/v1/{name}?$alt=json;enum-encoding=int")[1]
    assert numbered["supportedDeploymentResourcesTypes"] == [1]


def call(services, service, rpc, **fields):
    return services.call(service, rpc, services.request_type(service, rpc)(**fields)).message


def test_regions_are_those_of_the_sdk(services):
    service = "google.cloud.location.Locations"
    found = call(services, service, "GetLocation", name=PLACE)
    assert found.location_id == "us-central1"
    everywhere = call(services, service, "ListLocations", name="projects/penguin-lab")
    assert isinstance(everywhere, locations_pb2.ListLocationsResponse)
    assert {"us-central1", "europe-west4"} <= {each.location_id for each in everywhere.locations}
    with pytest.raises(ApiError, match="moon-base1"):
        call(services, service, "GetLocation", name="projects/penguin-lab/locations/moon-base1")


def test_the_project_is_found_by_id_and_by_number(services):
    service = "google.cloud.resourcemanager.v3.Projects"
    for name in ("projects/penguin-lab", "projects/123"):
        found = call(services, service, "GetProject", name=name)
        assert (found.project_id, found.name) == ("penguin-lab", "projects/123")
    with pytest.raises(ApiError, match="project other") as error:
        call(services, service, "GetProject", name="projects/other")
    assert error.value.code is grpc.StatusCode.PERMISSION_DENIED


def test_operations_can_be_listed_waited_for_and_forgotten(services):
    over_rest(services, "POST", f"/v1/{PLACE}/endpoints", b'{"displayName": "x"}')
    service = "google.longrunning.Operations"
    found = call(services, service, "ListOperations", name=PLACE).operations
    name = found[0].name
    assert call(services, service, "WaitOperation", name=name).done
    call(services, service, "DeleteOperation", name=name)
    with pytest.raises(ApiError, match="not found"):
        call(services, service, "GetOperation", name=name)
    with pytest.raises(ApiError, match="CancelOperation"):
        services.call(service, "CancelOperation", operations_pb2.CancelOperationRequest(name=name))


def test_all_rpcs_are_named(services):
    assert f"{PACKAGE}.ModelService/UploadModel" in services.rpcs()
    assert f"{PACKAGE}.PredictionService/RawPredict" in services.rpcs()
    assert not any(name.endswith("/ExportModel") for name in services.rpcs())
