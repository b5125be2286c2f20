"""Which RPC is answered by which method: the one place that both doors, gRPC and REST, ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.cloud.aiplatform_v1 import types
from google.cloud.location import locations_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from labkit.cloud.local import names
from labkit.cloud.local.endpoints import Endpoints
from labkit.cloud.local.jobs import Jobs
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.models import Models
from labkit.cloud.local.operations import bare
from labkit.cloud.local.pipelines import Pipelines
from labkit.cloud.local.prediction import Prediction
from labkit.cloud.local.status import unimplemented

PACKAGE = "google.cloud.aiplatform.v1"
VERTEX = {
    "ModelService": Models,
    "EndpointService": Endpoints,
    "PredictionService": Prediction,
    "JobService": Jobs,
    "PipelineService": Pipelines,
}


class OperationsService:
    """`google.longrunning.Operations`, https://google.aip.dev/151."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._operations = cloud.operations

    def GetOperation(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        return self._operations.get(request.name)

    def WaitOperation(self, request: operations_pb2.WaitOperationRequest) -> operations_pb2.Operation:
        seconds = request.timeout.seconds if request.HasField("timeout") else 60
        return self._operations.wait(request.name, min(seconds, 60))

    def ListOperations(self, request: operations_pb2.ListOperationsRequest) -> operations_pb2.ListOperationsResponse:
        return operations_pb2.ListOperationsResponse(operations=self._operations.list(request.name))

    def DeleteOperation(self, request: operations_pb2.DeleteOperationRequest) -> empty_pb2.Empty:
        self._operations.forget(request.name)
        return empty_pb2.Empty()


class LocationsService:
    """`google.cloud.location.Locations`."""

    def GetLocation(self, request: locations_pb2.GetLocationRequest) -> locations_pb2.Location:
        location = request.name.rpartition("/")[2]
        return locations_pb2.Location(name=request.name, location_id=location)

    def ListLocations(self, request: locations_pb2.ListLocationsRequest) -> locations_pb2.ListLocationsResponse:
        parent = f"{request.name}/locations"
        found = [locations_pb2.Location(name=f"{parent}/{each}", location_id=each) for each in names.regions()]
        return locations_pb2.ListLocationsResponse(locations=found)


class ProjectsService:
    """`google.cloud.resourcemanager.v3.Projects`: the SDK turns the project's number into its id and back."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud

    def GetProject(self, request: Any) -> Any:
        from google.cloud.resourcemanager_v3 import Project

        if request.name.removeprefix("projects/") not in (self._cloud.project, self._cloud.project_number):
            raise names.elsewhere(self._cloud, request.name.removeprefix("projects/"))
        return Project(
            name=f"projects/{self._cloud.project_number}",
            project_id=self._cloud.project,
            display_name=self._cloud.project,
            state=Project.State.ACTIVE,
        )


@dataclass(frozen=True)
class Answer:
    """What an RPC answers with.

    Attributes:
        message: a protobuf message that nothing changes any more.
        headers: response headers, over gRPC initial metadata.
    """

    message: Any
    headers: dict[str, str]


class Services:
    """Every RPC of the local cloud."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._services = {f"{PACKAGE}.{name}": service(cloud) for name, service in VERTEX.items()}
        self._services["google.longrunning.Operations"] = OperationsService(cloud)
        self._services["google.cloud.location.Locations"] = LocationsService()
        self._services["google.cloud.resourcemanager.v3.Projects"] = ProjectsService(cloud)

    def rpcs(self) -> list[str]:
        """The full names of all that are answered, as in ``google.cloud.aiplatform.v1.ModelService/GetModel``."""
        return sorted(f"{name}/{rpc}" for name, service in self._services.items() for rpc in _rpcs(service))

    def stop(self) -> None:
        """End the processes that were started for any of them."""
        for service in self._services.values():
            if hasattr(service, "stop"):
                service.stop()

    def request_type(self, service: str, rpc: str) -> Any:
        """The protobuf class of an RPC's request.

        Raises:
            ApiError: UNIMPLEMENTED, the RPC is not answered here.
        """
        if service not in self._services or rpc not in _rpcs(self._services[service]):
            raise unimplemented(f"{service}/{rpc}")
        kind = getattr(_messages(service), f"{rpc}Request")
        return kind.pb() if hasattr(kind, "pb") else kind

    def call(self, service: str, rpc: str, request: Any) -> Answer:
        """Answer one request.

        Args:
            service: its full name.
            rpc: the method's name.
            request: a message of `request_type`.

        Raises:
            ApiError: the answer is an error.
        """
        self.request_type(service, rpc)  # or there is no such RPC
        names.settle(self._cloud, request)
        kind = getattr(_messages(service), f"{rpc}Request")
        wrapped = kind.wrap(request) if hasattr(kind, "wrap") else request
        result = getattr(self._services[service], rpc)(wrapped)
        message, headers = result if isinstance(result, tuple) else (result, {})
        with self._cloud.resources.lock:
            answer = type(bare(message))()
            answer.CopyFrom(bare(message))
        return Answer(answer, headers)


def _messages(service: str) -> Any:
    """The module with the messages of a service."""
    if service.startswith(PACKAGE):
        return types
    if "resourcemanager" in service:
        from google.cloud import resourcemanager_v3  # half a second of import, and few ask

        return resourcemanager_v3
    return operations_pb2 if "longrunning" in service else locations_pb2


def _rpcs(service: object) -> Iterable[str]:
    return [name for name in dir(service) if name[0].isupper() and callable(getattr(service, name))]
