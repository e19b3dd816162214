"""Whom a server finds to be calling, by certificate and by token, and what it then may."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tests.fakes.echo import (
    AUDIENCE,
    NAME,
    Settings,
    Text,
    echoing,
    failure,
    who_calls,
)
from tests.fakes.identity import (
    Pair,
    certificate,
    development_identity,
    expired,
    other_authority,
    pair,
    token,
)
from tests.fakes.tls import bearing, tls_channel
from voiceflow.errors import Unauthenticated
from voiceflow.identity.caller import CallerRole
from voiceflow.identity.certificates import fingerprint
from voiceflow.rpc import security as security_module
from voiceflow.rpc.security import Security, open_security

CLIENT = "spiffe://voiceflow.local/client/dev"
READER = "spiffe://voiceflow.local/reader/dev"
MUTUAL: dict[str, Any] = {
    "tls_cert": pair("server").certificate,
    "tls_key": pair("server").key,
    "client_ca": pair("server").ca,
    "access": development_identity() / "access.yaml",
}
KEYS: dict[str, Any] = {"keys": development_identity() / "keys.json"}


@asynccontextmanager
async def connected(
    shown: Pair | None, security: Security | None = None, **settings: Any
) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to a server of its own, which asks for certificates."""
    settings = {} if security else MUTUAL | settings
    async with (
        echoing(security, **settings) as server,
        tls_channel(server.address, shown) as channel,
    ):
        yield channel


async def test_a_certificate_is_an_identity() -> None:
    """Its URI is the principal, which the access file grants roles; audits can name it."""
    shown = pair("client")
    async with connected(shown) as channel:
        caller = await who_calls(channel)
    assert caller.principal == CLIENT
    assert caller.roles == {CallerRole.CLIENT}
    assert caller.credential == fingerprint(shown.certificate.read_bytes())
    assert caller.peer.startswith("127.0.0.1:")


async def test_who_was_granted_nothing_may_nothing(tmp_path: Path) -> None:
    """A certificate of the right CA alone opens nothing."""
    stranger = certificate(tmp_path, "spiffe://voiceflow.local/nobody/knows")
    async with connected(stranger) as channel:
        assert (await failure(channel, "unary_unary", b"")).reason == "ROLE_MISSING"


async def test_a_token_is_the_identity_where_there_is_one() -> None:
    """Though the certificate is somebody else's: that of a proxy."""
    async with connected(pair("reader"), **KEYS) as channel:
        assert (await failure(channel, "unary_unary", b"")).reason == "ROLE_MISSING"
        caller = await who_calls(channel, **bearing(token(CLIENT, AUDIENCE, jti="mine")))
    assert (caller.principal, caller.credential) == (CLIENT, "jti:mine")


@pytest.mark.parametrize("keys", [KEYS, {}], ids=["with keys", "without keys"])
async def test_a_bad_token_is_refused_though_the_certificate_is_good(keys: dict[str, Any]) -> None:
    """It is not ignored, also by a server that takes no tokens at all."""
    bad = token(CLIENT, AUDIENCE, authority=other_authority())
    async with connected(pair("client"), **keys) as channel:
        assert (await who_calls(channel)).principal == CLIENT
        seen = await failure(channel, "unary_unary", b"", **bearing(bad))
    assert (type(seen), seen.reason) == (Unauthenticated, "CREDENTIALS_INVALID")


async def test_a_good_token_is_refused_where_none_are_taken() -> None:
    """Nobody has said with what key it would be verified."""
    async with connected(pair("client")) as channel:
        seen = await failure(channel, "unary_unary", b"", **bearing(token(CLIENT, AUDIENCE)))
    assert seen.reason == "CREDENTIALS_INVALID"


@pytest.mark.parametrize(
    "odd",
    [
        {"principal": None},
        {"principal": CLIENT, "uris": [READER]},
        {"principal": None, "dns": ["voiceflow.local"]},
        {"principal": "https://voiceflow.local/client/dev"},
    ],
    ids=["no name", "two URIs", "a DNS name", "no SPIFFE ID"],
)
async def test_a_certificate_that_names_no_caller_is_refused(
    odd: dict[str, Any], tmp_path: Path
) -> None:
    """Though its CA is the right one."""
    async with connected(certificate(tmp_path, **odd)) as channel:
        seen = await failure(channel, "unary_unary", b"")
    assert (type(seen), seen.reason) == (Unauthenticated, "CREDENTIALS_INVALID")


@pytest.mark.parametrize("who", ["nobody", "another CA", "expired"])
async def test_the_transport_turns_away_who_shows_no_good_certificate(
    who: str, tmp_path: Path
) -> None:
    """Also with a good token, and for health: nothing is served to them."""
    shown = {
        "nobody": None,
        "another CA": certificate(tmp_path, CLIENT, authority=other_authority()),
        "expired": expired(tmp_path, CLIENT),
    }[who]
    async with connected(shown, **KEYS) as channel:
        seen = await failure(channel, "unary_unary", b"", **bearing(token(CLIENT, AUDIENCE)))
        assert seen.reason == "UNAVAILABLE"


async def test_a_certificate_is_good_until_it_ends_on_old_connections_too() -> None:
    """A call that begins later is refused; a stream that has begun goes on."""
    later = timedelta()
    security = open_security(Settings(**MUTUAL), lambda: datetime.now(UTC) + later)
    async with connected(pair("client"), security) as channel:
        stream: Any = channel.stream_stream(
            f"/{NAME}/stream_stream", response_deserializer=Text.FromString
        )()
        await stream.write(Text(value="begin").SerializeToString())
        assert (await stream.read()).value == "begin"
        later = timedelta(days=31)
        seen = await failure(channel, "unary_unary", b"")
        assert (type(seen), seen.reason) == (Unauthenticated, "CREDENTIALS_EXPIRED")
        await stream.write(Text(value="end").SerializeToString())
        assert (await stream.read()).value == "end"
        await stream.done_writing()
        assert await stream.code() is grpc.StatusCode.OK


async def test_a_certificate_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls show it, as all calls of a connection do."""
    parsed: list[bytes] = []

    def principal_of(pem: bytes) -> str:
        parsed.append(pem)
        return CLIENT

    monkeypatch.setattr(security_module, "principal_of", principal_of)
    security_module._read.cache_clear()
    try:
        async with connected(pair("client")) as channel:
            for _ in range(3):
                await who_calls(channel)
    finally:
        security_module._read.cache_clear()
    assert len(parsed) == 1


async def test_what_is_granted_changes_with_the_next_call(tmp_path: Path) -> None:
    """On connections that are open too: taking a grant away needs no restart."""
    access = tmp_path / "access.yaml"

    def grant(role: str) -> None:
        grants = [{"principal": CLIENT, "roles": [role]}]
        access.write_text(yaml.safe_dump({"schema_version": 1, "grants": grants}))

    grant("client")
    security = open_security(Settings(**MUTUAL | {"access": access}))
    async with connected(pair("client"), security) as channel:
        await who_calls(channel)
        grant("reader")
        assert [source.what for source in security.sources if source.check()] == ["access"]
        assert (await failure(channel, "unary_unary", b"")).reason == "ROLE_MISSING"


async def test_a_handshake_without_news_changes_nothing(tmp_path: Path) -> None:
    """GRPC builds everything anew for certificates it is given; so it gets each of them once."""
    for name in ("server.pem", "server-key.pem"):
        shutil.copy(development_identity() / name, tmp_path / name)
    files = {"tls_cert": tmp_path / "server.pem", "tls_key": tmp_path / "server-key.pem"}
    security = open_security(Settings(**MUTUAL | files))
    assert security.identification is not None
    certificates = security.identification.certificates
    news = security_module._Changes(certificates)
    assert news() is None
    renewed = certificate(tmp_path, None, dns=["localhost"], server=True)
    shutil.copy(renewed.certificate, files["tls_cert"])
    shutil.copy(renewed.key, files["tls_key"])
    assert certificates.check()
    assert news() is certificates.value
    assert news() is None
