"""Asks a server on this machine whether it serves: ``python -m voiceflow.rpc.probe 50052``.

For container engines that know no probes over gRPC. It asks in plain text, as the health port
answers. The exit status is 0 if the server says SERVING; else it is 1, and a line says why.
"""

from __future__ import annotations

import sys
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_TIMEOUT_SECONDS: Final = 60.0
"""An engine gives up earlier."""

_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


def fault(address: str) -> str | None:
    """What keeps a server from serving.

    Args:
        address: ``host:port`` that answers health checks in plain text.

    Returns:
        None: It serves.
    """
    with grpc.insecure_channel(address, _OPTIONS) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return f"{address}: {error.code().name}"
    if reply.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)}"


def main(arguments: list[str]) -> int:
    """Asks; returns the exit status."""
    match arguments:
        case [port] if port.isdecimal():
            found = fault(f"127.0.0.1:{port}")
        case _:
            found = "usage: python -m voiceflow.rpc.probe PORT"
    if found:
        sys.stderr.write(f"{found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
