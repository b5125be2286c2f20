"""The front doors: gRPC at a port, at a unix socket or both, plain or over TLS, and, if wanted, REST."""

import asyncio
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from labkit.serving.embedded.dispatch import Dispatcher
from labkit.serving.embedded.flags import AUTO, Flags, channel_arguments
from labkit.serving.embedded.grpc_services import CHANNEL_OPTIONS, GrpcApi
from labkit.serving.embedded.http_server import HttpServer
from labkit.serving.embedded.manager import ModelManager
from labkit.serving.embedded.rest import RestApi
from labkit.serving.embedded.status import Code, StatusError

if TYPE_CHECKING:
    from labkit.serving.embedded.health import HealthService
    from labkit.serving.embedded.metrics import Metrics
    from labkit.serving.embedded.profiler import ProfilerService
    from labkit.serving.embedded.unix_socket import SocketFile

logger = logging.getLogger("labkit.serving")


class Listeners:
    """All front doors of one server."""

    def __init__(self, manager: ModelManager, flags: Flags, metrics: "Metrics | None" = None) -> None:
        """Nothing is open yet.

        Raises:
            StatusError: the file for TLS cannot be used.
        """
        self._flags = flags
        self._credentials = _credentials(flags)
        self._grpc_api = GrpcApi(
            manager,
            Dispatcher(flags.grpc_max_threads),
            tensor_content=flags.enable_serialization_as_tensor_content,
            reload_seconds=0 if flags.strict_tensorflow_serving else flags.reload_timeout_seconds,
            metrics=metrics,
        )
        rest_api = RestApi(
            manager,
            Dispatcher(flags.rest_api_num_threads),
            timeout_ms=flags.rest_api_timeout_in_ms,
            cors=flags.rest_api_enable_cors_support,
            metrics=metrics,
        )
        self._http_server = HttpServer(rest_api.answer)
        self._grpc_server: grpc.aio.Server | None = None
        self._profiler_service: ProfilerService | None = None
        self._health_service: HealthService | None = None
        self._socket_file: SocketFile | None = None

    async def open(self) -> None:
        """Open the ports.

        Raises:
            StatusError: UNAVAILABLE, a port or socket cannot be opened.
        """
        try:
            await self._open()
        except StatusError:
            self._remove_socket()
            raise

    async def _open(self) -> None:
        flags = self._flags
        address = _bracketed(flags.bind_address)
        self._grpc_server = await self._new_grpc_server()
        if flags.port:
            port = self._add_grpc_port(self._grpc_server, _number(flags.port))
        if flags.grpc_socket_path:
            self._add_grpc_socket(self._grpc_server, Path(flags.grpc_socket_path))
        rest_port = await self._listen_for_rest() if flags.rest_api_port else 0
        await self._grpc_server.start()
        if flags.port:
            logger.info("Running gRPC ModelServer at %s:%s ...", address, port)
        if flags.grpc_socket_path:
            logger.info("Running gRPC ModelServer at UNIX socket %s ...", flags.grpc_socket_path)
        if rest_port:
            logger.info("Exporting HTTP/REST API at:%s:%s ...", address, rest_port)

    async def drain(self, seconds: float) -> None:
        """Refuse new requests and wait up to `seconds` for those in flight."""
        if self._profiler_service:
            self._profiler_service.finish()
        if self._health_service:
            await self._health_service.leave()
        closing = [self._http_server.drain(seconds)]
        if self._grpc_server:
            closing.append(self._grpc_server.stop(seconds))
        self._remove_socket()
        await asyncio.gather(*closing)

    async def _new_grpc_server(self) -> grpc.aio.Server:
        flags = self._flags
        options = dict(CHANNEL_OPTIONS) | dict(channel_arguments(flags.grpc_channel_arguments))
        server = grpc.aio.server(options=list(options.items()))
        server.add_generic_rpc_handlers((self._grpc_api,))
        if flags.enable_profiler:
            from labkit.serving.embedded.profiler import ProfilerService

            self._profiler_service = ProfilerService()
            server.add_generic_rpc_handlers((self._profiler_service,))
        if flags.enable_grpc_healthcheck_service:
            from labkit.serving.embedded.health import HealthService

            self._health_service = HealthService()
            await self._health_service.join(server)
        return server

    def _add_grpc_port(self, server: grpc.aio.Server, wanted: int) -> int:
        address = self._flags.bind_address
        try:
            return self._add(server, f"{_bracketed(address)}:{wanted}")
        except RuntimeError as error:
            raise _cannot_listen("gRPC", "port", address, wanted) from error

    def _add_grpc_socket(self, server: grpc.aio.Server, path: Path) -> None:
        from labkit.serving.embedded import unix_socket

        made = unix_socket.clear(path)
        try:
            self._add(server, f"unix:{made}")
            self._socket_file = unix_socket.SocketFile(made, path)
        except (RuntimeError, OSError) as error:
            raise StatusError(Code.UNAVAILABLE, f"--grpc_socket_path={path}: no socket can be made there.") from error

    def _add(self, server: grpc.aio.Server, place: str) -> int:
        if self._credentials:
            return server.add_secure_port(place, self._credentials)
        return server.add_insecure_port(place)

    async def _listen_for_rest(self) -> int:
        """REST's port; 0 if it cannot be had and the server is to go on without, as upstream does."""
        flags = self._flags
        address, wanted = flags.bind_address, _number(flags.rest_api_port)
        if wanted and wanted == flags.port:  # only a strict server comes as far as here with one number for both
            logger.error(
                "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
                "Skipped exporting HTTP/REST API."
            )
            return 0
        try:
            return await self._http_server.listen(address, wanted)
        except OSError as error:
            failure = _cannot_listen("REST", "rest_api_port", address, wanted)
            if not flags.strict_tensorflow_serving:
                raise failure from error
            logger.error("Failed to start HTTP Server at %s:%s. %s", _bracketed(address), wanted, failure.message)
            return 0

    def _remove_socket(self) -> None:
        if self._socket_file:
            self._socket_file.remove()


def _credentials(flags: Flags) -> grpc.ServerCredentials | None:
    if not (flags.ssl_config_file or flags.use_alts_credentials):
        return None
    from labkit.serving.embedded import tls

    return tls.server_credentials(flags)


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
