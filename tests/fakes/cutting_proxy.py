"""A way to a server that is cut when a test says, and can lead to another one later."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CuttingProxy:
    """Passes bytes on in both directions.

    Attributes:
        upstream: `host:port` that new connections lead to.
        cut_after_bytes: A connection is cut when so many bytes came from its client, or from the
            server; each number is used up by one cut.
        passed_bytes: In both directions, over all connections.
        connections: Made so far.
        delay_seconds: So long everything is on its way, in each direction.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.cut_after_bytes: list[int] = []
        self.passed_bytes = 0
        self.connections = 0
        self.delay_seconds = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Ends every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        host, _, port = self.upstream.rpartition(":")
        try:
            server_reader, server_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, server_writer, both))
                group.create_task(self._pass(server_reader, writer, both))
        finally:
            self._writers -= both
            for one in both:
                one.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
    ) -> None:
        passed_bytes = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                passed_bytes += len(data)
                self.passed_bytes += len(data)
                if self.cut_after_bytes and passed_bytes > self.cut_after_bytes[0]:
                    self.cut_after_bytes.pop(0)
                    break
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        for one in both:
            one.transport.abort()


@asynccontextmanager
async def cutting_proxy(upstream: str) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """Listens on a free port; yields the proxy and its address."""
    proxy = CuttingProxy(upstream)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, f"127.0.0.1:{port}"
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
