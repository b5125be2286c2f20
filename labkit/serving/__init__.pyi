from .grpc_client import GrpcClient
from .rest_client import RestClient
from .server import ModelServer, serve
from .version_status import VersionStatus

__all__ = ["GrpcClient", "ModelServer", "RestClient", "VersionStatus", "serve"]
