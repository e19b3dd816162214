"""Who may call what: one table, one interceptor that applies it, and what it knows of the caller.

The table says which roles open a method. Whether a model or a pod is the caller's own is for the
servicer to say, who knows the request. What is not in the table is closed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from enum import Enum
from functools import partial
from typing import Any, Final, TypeAlias

import grpc

from voiceflow.errors import Forbidden, Unauthenticated, VoiceFlowError
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.rpc.handlers import Context, Continuation, Handler, preceded, unread
from voiceflow.rpc.security import Security
from voiceflow.telemetry.metrics import ACCESS_REFUSALS

_LOG = logging.getLogger(__name__)


class Open(Enum):
    """Methods that are not for certain roles."""

    ANYBODY = "anybody, known or not"
    ANY_ROLE = "whoever has any role"


ANYBODY: Final = Open.ANYBODY
ANY_ROLE: Final = Open.ANY_ROLE

Access: TypeAlias = Open | frozenset[CallerRole]
OnRefused: TypeAlias = Callable[[Caller, str, VoiceFlowError], Awaitable[None]]

_CLIENT: Final = CallerRole.CLIENT
_READER: Final = CallerRole.READER
_PUBLISHER: Final = CallerRole.PUBLISHER
_PROMOTER: Final = CallerRole.PROMOTER
_OPERATOR: Final = CallerRole.OPERATOR
_COLLECTOR: Final = CallerRole.COLLECTOR
_VALIDATOR: Final = CallerRole.VALIDATOR

_TABLE: Final[Mapping[str, Mapping[str, Open | set[CallerRole]]]] = {
    "grpc.health.v1.Health": {
        "Check": ANYBODY,
        "List": ANYBODY,
        "Watch": ANYBODY,
    },
    "grpc.reflection.v1alpha.ServerReflection": {
        "ServerReflectionInfo": ANY_ROLE,
    },
    "voiceflow.diarization.v1.Diarization": {
        "Diarize": {_CLIENT},
        "DiarizeFile": {_CLIENT},
        "GetServingState": {_OPERATOR},
        "SetDraining": {_OPERATOR},
    },
    "voiceflow.registry.v1.ModelRegistry": {
        "PublishVersion": {_PUBLISHER},
        "GetUpload": {_PUBLISHER},
        "ValidateVersion": {_PUBLISHER, _VALIDATOR, _PROMOTER},
        "GetValidation": {_READER},
        "ListValidations": {_READER},
        "GetModel": {_READER},
        "ListModels": {_READER},
        "GetVersion": {_READER},
        "ListVersions": {_READER},
        "DownloadVersion": {_READER},
        "DiffVersions": {_READER},
        "YankVersion": {_PUBLISHER, _OPERATOR},
        "DeleteVersion": {_OPERATOR},
        "GetChannel": {_READER},
        "ListChannels": {_READER},
        "PromoteVersion": {_PROMOTER},
        "RollbackChannel": {_PROMOTER, _OPERATOR},
        "ListChannelHistory": {_READER},
        "WatchChannels": {_READER},
        "GetChannelPolicy": {_READER},
        "UpdateChannelPolicy": {_OPERATOR},
        "ReportServing": {_CLIENT},
        "GetPod": {_READER},
        "ListPods": {_READER},
        "ListReverts": {_READER},
        "CompareOutcomes": {_READER},
        "CollectGarbage": {_COLLECTOR},
        "ListAuditEntries": {_OPERATOR},
    },
}

ACCESS: Final[dict[str, Access]] = {
    f"/{service}/{method}": who if isinstance(who, Open) else frozenset(who)
    for service, methods in _TABLE.items()
    for method, who in methods.items()
}
"""Who may call a method, by its path: `/package.Service/Method`."""

_NOBODY: Final[Access] = frozenset()


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets callers in by the table, before anything that they send is received.

    It decides when a call begins: a stream goes on though its token expires meanwhile.

    Args:
        security: Tells who calls.
        on_refused: Hears of every call that is refused to a caller who is known, by the path of the
            method, before the caller does; where it raises, the caller hears that instead.
        access: The table.
    """

    def __init__(
        self,
        security: Security,
        on_refused: OnRefused | None = None,
        access: Mapping[str, Access] = ACCESS,
    ) -> None:
        self._security = security
        self._on_refused = on_refused
        self._access = access

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Puts the decision before the method."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        who = self._access.get(method, _NOBODY)
        if handler is None or who is ANYBODY:  # no such method: gRPC answers UNIMPLEMENTED
            return handler
        return preceded(unread(handler), partial(self._admit, method, who))

    async def _admit(self, method: str, who: Access, request: Any, context: Context) -> Any:
        try:
            caller = self._security.identify(context)
        except Unauthenticated as error:
            ACCESS_REFUSALS.add(1, {"reason": error.reason})
            _LOG.info("%s: %s from %s", method, error.reason, context.peer())
            raise
        if not _may(caller, who):
            refusal = _role_missing(method, who, caller)
            ACCESS_REFUSALS.add(1, {"reason": refusal.reason})
            _LOG.info("%s: %s, from %s", method, refusal.message, caller.peer)
            if self._on_refused is not None:
                await self._on_refused(caller, method, refusal)
            raise refusal
        _CALLER.set(caller)
        return request


def caller_of(_context: Context) -> Caller:
    """Who calls the method that runs now.

    Raises:
        LookupError: No AccessInterceptor has let this call in.
    """
    return _CALLER.get()


# Each call runs in a task of its own, and so in a context of its own.
_CALLER: Final[ContextVar[Caller]] = ContextVar("caller")


def _may(caller: Caller, who: Access) -> bool:
    if isinstance(who, Open):
        return who is ANYBODY or bool(caller.roles)
    return not caller.roles.isdisjoint(who)


def _role_missing(method: str, who: Access, caller: Caller) -> Forbidden:
    name = method.rpartition("/")[2]
    needed = "any role" if isinstance(who, Open) else _listed(who)
    return Forbidden(
        f"{name} is for {needed}; {caller.principal} is {_listed(caller.roles)}",
        reason="ROLE_MISSING",
    )


def _listed(roles: frozenset[CallerRole]) -> str:
    return " or ".join(sorted(roles)) or "nobody"
