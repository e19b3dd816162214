"""A caller that calls and reads nothing: HTTP/2 by hand, with a window of 0 for every stream."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from google.protobuf.message import Message

_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW_SIZE: Final = 4


@asynccontextmanager
async def unread(address: str, method: str, request: Message, calls: int) -> AsyncIterator[None]:
    """Holds calls open whose replies the server cannot send.

    Args:
        address: Of a server without TLS.
        method: `/voiceflow.registry.v1.ModelRegistry/ValidateVersion`.
        request: The same for each.
        calls: How many, on one connection.
    """
    message = request.SerializeToString()
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    window = struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, window))
    for stream in range(1, 2 * calls, 2):
        writer.write(_frame(_HEADERS, _END_HEADERS, stream, _headers(method)))
        framed = b"\0" + struct.pack(">I", len(message)) + message
        writer.write(_frame(_DATA, _END_STREAM, stream, framed))
    alive = asyncio.create_task(_answer(reader, writer))
    try:
        yield
    finally:
        alive.cancel()
        with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            await alive
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says what keeps a connection alive; but never that anything was read."""
    while True:
        header = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
        kind, flags = header[3], header[4]
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0))
        if kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))


def _headers(method: str) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    # HPACK (RFC 7541, section 6.2.2): literals without indexing.
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, section 4.1."""
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload
    )
