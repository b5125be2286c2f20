"""Vertex AI's services over gRPC."""

import sys
import traceback
from collections.abc import Callable
from concurrent import futures

import grpc

from labkit.cloud.local.services import Services
from labkit.cloud.local.status import ApiError

# Calls that wait (an operation up to a minute, a job's state some seconds) each hold a thread.
_THREADS = 64
_LARGEST_MESSAGE = 64 << 20


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, services: Services, is_let_in: Callable[[int], bool]) -> None:
        self._services, self._is_let_in = services, is_let_in

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        service, _, rpc = details.method.lstrip("/").partition("/")
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._answer(service, rpc, body, context))

    def _answer(self, service: str, rpc: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        if not self._is_let_in(int(context.peer().rpartition(":")[2])):
            return context.abort(grpc.StatusCode.UNAUTHENTICATED, "gRPC is answered by way of the proxy only.")
        try:
            request = self._services.request_type(service, rpc).FromString(body)
            answer = self._services.call(service, rpc, request)
        except ApiError as error:
            return context.abort(error.code, error.message)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        if answer.headers:
            context.send_initial_metadata([(name.lower(), value) for name, value in answer.headers.items()])
        return answer.message.SerializeToString()


def serve(
    services: Services, credentials: grpc.ServerCredentials, is_let_in: Callable[[int], bool]
) -> tuple[grpc.Server, int]:
    """Start the gRPC server; keep it, since it ends when it is forgotten.

    Args:
        services: what answers.
        credentials: the certificate that is shown.
        is_let_in: whether the proxy, which asks for the password, has connected from this port.

    Returns:
        The server, and its port on loopback.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        handlers=[_Handler(services, is_let_in)],
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _LARGEST_MESSAGE)],
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, port
