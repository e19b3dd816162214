"""What keeps a client from a server over TLS, told in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.client_identity import (
    BY_CERTIFICATE,
    CA,
    SOON,
    WRONG_CA,
    asked_registry,
    asked_service,
    renew,
    renewable,
    shown,
    tls_server,
)
from tests.fakes.identity import Pair, certificate, expired, other_authority, pair
from tests.fakes.registry import running
from voiceflow.catalog.channels import ChannelCursor
from voiceflow.client import (
    AudioFormat,
    ClientIdentity,
    DiarizationClient,
    Encoding,
    RegistryClient,
    RetryPolicy,
    StreamConfig,
)
from voiceflow.errors import Unauthenticated, Unavailable, Untrusted, VoiceFlowError


@dataclass(frozen=True)
class Fault:
    """One way in which a connection does not come about.

    Attributes:
        server: What the server shows; None: it speaks no TLS.
        client_ca: Whose certificates it demands.
        identity: Of the client.
        kind: Of the error.
        reason: Of the error.
        says: A part of its message.
        passes: It may pass by itself, as far as a client can tell.
    """

    server: Callable[[Path], Pair | None]
    client_ca: Path | None
    identity: ClientIdentity | None
    kind: type[VoiceFlowError]
    reason: str
    says: str
    passes: bool = False


def odd(folder: Path, **how: Any) -> Pair:
    """A server's certificate that is not as it should be."""
    return certificate(folder, None, server=True, **{"dns": ["localhost"]} | how)


YESTERDAY = datetime.now(UTC) - timedelta(days=1)
STRANGER = pair("reader", other_authority())
TOMORROW = datetime.now(UTC) + timedelta(days=1)

ENDLESS = RetryPolicy(attempts=2**31)
"""Whoever asks by it comes back only from what trying again does not help."""

FAULTS = {
    "a CA that signed another": Fault(
        lambda _: pair("server"),
        None,
        ClientIdentity(WRONG_CA),
        *(Untrusted, "SERVER_NOT_TRUSTED", str(WRONG_CA)),
    ),
    "public CAs": Fault(
        lambda _: pair("server"),
        None,
        ClientIdentity(certificate=pair("reader").certificate, key=pair("reader").key),
        *(Untrusted, "SERVER_NOT_TRUSTED", "public CA"),
    ),
    "another name": Fault(
        lambda folder: odd(folder, dns=["elsewhere.example"]),
        None,
        shown("reader"),
        *(Untrusted, "SERVER_NAME_MISMATCH", "127.0.0.1"),
    ),
    "another name than demanded": Fault(
        lambda _: pair("server"),
        None,
        ClientIdentity(CA, server_name="registry.example"),
        *(Untrusted, "SERVER_NAME_MISMATCH", "registry.example"),
    ),
    "expired": Fault(
        lambda folder: odd(folder, end=YESTERDAY, begin=YESTERDAY - timedelta(days=1)),
        None,
        shown("reader"),
        *(Untrusted, "SERVER_NOT_TRUSTED", "expired"),
    ),
    "not yet valid": Fault(
        lambda folder: odd(folder, begin=TOMORROW, end=TOMORROW + timedelta(days=1)),
        None,
        shown("reader"),
        *(Untrusted, "SERVER_NOT_TRUSTED", "not yet valid"),
    ),
    "no TLS": Fault(
        lambda _: None,
        None,
        shown("reader"),
        *(Untrusted, "TLS_NOT_SPOKEN", "(insecure)"),
    ),
    "no certificate of the client": Fault(
        lambda _: pair("server"),
        CA,
        ClientIdentity(CA),
        *(Unavailable, "UNAVAILABLE", "(certificate, key)"),
        passes=True,
    ),
    "a certificate that the server does not trust": Fault(
        lambda _: pair("server"),
        CA,
        ClientIdentity(CA, STRANGER.certificate, STRANGER.key),
        *(Unavailable, "UNAVAILABLE", "another CA"),
        passes=True,
    ),
    "plain text to TLS": Fault(
        lambda _: pair("server"),
        None,
        None,
        *(Unavailable, "UNAVAILABLE", "(ca)"),
        passes=True,
    ),
}


def own_files(own: Pair) -> tuple[Path, Path]:
    """What a client shows."""
    return own.certificate, own.key


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_what_keeps_a_client_from_a_server_is_told_in_words(
    fault: Fault, tmp_path: Path
) -> None:
    """By both clients alike, and none tries again where that is no use."""
    retry = SOON if fault.passes else ENDLESS
    async with tls_server(fault.server(tmp_path), fault.client_ca) as address:
        for ask in (asked_registry, asked_service):
            error = await ask(address, fault.identity, retry)
            assert (type(error), error.reason) == (fault.kind, fault.reason)
            assert fault.says in error.message
            assert address in error.message
            assert len(error.message) < 300
            assert "ipv4:" not in error.message
            assert "SSL" not in error.message


async def test_waiting_for_a_server_ends_where_waiting_is_no_use() -> None:
    """And otherwise when the time is up."""
    async with (
        tls_server(pair("server")) as address,
        DiarizationClient(address, identity=ClientIdentity(WRONG_CA)) as client,
    ):
        with pytest.raises(Untrusted):
            await asyncio.wait_for(client.wait_until_serving(), 30)
    async with DiarizationClient("127.0.0.1:1") as client:
        with pytest.raises(VoiceFlowError) as caught:
            await client.wait_until_serving(timeout_seconds=0.05)
        assert caught.value.reason == "DEADLINE_EXCEEDED"


async def test_a_certificate_that_ends_while_a_client_runs_is_told(tmp_path: Path) -> None:
    """Servers just close the connection; the client looks at what it shows."""
    own = renewable(tmp_path / "own", STRANGER)
    identity = ClientIdentity(CA, own.certificate, own.key)
    async with (
        tls_server(pair("server"), CA) as address,
        RegistryClient(address, identity=identity, retry=ENDLESS) as client,
    ):
        renew(own, expired(tmp_path, "spiffe://voiceflow.local/reader/dev"))
        with pytest.raises(Unauthenticated) as caught:
            await asyncio.wait_for(client.get_model("models/tones"), 30)
    assert caught.value.reason == "CERTIFICATE_EXPIRED"


async def test_a_watch_that_never_stood_ends_at_once() -> None:
    """Where the registry cannot prove its name."""
    async with (
        tls_server(pair("server")) as address,
        RegistryClient(address, identity=ClientIdentity(WRONG_CA), retry=ENDLESS) as client,
    ):
        with pytest.raises(Untrusted):
            async with asyncio.timeout(30):
                await anext(client.watch([ChannelCursor(channel="models/tones/channels/stable")]))


async def test_audio_is_sent_to_no_server_that_cannot_prove_its_name() -> None:
    """Neither a stream nor a recording begins; nothing is taken from the source."""
    taken: list[str] = []

    async def audio() -> AsyncIterator[bytes]:
        taken.append("taken")
        yield bytes(3200)

    config = StreamConfig(AudioFormat(Encoding.PCM16, 16_000))
    async with (
        tls_server(pair("server")) as address,
        DiarizationClient(address, identity=ClientIdentity(WRONG_CA), retry=ENDLESS) as client,
    ):
        with pytest.raises(Untrusted):
            await asyncio.wait_for(anext(client.diarize(audio(), config)), 30)
        with pytest.raises(Untrusted):
            await asyncio.wait_for(client.diarize_file(audio, config), 30)
    assert not taken


async def test_a_server_may_have_another_name_than_the_one_dialled(tmp_path: Path) -> None:
    """Where the client says which."""
    named = odd(tmp_path, dns=["registry.example"])
    settings = BY_CERTIFICATE | {"tls_cert": named.certificate, "tls_key": named.key}
    identity = shown("reader", server_name="registry.example")
    async with (
        running(**settings) as (app, _),
        RegistryClient(app.server.address, identity=identity) as client,
    ):
        assert [one async for one in client.list_models()] == []
