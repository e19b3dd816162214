"""Addresses of callers, out of what gRPC says of the other end of a connection."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import unquote


@lru_cache(maxsize=1024)
def address_of(peer: str) -> str:
    """Where a call comes from.

    Args:
        peer: As gRPC has it: `ipv4:127.0.0.1:50000`, `ipv6:%5B::1%5D:50000`, `unix:`,
            `unix-abstract:name`.

    Returns:
        `127.0.0.1:50000` or `[::1]:50000`; `unix` for sockets of this machine. IPv4 that came in
        by a socket for IPv6 is told as IPv4.
    """
    scheme, _, text = unquote(peer).partition(":")
    if scheme.startswith("unix"):
        return "unix"
    host, _, port = text.rpartition(":")
    return f"{_plain(host)}:{port}"


def host_of(address: str) -> str:
    """The host of an address as `address_of` has it; an IPv6 address keeps its brackets."""
    return address.rpartition(":")[0] or address


def _plain(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:  # a scheme that gRPC has come by since
        return host
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or f"[{address}]")
