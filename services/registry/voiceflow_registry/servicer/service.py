"""The whole service: its parts in one, and its methods on a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow_registry.servicer.audit import AuditMethods
from voiceflow_registry.servicer.auditing import Auditing
from voiceflow_registry.servicer.channels import ChannelMethods
from voiceflow_registry.servicer.pods import PodMethods
from voiceflow_registry.servicer.presence import Places, Presence
from voiceflow_registry.servicer.publishing import PublishingMethods
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.validating import ValidatingMethods
from voiceflow_registry.servicer.values import Acts
from voiceflow_registry.servicer.versions import VersionMethods

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["ModelRegistry"]

SERVICE_NAME: Final[str] = _SERVICE.full_name

# Their replies are encoded once for all callers.
_ENCODED: Final = frozenset({"WatchChannels"})


class RegistryServicer(
    PublishingMethods, ValidatingMethods, VersionMethods, ChannelMethods, PodMethods, AuditMethods
):
    """Every method of the service.

    Args:
        acts: What the registry can do.
        threads: Where it is done.
        presence: Who is in.
        publishes: For streams that publish.
        idle_seconds: Such a stream is cut if nothing comes for so long, and a run of the gates if
            nobody reads what it tells.
    """

    def __init__(
        self,
        acts: Acts,
        threads: Threads,
        presence: Presence,
        publishes: Places,
        *,
        idle_seconds: float,
    ) -> None:
        self._acts = acts
        self._threads = threads
        self._auditing = Auditing(acts.audit, threads)
        self._presence = presence
        self._publishes = publishes
        self._idle_seconds = idle_seconds

    @property
    def auditing(self) -> Auditing:
        """Records what is refused, here or before a call comes here."""
        return self._auditing

    async def drain(self, grace_seconds: float) -> None:
        """Takes no new streams, ends those that watch or send, and waits for those at work.

        Args:
            grace_seconds: For at most so long.
        """
        await self._acts.hub.close()
        await self._presence.close(grace_seconds)


def register(servicer: RegistryServicer, server: grpc.aio.Server) -> None:
    """Adds every method of the service to a server that has not started."""
    handlers = {method.name: _handler(servicer, method) for method in _SERVICE.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))


def _handler(
    servicer: RegistryServicer, method: MethodDescriptor
) -> grpc.RpcMethodHandler[Any, Any]:
    kind = ("stream" if method.client_streaming else "unary") + (
        "_stream" if method.server_streaming else "_unary"
    )
    make: Callable[..., grpc.RpcMethodHandler[Any, Any]] = getattr(
        grpc, f"{kind}_rpc_method_handler"
    )
    request: Any = message_factory.GetMessageClass(method.input_type)
    response: Any = message_factory.GetMessageClass(method.output_type)
    return make(
        servicer.auditing.observed(method.name, getattr(servicer, method.name)),
        request_deserializer=request.FromString,
        response_serializer=None if method.name in _ENCODED else response.SerializeToString,
    )
