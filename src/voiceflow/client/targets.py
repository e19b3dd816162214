"""Where a target of gRPC leads: `host:port`, `[::1]:50051`, `dns:///name:50051`, `unix:/path`."""

from __future__ import annotations

from voiceflow.rpc.server import is_loopback


def stays_on_this_machine(target: str) -> bool:
    """Whether everything that a target names is this machine; what is not understood is not."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    return all(is_loopback(host) for host in _hosts(target))


def host_of(target: str) -> str:
    """The host that a target names, without port and brackets; the first of several."""
    return _hosts(target)[0]


def _hosts(target: str) -> list[str]:
    for scheme in ("ipv4:", "ipv6:"):
        if target.startswith(scheme):
            return [_host(one) for one in target.removeprefix(scheme).split(",")]
    path = target.removeprefix("dns:")
    # `dns://authority/name`: who answers there may name any machine, so that it stays as it is.
    return [_host(path.removeprefix("///").removeprefix("/"))]


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, colon, _ = address.rpartition(":")
    return host if colon and ":" not in host else address
