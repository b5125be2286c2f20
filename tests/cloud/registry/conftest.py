"""A cloud without doors, and its models, endpoints and predictions."""

from pathlib import Path

import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.containers import Containers
from labkit.cloud.local.endpoints import Endpoints
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.models import Models
from labkit.cloud.local.objects import Objects
from labkit.cloud.local.prediction import Prediction
from labkit.cloud.local.status import ApiError
from labkit.cloud.local.storage import Storage

from ...children import descendants_with

PROGRAM = Path(__file__).with_name("answering_program.py")
PARENT = "projects/123456789012/locations/europe-west4"


class Vertex:
    """The services as functions: what an operation ends in is returned or raised."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.models, self.endpoints, self.prediction = Models(cloud), Endpoints(cloud), Prediction(cloud)

    def call(self, rpc, **fields):
        service = next(each for each in (self.models, self.endpoints, self.prediction) if hasattr(each, rpc))
        return getattr(service, rpc)(getattr(types, f"{rpc}Request")(**fields))

    def done(self, rpc, **fields):
        """Call what starts an operation; its response."""
        operation = self.call(rpc, **fields)
        assert operation.done
        if operation.HasField("error"):
            raise Failed(operation.error)
        name = operation.response.type_url.rpartition(".")[2]
        if name == "Empty":
            return None
        response = getattr(types, name)()
        assert operation.response.Unpack(type(response).pb(response))
        return response

    def upload(self, *, arguments=(), parent_model="", model_id="", image="mine", spec=None, **fields):
        container = {"image_uri": image, "args": arguments, **(spec or {})}
        model = {"display_name": "penguins", "container_spec": container, **fields}
        return self.done("UploadModel", parent=PARENT, model=model, parent_model=parent_model, model_id=model_id)

    def model(self, name):
        return self.call("GetModel", name=name)

    def endpoint(self):
        return self.done("CreateEndpoint", parent=PARENT, endpoint={"display_name": "birds"}).name

    def deploy(self, endpoint, model, split=None, machine="n1-standard-2", **resources):
        resources = {"machine_spec": {"machine_type": machine}, "min_replica_count": 1, **resources}
        deployed = {"model": model, "dedicated_resources": resources}
        split = {"0": 100} if split is None else split
        done = self.done("DeployModel", endpoint=endpoint, deployed_model=deployed, traffic_split=split)
        return done.deployed_model.id

    def get(self, endpoint):
        return self.call("GetEndpoint", name=endpoint)


class Failed(ApiError):
    """What an operation's error says."""

    def __init__(self, error):
        import grpc

        super().__init__(next(code for code in grpc.StatusCode if code.value[0] == error.code), error.message)


@pytest.fixture
def cloud(tmp_path):
    objects = Objects(Storage())
    objects.create_bucket("lab")
    folder = tmp_path / "cloud"
    folder.mkdir()
    containers = Containers(folder, {}, images={"mine": ["python", str(PROGRAM)]})
    return LocalCloud(
        project="lab",
        project_number="123456789012",
        folder=folder,
        objects=objects,
        containers=containers,
        environment={},
    )


@pytest.fixture
def vertex(cloud):
    found = Vertex(cloud)
    yield found
    found.endpoints.stop()
    assert not descendants_with(PROGRAM.name)


@pytest.fixture
def containers():
    """Counts the containers that run."""
    return lambda: len(descendants_with(PROGRAM.name))


@pytest.fixture
def endpoint(vertex):
    return vertex.endpoint()
