"""Addresses of callers, out of what gRPC says."""

from __future__ import annotations

import pytest

from voiceflow.rpc.peer import address_of, host_of


@pytest.mark.parametrize(
    ("peer", "address", "host"),
    [
        ("ipv4:127.0.0.1:50000", "127.0.0.1:50000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:50000", "[::1]:50000", "[::1]"),
        ("ipv6:[::1]:50000", "[::1]:50000", "[::1]"),
        ("ipv6:%5B2001:DB8:0::1%5D:1", "[2001:db8::1]:1", "[2001:db8::1]"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:50000", "192.0.2.7:50000", "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:50000", "[fe80::1%eth0]:50000", "[fe80::1%eth0]"),
        ("unix:", "unix", "unix"),
        ("unix:/run/voiceflow.sock", "unix", "unix"),
        ("unix-abstract:voiceflow", "unix", "unix"),
        ("vsock:2:1000", "2:1000", "2"),
    ],
)
def test_an_address_is_told_in_one_form(peer: str, address: str, host: str) -> None:
    """Whatever the socket, one host has one name, and its ports do not make it many."""
    assert address_of(peer) == address
    assert host_of(address) == host
