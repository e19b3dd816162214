"""Answers the methods of `voiceflow.registry.v1.ModelRegistry`.

None is served yet. Each is answered with its status and reason all the same, so that a caller can
tell a registry that cannot do something yet from a server that is no registry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Never

import grpc
from google.protobuf.descriptor import MethodDescriptor

from voiceflow.errors import NotServed
from voiceflow.registry.v1 import registry_pb2

_SERVICE: Final = registry_pb2.DESCRIPTOR.services_by_name["ModelRegistry"]

SERVICE_NAME: Final[str] = _SERVICE.full_name


def register(server: grpc.aio.Server) -> None:
    """Adds every method of the service to a server that has not started."""
    handlers = {method.name: _refusal(method) for method in _SERVICE.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))


def _refusal(method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler that refuses before it reads a request, whatever kind of method it is."""

    async def refuse(_request: object, _context: object) -> Never:
        raise NotServed(
            f"{method.name} is not served by this version of the registry",
            reason="NOT_YET_SERVED",
        )

    kind = ("stream" if method.client_streaming else "unary") + (
        "_stream" if method.server_streaming else "_unary"
    )
    make: Callable[..., grpc.RpcMethodHandler[Any, Any]] = getattr(
        grpc, f"{kind}_rpc_method_handler"
    )
    return make(refuse)
