"""Health (``grpc.health.v1``) of a server: it serves or it does not, as it is told.

A watcher may leave what it is told unread, and it holds up itself alone: nothing is written under a
lock, and a change waits for nobody. Who is slow hears of the last change only.
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
        self._serving = True
        self._changed = asyncio.Event()

    def switch(self, *, serving: bool) -> None:
        """Says SERVING or NOT_SERVING from now on, to watchers too."""
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

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
        """The status of now and each one that follows; it is the caller who ends the stream."""
        if request.service not in self._services:
            yield HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
            await asyncio.Event().wait()
        told: bool | None = None
        while True:
            changed = self._changed
            if told == self._serving:
                await changed.wait()
            else:
                told = self._serving
                yield self._status()

    def _status(self) -> HealthCheckResponse:
        return HealthCheckResponse(
            status=HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING
        )
