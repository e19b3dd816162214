"""A connection that only listens: to hear when a server tells it to close."""

from __future__ import annotations

import asyncio


async def told_to_close(address: str) -> None:
    """Returns when the server tells a new connection, on which nothing is asked, to close.

    Raises:
        asyncio.IncompleteReadError: It was cut instead.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0]))
    try:
        while True:
            head = await reader.readexactly(9)
            if head[3] == _GOAWAY:
                return
            await reader.readexactly(int.from_bytes(head[:3], "big"))
    finally:
        writer.close()


_SETTINGS, _GOAWAY = 4, 7
