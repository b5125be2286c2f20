from .serving import GrpcClient, ModelServer, RestClient, serve

__version__: str
__all__ = ["GrpcClient", "ModelServer", "RestClient", "serve"]
