"""The open ports: gRPC and, if wanted, REST."""

import asyncio
import logging
import socket

import grpc

from labkit.serving.embedded.dispatch import Dispatcher
from labkit.serving.embedded.flags import AUTO, Flags
from labkit.serving.embedded.grpc_services import CHANNEL_OPTIONS, GrpcApi
from labkit.serving.embedded.http_server import HttpServer
from labkit.serving.embedded.rest import RestApi
from labkit.serving.embedded.status import Code, StatusError
from labkit.serving.embedded.versions import ModelManager

logger = logging.getLogger("labkit.serving")


class Listeners:
    """Both front doors of one server."""

    def __init__(self, manager: ModelManager, flags: Flags) -> None:
        self._flags = flags
        self._grpc_api = GrpcApi(
            manager,
            Dispatcher(flags.grpc_max_threads),
            tensor_content=flags.enable_serialization_as_tensor_content,
        )
        rest_api = RestApi(
            manager,
            Dispatcher(flags.rest_api_num_threads),
            timeout_ms=flags.rest_api_timeout_in_ms,
            cors=flags.rest_api_enable_cors_support,
        )
        self._http_server = HttpServer(rest_api.answer)
        self._grpc_server: grpc.aio.Server | None = None

    async def open(self) -> None:
        """Open the ports.

        Raises:
            StatusError: UNAVAILABLE, a port cannot be opened.
        """
        address = self._flags.bind_address
        self._grpc_server = grpc.aio.server(options=CHANNEL_OPTIONS)
        self._grpc_server.add_generic_rpc_handlers((self._grpc_api,))
        wanted = _number(self._flags.port)
        try:
            port = self._grpc_server.add_insecure_port(f"{_bracketed(address)}:{wanted}")
        except RuntimeError as error:
            raise _cannot_listen("gRPC", "port", address, wanted) from error
        if self._flags.rest_api_port:
            rest_wanted = _number(self._flags.rest_api_port)
            try:
                rest_port = await self._http_server.listen(address, rest_wanted)
            except OSError as error:
                raise _cannot_listen("REST", "rest_api_port", address, rest_wanted) from error
        await self._grpc_server.start()
        logger.info("Running gRPC ModelServer at %s:%s ...", _bracketed(address), port)
        if self._flags.rest_api_port:
            logger.info("Exporting HTTP/REST API at:%s:%s ...", _bracketed(address), rest_port)

    async def drain(self, seconds: float) -> None:
        """Refuse new requests and wait up to `seconds` for those in flight."""
        closing = [self._http_server.drain(seconds)]
        if self._grpc_server:
            closing.append(self._grpc_server.stop(seconds))
        await asyncio.gather(*closing)


def _number(port: int | str) -> int:
    return 0 if port == AUTO else int(port)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _cannot_listen(what: str, flag: str, address: str, port: int) -> StatusError:
    return StatusError(
        Code.UNAVAILABLE,
        f"The {what} port {_bracketed(address)}:{port} cannot be opened: {_reason(address, port)}. "
        f"If it is taken, stop what listens there, or pass another --{flag}=N (or auto).",
    )


def _reason(address: str, port: int) -> str:
    """The operating system's word; gRPC keeps it to itself."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except OSError as error:
        return error.strerror or str(error)
    return "it is in use"
