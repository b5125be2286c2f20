"""grpc.health.v1.Health, for probes and load balancers (`--enable_grpc_healthcheck_service`).

The names are TensorFlow Serving's: the server as a whole, and two services without their package.
"""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

_SERVICES = ("", "ModelService", "PredictionService")
_Status = health_pb2.HealthCheckResponse


class HealthService(health.aio.HealthServicer):
    """SERVING from the start, NOT_SERVING from `leave` on."""

    def __init__(self) -> None:
        super().__init__()
        self._leaving = asyncio.Event()
        self._watchers: set[asyncio.Task[None]] = set()

    async def join(self, server: grpc.aio.Server) -> None:
        """Let `server`, which has not started, answer for it."""
        for service in _SERVICES:
            await self.set(service, _Status.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        """The states of one service: what it is now, and NOT_SERVING when the server leaves.

        Then it ends, which the health protocol leaves open: a drain would wait for it otherwise.
        """
        this = asyncio.current_task()
        assert this
        self._watchers.add(this)
        this.add_done_callback(self._watchers.discard)
        known = request.service in _SERVICES
        if not self._leaving.is_set():
            await context.write(_Status(status=_Status.SERVING if known else _Status.SERVICE_UNKNOWN))
            await self._leaving.wait()
        if known:
            await context.write(_Status(status=_Status.NOT_SERVING))

    async def leave(self) -> None:
        """Tell those who watch, and whoever still asks, that this server is going."""
        self._leaving.set()
        await self.enter_graceful_shutdown()
        if self._watchers:
            await asyncio.wait(self._watchers, timeout=1.0)
