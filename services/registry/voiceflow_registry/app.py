"""Puts the registry together from its settings."""

from __future__ import annotations

from collections.abc import Callable

from voiceflow.rpc.server import RpcServer, Service
from voiceflow_registry import servicer
from voiceflow_registry.settings import Settings


def build(
    settings: Settings, *, on_ready: Callable[[str], None] = lambda _address: None
) -> RpcServer:
    """Builds the server; nothing is bound before it is started.

    Args:
        settings: What the operator set.
        on_ready: Called with the bound ``host:port`` when requests are answered.
    """
    return RpcServer(
        services=(Service(servicer.SERVICE_NAME, servicer.register),),
        host=settings.host,
        port=settings.port,
        insecure=settings.insecure,
        grace_seconds=settings.grace_seconds,
        on_ready=on_ready,
    )
