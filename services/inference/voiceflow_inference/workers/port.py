"""Holds a port that several processes of ours listen on, and nobody else.

With SO_REUSEPORT Linux spreads connections over the listeners of one port, and lets any process of
the same user be one. So a second server would take a share of the connections in silence. Here the
port is first taken alone, which fails if anybody has it, and then kept without listening: who
shares no ports can no longer take it, and who would hold it likewise cannot either.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final


def reserve(host: str, port: int) -> socket.socket:
    """Keeps a port from everybody but those who share it, until the socket is closed.

    Args:
        host: Address that will be listened on.
        port: 0 takes a free one; the socket's name tells which.

    Raises:
        OSError: Another process has the port, or it cannot be had; the message says which.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as alone:
            # What a server that has just ended left in TIME_WAIT is in nobody's way.
            _set(alone, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            # Older kernels hold all that are bound, listening or not, against a listener alone.
            alone.listen()
            _set(alone, socket.SO_REUSEPORT, 1)
            return _held(alone)
    except OSError as error:
        why = _TAKEN if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise OSError(f"cannot listen on {_shown(host)}:{port}: {why}") from error


def _held(alone: socket.socket) -> socket.socket:
    """The same port, bound and not listened on; there is no moment without a holder."""
    held = socket.socket(alone.family, alone.type, alone.proto)
    try:
        _set(held, socket.SO_REUSEADDR, 1)
        _set(held, socket.SO_REUSEPORT, 1)
        held.bind(alone.getsockname())
        # Or others could bind beside it, as beside anybody who does not listen.
        _set(held, socket.SO_REUSEADDR, 0)
    except BaseException:
        held.close()
        raise
    return held


def _set(one: socket.socket, option: int, value: int) -> None:
    one.setsockopt(socket.SOL_SOCKET, option, value)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


_TAKEN: Final = f"{os.strerror(errno.EADDRINUSE)}: another server has this port"
