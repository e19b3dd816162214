"""Who is let in: the table and the interceptor, before the methods of a real server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fakes.echo import (
    AUDIENCE,
    KINDS,
    NAME,
    Settings,
    Text,
    access_for,
    call,
    echoing,
    failure,
    who_calls,
)
from tests.fakes.identity import development_identity, other_authority, pair, token
from tests.fakes.metrics import counted
from tests.fakes.tls import bearing, tls_channel
from voiceflow.client.fate import Fate
from voiceflow.errors import (
    Forbidden,
    InvalidInput,
    LimitExceeded,
    Unauthenticated,
    Unavailable,
    VoiceFlowError,
)
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.rpc.access import ACCESS, ANY_ROLE, caller_of
from voiceflow.rpc.security import open_security
from voiceflow.rpc.server import RpcServer
from voiceflow.rpc.status import from_rpc_error

CLIENT = "spiffe://voiceflow.local/client/dev"
READER = "spiffe://voiceflow.local/reader/dev"
STRANGER = "spiffe://voiceflow.local/nobody/knows"
TOKENS: dict[str, Any] = {
    "tls_cert": pair("server").certificate,
    "tls_key": pair("server").key,
    "access": development_identity() / "access.yaml",
    "keys": development_identity() / "keys.json",
}


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    """Knows callers by tokens; its methods are for clients."""
    async with echoing(**TOKENS) as server:
        yield server


@pytest.fixture
async def channel(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with tls_channel(server.address) as channel:
        yield channel


@pytest.mark.parametrize("kind", KINDS)
async def test_methods_of_all_kinds_know_their_caller(channel: grpc.aio.Channel, kind: str) -> None:
    """Principal, roles, which token it was and where it came from."""
    shown = token(CLIENT, AUDIENCE, jti="the-one")
    caller = await who_calls(channel, kind=kind, **bearing(shown))
    assert caller.principal == CLIENT
    assert caller.roles == {CallerRole.CLIENT}
    assert caller.credential == "jti:the-one"
    assert caller.peer.startswith("127.0.0.1:")


async def test_calls_at_once_do_not_mix_their_callers() -> None:
    """Each of two hundred calls on one connection is answered with its own principal."""
    async with (
        echoing(**TOKENS, table=access_for(ANY_ROLE)) as server,
        tls_channel(server.address) as channel,
    ):
        principals = [CLIENT, READER] * 100
        options = {who: bearing(token(who, AUDIENCE)) for who in (CLIENT, READER)}
        callers = await asyncio.gather(
            *(
                who_calls(channel, kind=KINDS[n % 4], **options[who])
                for n, who in enumerate(principals)
            )
        )
        assert [caller.principal for caller in callers] == principals


def test_there_is_no_caller_outside_of_a_call() -> None:
    """A method that nobody was let in to fails; it does not go on with somebody else."""
    with pytest.raises(LookupError):
        caller_of(None)  # type: ignore[arg-type]


GOOD = token(CLIENT, AUDIENCE)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "CREDENTIALS_MISSING"),
        ((("authorization", ""),), "CREDENTIALS_INVALID"),
        ((("authorization", "Bearer"),), "CREDENTIALS_INVALID"),
        ((("authorization", "Bearer "),), "CREDENTIALS_INVALID"),
        ((("authorization", GOOD),), "CREDENTIALS_INVALID"),
        ((("authorization", f"Basic {GOOD}"),), "CREDENTIALS_INVALID"),
        ((("authorization", f"Bearer  {GOOD}"),), "CREDENTIALS_INVALID"),
        ((("authorization", f"Bearer {GOOD}"),) * 2, "CREDENTIALS_INVALID"),
        ((("authorization", f"Bearer {GOOD[:-4]}AAAA"),), "CREDENTIALS_INVALID"),
        (bearing(token(CLIENT, "voiceflow-other"))["metadata"], "CREDENTIALS_INVALID"),
        (
            bearing(token(CLIENT, AUDIENCE, authority=other_authority()))["metadata"],
            "CREDENTIALS_INVALID",
        ),
        (bearing(token(CLIENT, AUDIENCE, age_seconds=3000))["metadata"], "CREDENTIALS_EXPIRED"),
    ],
)
async def test_who_proves_nothing_is_not_let_in(
    channel: grpc.aio.Channel, metadata: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """UNAUTHENTICATED, counted by its reason; the token stands in no log and no answer."""
    caplog.set_level(logging.DEBUG)
    before = counted("voiceflow.access.refusals", reason=reason)
    seen = await failure(channel, "unary_unary", b"", metadata=metadata)
    assert (type(seen), seen.reason) == (Unauthenticated, reason)
    assert counted("voiceflow.access.refusals", reason=reason) == before + 1
    said = caplog.text + seen.message
    for _, value in metadata:
        for part in value.removeprefix("Bearer").strip().split("."):
            assert len(part) < 10 or part not in said


async def test_a_scheme_in_other_letters_is_the_same(channel: grpc.aio.Channel) -> None:
    """RFC 7235: schemes have no case."""
    options: dict[str, Any] = {"metadata": (("authorization", f"bEARER {GOOD}"),)}
    assert (await who_calls(channel, **options)).principal == CLIENT


@pytest.mark.parametrize(("principal", "had"), [(READER, "reader"), (STRANGER, "nobody")])
@pytest.mark.parametrize("kind", KINDS)
async def test_who_lacks_the_role_is_not_let_in(
    channel: grpc.aio.Channel, kind: str, principal: str, had: str
) -> None:
    """ROLE_MISSING says which role it takes, and which the caller has."""
    seen = await failure(channel, kind, b"", **bearing(token(principal, AUDIENCE)))
    assert (type(seen), seen.reason) == (Forbidden, "ROLE_MISSING")
    assert seen.message == f"{kind} is for client; {principal} is {had}"


async def test_any_role_is_not_no_role() -> None:
    """Reflection is for whoever was granted something."""
    async with (
        echoing(**TOKENS, table=access_for(ANY_ROLE)) as server,
        tls_channel(server.address) as channel,
    ):
        await call(channel, "unary_unary", b"", **bearing(token(READER, AUDIENCE)))
        seen = await failure(channel, "unary_unary", b"", **bearing(token(STRANGER, AUDIENCE)))
        assert seen.reason == "ROLE_MISSING"
        assert (await failure(channel, "unary_unary", b"")).reason == "CREDENTIALS_MISSING"


@pytest.mark.parametrize("settings", [TOKENS, {}], ids=["tokens", "development"])
async def test_a_method_that_is_not_in_the_table_is_closed(settings: dict[str, Any]) -> None:
    """For everybody, in development too: it would be forgotten otherwise."""
    async with echoing(table=ACCESS, **settings) as server:
        channel = (
            tls_channel(server.address) if settings else grpc.aio.insecure_channel(server.address)
        )
        async with channel:
            seen = await failure(channel, "unary_unary", b"", **bearing(GOOD))
    assert seen.reason == "ROLE_MISSING"


async def test_what_strangers_send_is_not_looked_at(channel: grpc.aio.Channel) -> None:
    """Who is not known hears of that, whatever the message; who is, hears of the message."""
    assert isinstance(await failure(channel, "unary_unary", b"\x0a\xff"), Unauthenticated)
    seen = await failure(channel, "unary_unary", b"\x0a\xff", **bearing(GOOD))
    assert isinstance(seen, InvalidInput)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_strangers_send_is_not_received(channel: grpc.aio.Channel, kind: str) -> None:
    """They are refused though not one message has come: gRPC would read a unary one first."""
    refused: Any = channel.stream_stream(f"/{NAME}/{kind}")()
    async with asyncio.timeout(30):
        assert await refused.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("kind", KINDS)
async def test_messages_over_the_limit_are_refused(channel: grpc.aio.Channel, kind: str) -> None:
    """To who may call; who may not hears of that, and the connection goes on."""
    large = Text(value="x" * 2**22).SerializeToString()
    seen = await failure(channel, kind, large, **bearing(GOOD))
    assert (type(seen), seen.reason) == (LimitExceeded, "RESOURCE_EXHAUSTED")
    assert isinstance(await failure(channel, kind, large), Unauthenticated)
    fitting = Text(value="x" * (2**22 - 5)).SerializeToString()
    assert len(fitting) == 2**22
    assert await call(channel, kind, fitting, **bearing(GOOD)) == Text.FromString(fitting)


@pytest.mark.parametrize(("count", "said"), [(0, "none"), (2, "more than one")])
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_unary_method_takes_one_message(
    channel: grpc.aio.Channel, kind: str, count: int, said: str
) -> None:
    """What a client of another kind sends is INVALID_ARGUMENT, not the first of several."""
    begin: Any = channel.stream_stream(f"/{NAME}/{kind}")
    started = begin(iter([b""] * count), **bearing(GOOD))
    fate = Fate(started)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await started.read()
    error = from_rpc_error(fate.told(caught.value))
    assert (type(error), error.reason) == (InvalidInput, "MESSAGE_UNDECODABLE")
    assert error.message == f"the method takes one message; {said} came"


async def test_health_is_for_anybody(channel: grpc.aio.Channel) -> None:
    """Also for who shows a token that is good for nothing."""
    stub = health_pb2_grpc.HealthStub(channel)
    shown: list[dict[str, Any]] = [{}, bearing("nothing")]
    for options in shown:
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=NAME), **options)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_stream_outlives_its_token() -> None:
    """It was let in when it began; the next call with that token is refused."""
    later = timedelta()
    security = open_security(Settings(**TOKENS), lambda: datetime.now(UTC) + later)
    async with echoing(security) as server, tls_channel(server.address) as channel:
        stream: Any = channel.stream_stream(
            f"/{NAME}/stream_stream", response_deserializer=Text.FromString
        )(**bearing(GOOD))
        await stream.write(Text(value="begin").SerializeToString())
        assert (await stream.read()).value == "begin"
        later = timedelta(hours=1)
        seen = await failure(channel, "unary_unary", b"", **bearing(GOOD))
        assert seen.reason == "CREDENTIALS_EXPIRED"
        await stream.write(Text(value="who").SerializeToString())
        assert CLIENT in (await stream.read()).value
        await stream.done_writing()
        assert await stream.code() is grpc.StatusCode.OK


Heard = list[tuple[Caller, str, VoiceFlowError]]


async def test_refusals_of_known_callers_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Who, which method and why, also in the log; nothing of who was let in or is not known."""
    caplog.set_level("INFO", "voiceflow.rpc.access")
    heard: Heard = []

    async def hear(caller: Caller, method: str, error: VoiceFlowError) -> None:
        heard.append((caller, method, error))

    async with echoing(**TOKENS, on_refused=hear) as server, tls_channel(server.address) as channel:
        await call(channel, "unary_unary", b"", **bearing(GOOD))
        await failure(channel, "unary_unary", b"")
        assert heard == []
        await failure(channel, "unary_unary", b"", **bearing(token(READER, AUDIENCE, jti="bad")))
    ((caller, method, error),) = heard
    assert (caller.principal, caller.credential) == (READER, "jti:bad")
    assert method == f"/{NAME}/unary_unary"
    assert error.reason == "ROLE_MISSING"
    assert [READER in record.getMessage() for record in caplog.records] == [False, True]


async def test_a_refusal_that_cannot_be_told_stays_a_refusal() -> None:
    """The caller hears why it could not, and the method does not run."""

    async def fail(*_: object) -> None:
        raise Unavailable("no audit", reason="AUDIT_UNAVAILABLE")

    async with echoing(**TOKENS, on_refused=fail) as server, tls_channel(server.address) as channel:
        seen = await failure(channel, "unary_unary", b"", **bearing(token(READER, AUDIENCE)))
    assert seen.reason == "AUDIT_UNAVAILABLE"


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_in_development_everybody_may_everything(host: str, name: str) -> None:
    """Callers are told apart by their host alone; a token that is shown is not looked at."""
    async with (
        echoing(host=host) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        caller = await who_calls(channel, **bearing("nothing"))
    assert caller.principal == f"host:{name}"
    assert caller.roles == set(CallerRole)
    assert caller.credential == ""
    assert caller.peer.startswith(f"{name}:")
