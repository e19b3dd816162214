"""I19-I21 and I30: too many clients, restless ones, floods, and a server that stands still."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.fakes.service import FINISH, audio
from tests.faults.place import Place, own_place
from tests.faults.streams import WAIT_SECONDS, Stream, config
from voiceflow.client import DiarizationClient
from voiceflow.errors import Overloaded
from voiceflow.rpc.status import from_rpc_error

ROOM = 4


async def test_i19_ten_times_overload(stream_package: Path, conversation: bytes) -> None:
    """The excess is refused and told when to come again; health serves, who is in is served."""
    with own_place(stream_package, conversation, streams=ROOM, streams_per_principal=ROOM) as place:
        async with contextlib.AsyncExitStack() as stack:
            half = len(conversation) // 4 * 2
            opened = [
                await stack.enter_async_context(place.stream(config(), audio(conversation[:half])))
                for _ in range(ROOM)
            ]
            for stream in opened:
                await stream.covered(1.0)

            refused = await asyncio.gather(*(overload_of(place) for _ in range(9 * ROOM)))
            assert {error.reason for error in refused} == {"STREAMS_FULL"}
            assert all(error.retry_after_seconds > 0 for error in refused)
            assert await health(place) == health_pb2.HealthCheckResponse.SERVING
            async with DiarizationClient(place.service.address) as client:
                state = await client.serving_state()
            assert (state.streams, state.refusals) == (ROOM, {"STREAMS_FULL": 9 * ROOM})

            for stream in opened:
                await stream.send(audio(conversation[half:]), FINISH)
                assert await stream.outcome() == place.expected()
        await place.until_streams_are(0)
        async with place.stream(config(), FINISH) as stream:
            assert (await stream.outcome()).complete


async def test_i19_one_client_leaves_room_for_others(
    stream_package: Path, conversation: bytes
) -> None:
    """One client may have a part of the places; the refusal says that it is its own limit."""
    with own_place(stream_package, conversation, streams=ROOM, streams_per_principal=1) as place:
        async with place.bystander():
            assert (await overload_of(place)).reason == "STREAMS_PER_CLIENT_FULL"


async def overload_of(place: Place) -> Overloaded:
    """The error of a stream that is not let in."""
    async with place.stream(config()) as stream:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    known = from_rpc_error(caught.value)
    assert isinstance(known, Overloaded)
    return known


async def health(place: Place) -> int:
    """What the health service says."""
    async with place.connected() as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        reply = await check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
        return int(reply.status)


async def test_i20_streams_opened_and_cancelled(place: Place) -> None:
    """A thousand streams that are cancelled half-way leave no place taken and no memory held."""

    async def open_and_cancel(channel: grpc.aio.Channel) -> None:
        stream = Stream(channel)
        await stream.send(config(), audio(place.conversation[:32_000]))
        await stream.read()
        stream.call.cancel()

    async with place.bystander(), place.connected() as channel:
        for _ in range(200):
            await open_and_cancel(channel)
        await place.until_streams_are(1)
        resident_bytes = place.service.resident_bytes()
        for _ in range(1000):
            await open_and_cancel(channel)
        await place.until_streams_are(1)
        assert place.service.resident_bytes() < resident_bytes + 16_000_000  # of 32 MB sent


async def test_i21_ping_flood(place: Place) -> None:
    """A connection that pings without end is closed with ENHANCE_YOUR_CALM."""
    async with place.bystander(), asyncio.timeout(WAIT_SECONDS):
        reader, writer = await asyncio.open_connection(*place.service.address.split(":"))
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS)
        writer.write(preface + 100 * frame(PING, b"flooding"))
        assert await goaway_code(reader) == ENHANCE_YOUR_CALM
        writer.close()


SETTINGS, PING, GOAWAY = 4, 6, 7
ENHANCE_YOUR_CALM = 11


def frame(kind: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame of the connection itself (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


async def goaway_code(reader: asyncio.StreamReader) -> int:
    """The error code with which the server closes an HTTP/2 connection."""
    while True:
        header = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
        if header[3] == GOAWAY:
            return int(struct.unpack(">II", payload[:8])[1])


async def test_i30_the_server_stands_still(stream_package: Path, conversation: bytes) -> None:
    """A server that stops for 5 s goes on with every stream, though pings were under way."""
    with own_place(stream_package, conversation, keepalive_seconds=1) as place:
        async with place.bystander() as speaking, place.bystander():
            place.service.process.send_signal(signal.SIGSTOP)
            spoken = asyncio.create_task(speaking.speak(len(conversation) // 8 * 6))
            await asyncio.sleep(5.0)  # the fault itself
            place.service.process.send_signal(signal.SIGCONT)
            await spoken
