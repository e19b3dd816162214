"""The client of the ModelRegistry service: its methods, typed with the values of the catalog."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from voiceflow.client.identity import ClientIdentity
from voiceflow.client.registry.audit import AuditMethods
from voiceflow.client.registry.channels import ChannelMethods
from voiceflow.client.registry.connection import MESSAGE_BYTES, Connection
from voiceflow.client.registry.pods import PodMethods
from voiceflow.client.registry.versions import VersionMethods
from voiceflow.client.retry import RetryPolicy

DEFAULT_REGISTRY: Final = "127.0.0.1:50061"


class RegistryClient(VersionMethods, ChannelMethods, PodMethods, AuditMethods):
    """Talks to one registry; many methods may run at once.

    Names may be given as text or as values of `voiceflow.catalog.names`. What changes something
    takes a request id, or makes one: after a cut it is repeated, and done once.

    Args:
        target: `host:port`, or any target that gRPC knows.
        identity: Who calls, and whom it trusts; None: plain text, for loopback and meshes that
            bring TLS of their own.
        retry: How patiently to ask again while the registry is away or busy.
        timeout_seconds: For the answer to one request; what streams has no limit.
        message_bytes: Of one answer at most; a longer one is not read.

    Every method raises a `voiceflow.errors.VoiceFlowError` with the registry's reason.
    """

    def __init__(
        self,
        target: str = DEFAULT_REGISTRY,
        *,
        identity: ClientIdentity | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float = 60.0,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        patience = retry or RetryPolicy()
        self._arguments = (target, identity, patience, timeout_seconds, message_bytes)

    async def __aenter__(self) -> Self:
        self._connection = Connection(*self._arguments)
        self._stub = self._connection.stub
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connection.close()
