"""The server's side of the WebSocket protocol (RFC 6455), as far as port forwarding needs it."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from io import BufferedIOBase

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE, _PING, _PONG = 0x2, 0x8, 0x9, 0xA


def accept_key(key: str) -> str:
    """What a server answers to a client's `Sec-WebSocket-Key`."""
    digest = hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def forward(reader: BufferedIOBase, sink: socket.socket, port: int, pod: socket.socket) -> None:
    """Carries bytes both ways, as `v4.channel.k8s.io` does for one port, until one side ends.

    Args:
        reader: What the client sends.
        sink: To the client.
        port: That was asked for.
        pod: A connection to it.
    """
    writing = threading.Lock()

    def send(opcode: int, payload: bytes) -> None:
        with writing:
            sink.sendall(_head(opcode, len(payload)) + payload)

    for channel in (0, 1):
        send(_BINARY, bytes([channel]) + struct.pack("<H", port))

    def back() -> None:
        try:
            while piece := pod.recv(32_768):
                send(_BINARY, b"\0" + piece)
            send(_CLOSE, b"")
        except OSError:
            """One of the two has gone."""

    thread = threading.Thread(target=back, daemon=True)
    thread.start()
    try:
        for opcode, payload in _frames(reader):
            if opcode == _PING:
                send(_PONG, payload)
            elif opcode == _BINARY and payload[:1] == b"\0":
                pod.sendall(payload[1:])
        pod.shutdown(socket.SHUT_RDWR)
    except OSError:
        """One of the two has gone."""
    finally:
        pod.close()
        thread.join()


def _frames(reader: BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """Frames of a client, which are masked, until it closes."""
    while len(head := reader.read(2)) == 2:
        opcode, length = head[0] & 0x0F, head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", reader.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", reader.read(8))
        mask = reader.read(4)
        payload = bytes(one ^ mask[i % 4] for i, one in enumerate(reader.read(length)))
        if opcode == _CLOSE:
            return
        yield opcode, payload


def _head(opcode: int, length: int) -> bytes:
    if length < 126:
        return bytes([0x80 | opcode, length])
    if length < 1 << 16:
        return bytes([0x80 | opcode, 126]) + struct.pack(">H", length)
    return bytes([0x80 | opcode, 127]) + struct.pack(">Q", length)
