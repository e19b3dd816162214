"""What health tells, and that no watcher holds up another or the server."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as pb_grpc

from tests.fakes.echo import NAME, OPEN, echoing, has_been_told_to_go
from voiceflow.errors import NotFound
from voiceflow.rpc.server import RpcServer
from voiceflow.rpc.status import from_rpc_error

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    """A started server."""
    async with echoing(table=OPEN, health_port=0) as server:
        yield server


@pytest.fixture
async def channel(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def health(channel: grpc.aio.Channel) -> pb_grpc.HealthStub:
    """Its health."""
    return pb_grpc.HealthStub(channel)


async def test_all_is_listed(
    server: RpcServer, channel: grpc.aio.Channel, health: pb_grpc.HealthStub
) -> None:
    """The whole server by the empty name, and each service; they fare alike."""
    for status in (SERVING, NOT_SERVING):
        listed = (await health.List(pb.HealthListRequest())).statuses
        assert {name: one.status for name, one in listed.items()} == {"": status, NAME: status}
        await server.drain()
        await has_been_told_to_go(channel)


async def test_a_service_that_is_not_there_is_not_found(health: pb_grpc.HealthStub) -> None:
    """To who checks; a watcher is told that it is unknown, and waits on."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(pb.HealthCheckRequest(service="else"))
    error = from_rpc_error(caught.value)
    assert (type(error), error.reason, error.field) == (NotFound, "SERVICE_UNKNOWN", "service")
    watch = health.Watch(pb.HealthCheckRequest(service="else"))
    assert (await watch.read()).status == SERVICE_UNKNOWN
    assert not watch.done()
    watch.cancel()


@pytest.mark.parametrize("name", ["", NAME])
async def test_watchers_hear_of_the_change_and_stay(
    server: RpcServer, channel: grpc.aio.Channel, health: pb_grpc.HealthStub, name: str
) -> None:
    """Those that come before it hear both, those that come after it the last; none is ended."""
    request = pb.HealthCheckRequest(service=name)
    first = health.Watch(request)
    assert (await first.read()).status == SERVING
    await server.drain()
    await has_been_told_to_go(channel)
    assert (await first.read()).status == NOT_SERVING
    second = health.Watch(request)
    assert (await second.read()).status == NOT_SERVING
    for watch in (first, second):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watch.read(), 0.05)


async def test_watchers_hear_of_every_change(server: RpcServer, health: pb_grpc.HealthStub) -> None:
    """Out of service and back, as often as it happens; saying the same again is no change."""
    watch = health.Watch(pb.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    for serving, status in [(False, NOT_SERVING), (True, SERVING)] * 2:
        server.set_serving(serving=serving)
        server.set_serving(serving=serving)
        assert (await watch.read()).status == status
        assert (await health.Check(pb.HealthCheckRequest())).status == status
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.read(), 0.05)


async def test_a_server_that_ends_does_not_come_back(
    server: RpcServer, health: pb_grpc.HealthStub
) -> None:
    """Whoever says so."""
    await server.drain()
    server.set_serving(serving=True)
    assert (await health.Check(pb.HealthCheckRequest())).status == NOT_SERVING


async def test_a_watcher_that_reads_nothing_holds_up_nobody(server: RpcServer) -> None:
    """At either port: other watchers hear what they wait for, and the server drains and stops."""
    addresses = (server.address, server.health_address)
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        for address in addresses:
            await stack.enter_async_context(_deaf_watcher(address))
        watches = []
        for address in addresses:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            watches.append(pb_grpc.HealthStub(channel).Watch(pb.HealthCheckRequest()))
        assert [(await watch.read()).status for watch in watches] == [SERVING] * 2
        await server.drain()
        assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 2
        await server.stop()


@asynccontextmanager
async def _deaf_watcher(address: str) -> AsyncIterator[None]:
    """A watcher whose HTTP/2 window is 0, until the server has its call."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Watch",
        ":authority": "x",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    fields = b"".join(b"\0" + _string(name) + _string(value) for name, value in headers.items())
    writer.write(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW, 0))
        + _frame(_HEADERS, _END_HEADERS, 1, fields)
        + _frame(_DATA, _END_STREAM, 1, bytes(5))  # an empty message
    )

    called = asyncio.Event()
    polite = asyncio.create_task(_answering(reader, writer, called))
    try:
        await called.wait()
        yield
    finally:
        polite.cancel()
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
            await polite
        writer.close()


async def _answering(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, called: asyncio.Event
) -> None:
    """Acknowledges settings and pings, and never opens a window."""
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        body = await reader.readexactly(length)
        if kind in {_SETTINGS, _PING} and not flags & _ACK:
            writer.write(_frame(kind, _ACK, 0, body if kind == _PING else b""))
        elif kind == _HEADERS:  # the method has begun to answer
            called.set()


_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW = 4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def _string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("ascii")
