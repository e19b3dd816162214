"""Health (``grpc.health.v1``) of a server: it serves, and from one moment on it does not.

A watcher may leave what it is told unread, and it holds up itself alone: nothing is written under a
lock, and the change waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

from voiceflow.errors import NotFound
from voiceflow.rpc.handlers import Context


class Health:
    """Tells how a server fares, overall (the empty name) and service by service.

    Args:
        services: Full proto names; they fare alike.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ("", *services)
        self._stopped = asyncio.Event()

    def stop_serving(self) -> None:
        """Says NOT_SERVING from now on, to watchers too."""
        self._stopped.set()

    async def Check(  # noqa: N802 the name that the contract has
        self, request: HealthCheckRequest, _context: Context
    ) -> HealthCheckResponse:
        """The status of now.

        Raises:
            NotFound: SERVICE_UNKNOWN.
        """
        if request.service not in self._services:
            raise NotFound(
                "this server has no such service", reason="SERVICE_UNKNOWN", field="service"
            )
        return self._status()

    async def List(  # noqa: N802
        self, _request: HealthListRequest, _context: Context
    ) -> HealthListResponse:
        """The status of everything."""
        return HealthListResponse(statuses={name: self._status() for name in self._services})

    async def Watch(  # noqa: N802
        self, request: HealthCheckRequest, _context: Context
    ) -> AsyncIterator[HealthCheckResponse]:
        """The status of now and the one that follows; it is the caller who ends the stream."""
        if request.service not in self._services:
            yield HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        else:
            if not self._stopped.is_set():
                yield self._status()
                await self._stopped.wait()
            yield self._status()
        await asyncio.Event().wait()

    def _status(self) -> HealthCheckResponse:
        return HealthCheckResponse(
            status=HealthCheckResponse.NOT_SERVING
            if self._stopped.is_set()
            else HealthCheckResponse.SERVING
        )
