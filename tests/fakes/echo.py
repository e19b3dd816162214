"""A small service of all four kinds of methods, for tests of what stands before methods."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from google.protobuf import wrappers_pb2

from voiceflow.client.fate import Fate
from voiceflow.errors import NotAllowedNow, NotFound, Violation, VoiceFlowError
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.rpc.access import ACCESS, ANYBODY, Access, caller_of
from voiceflow.rpc.security import Audience, Security, SecuritySettings, open_security
from voiceflow.rpc.server import RpcServer, Service
from voiceflow.rpc.status import from_rpc_error

NAME = "test.Echo"
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
AUDIENCE = "test-echo"
Text = wrappers_pb2.StringValue


def access_for(who: Access) -> dict[str, Access]:
    """The table, with the four methods for whom one likes."""
    return ACCESS | {f"/{NAME}/{kind}": who for kind in KINDS}


OPEN = access_for(ANYBODY)
CLIENTS = access_for(frozenset({CallerRole.CLIENT}))


async def unary_unary(request: Text, context: Any) -> Text:
    """Answers with the request, or raises what it names."""
    return answer(request, context)


async def unary_stream(request: Text, context: Any) -> AsyncIterator[Text]:
    """Answers as a generator."""
    yield answer(request, context)


async def stream_unary(requests: AsyncIterator[Text], context: Any) -> Text:
    """Answers with the last request."""
    last = Text()
    async for request in requests:
        last = answer(request, context)
    return last


async def stream_stream(requests: AsyncIterator[Text], context: Any) -> None:
    """Answers as a coroutine that writes."""
    async for request in requests:
        await context.write(answer(request, context))


def answer(request: Text, context: Any) -> Text:
    """The request itself, unless it asks for an error, for who asks, or for bytes."""
    if request.value == "bytes":
        return cast("Text", request.SerializeToString())
    if request.value == "missing":
        raise NotFound("no such thing", reason="THING_MISSING", field="value")
    if request.value == "verbose":
        violations = [Violation("rule.broken", f"node {n}", "ä" * 5000) for n in range(100)]
        raise NotAllowedNow("ö" * 9000, reason="FULL_OF_FAULTS", field="x", violations=violations)
    if request.value == "crash":
        raise RuntimeError("secret")
    if request.value == "who":
        caller = caller_of(context)
        told = [caller.principal, sorted(caller.roles), caller.credential, caller.peer]
        return Text(value=json.dumps(told))
    return request


def register(server: grpc.aio.Server) -> None:
    """Adds the four methods."""
    kinds: dict[str, Callable[..., Any]] = {
        "unary_unary": unary_unary,
        "unary_stream": unary_stream,
        "stream_unary": stream_unary,
        "stream_stream": stream_stream,
    }
    handlers = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(
            behaviour,
            request_deserializer=Text.FromString,
            response_serializer=Text.SerializeToString,
        )
        for kind, behaviour in kinds.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


class Settings(SecuritySettings):
    """Settings of a server that has no others."""

    token_audience: Audience = AUDIENCE


@asynccontextmanager
async def echoing(
    security: Security | None = None, table: dict[str, Access] | None = None, **settings: Any
) -> AsyncIterator[RpcServer]:
    """A started server; the methods are for clients.

    Args:
        security: How it is secured; None: as the settings say.
        table: Who may call what.
        settings: Of security, and what else `RpcServer` takes.
    """
    names = Settings.model_fields.keys() & settings.keys() - {"health_host", "health_port"}
    of_security = {name: settings.pop(name) for name in names}
    server = RpcServer(
        [Service(NAME, register)],
        security=security or open_security(Settings(**of_security)),
        access=CLIENTS if table is None else table,
        grace_seconds=1.0,
        **settings,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def call(channel: grpc.aio.Channel, kind: str, data: bytes, **options: Any) -> Text:
    """Calls a method with raw bytes; one reply comes back."""
    multi = getattr(channel, kind)(f"/{NAME}/{kind}", response_deserializer=Text.FromString)
    started = multi(iter([data]) if kind.startswith("stream") else data, **options)
    fate = Fate(started)
    try:
        if kind.endswith("stream"):
            replies: list[Text] = [reply async for reply in started]
            return replies[-1]
        reply: Text = await started
    except grpc.aio.AioRpcError as error:
        raise fate.told(error) from None
    return reply


async def failure(
    channel: grpc.aio.Channel, kind: str, data: bytes, **options: Any
) -> VoiceFlowError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        await call(channel, kind, data, **options)
    return from_rpc_error(caught.value)


async def who_calls(channel: grpc.aio.Channel, *, kind: str = KINDS[0], **options: Any) -> Caller:
    """The caller that a method sees."""
    told = await call(channel, kind, Text(value="who").SerializeToString(), **options)
    principal, roles, credential, peer = json.loads(told.value)
    return Caller(principal, frozenset(map(CallerRole, roles)), credential=credential, peer=peer)


async def has_been_told_to_go(channel: grpc.aio.Channel) -> None:
    """Until a connection of the channel's has heard that it is to close.

    A call that it begins before that comes to a server that has ended: gRPC cancels it.
    """
    await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
