"""What a server does on the wire, frame by frame: RFC 9113."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.echo import NAME, OPEN, Text, echoing
from voiceflow.rpc.server import RpcServer

_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_INITIAL_WINDOW_SIZE = 4


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    """A started server."""
    async with echoing(table=OPEN) as server:
        yield server


class Wire:
    """A connection without anything of gRPC."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(_SETTINGS)

    def send(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        """One frame."""
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self._writer.write(head + payload)

    def call(self, method: str, message: bytes) -> None:
        """Begins a call on stream 1, with one message; it may send more."""
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/{NAME}/{method}",
            ":authority": "here",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        block = b"".join(
            b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
            for name, value in headers.items()
        )
        self.send(_HEADERS, _END_HEADERS, 1, block)
        self.send(_DATA, 0, 1, b"\0" + len(message).to_bytes(4, "big") + message)

    async def frame(self) -> tuple[int, int, bytes]:
        """The next frame that comes: kind, flags, payload."""
        head = await self._reader.readexactly(9)
        payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], payload

    def close(self) -> None:
        """Hangs up."""
        self._writer.close()


@pytest.fixture
async def wire(server: RpcServer) -> AsyncIterator[Wire]:
    """A connection to the server."""
    host, _, port = server.address.rpartition(":")
    wire = Wire(*await asyncio.open_connection(host, int(port)))
    async with asyncio.timeout(60):
        yield wire
    wire.close()


async def test_a_call_has_a_window_of_a_megabyte(wire: Wire) -> None:
    """So much may be on its way before the server has read it."""
    kind, _, payload = await wire.frame()
    assert kind == _SETTINGS
    pairs = (payload[at : at + 6] for at in range(0, len(payload), 6))
    told = {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}
    assert told[_INITIAL_WINDOW_SIZE] == 1024 * 1024


async def test_a_message_is_answered_without_a_ping(wire: Wire) -> None:
    """No measuring of the connection goes with each hop of a live stream."""
    wire.call("stream_stream", Text(value="x" * 10_000).SerializeToString())
    pings = []
    kind = -1
    while kind != _DATA:
        kind, flags, _ = await wire.frame()
        pings += [flags] if kind == _PING else []
    wire.send(_PING, payload=bytes(8))
    while (kind, flags) != (_PING, _ACK):
        kind, flags, _ = await wire.frame()
        pings += [flags] if kind == _PING else []
    assert pings == [_ACK]
