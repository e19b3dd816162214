"""Certificates, CAs and grants change while a server runs, and nobody who is connected notices."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tests.fakes.echo import AUDIENCE, NAME, Text, echoing, who_calls
from tests.fakes.identity import (
    Pair,
    certificate,
    development_identity,
    expired,
    other_authority,
    pair,
    token,
)
from tests.fakes.metrics import counted
from tests.fakes.tls import bearing, serial_of, serial_shown, tls_channel
from voiceflow.identity.caller import CallerRole
from voiceflow.rpc.server import RpcServer, Transport
from voiceflow.rpc.status import from_rpc_error

CLIENT = "spiffe://voiceflow.local/client/dev"
FAILURES = "voiceflow.reload.failures"


@dataclass(frozen=True)
class Place:
    """A server whose files may be replaced.

    Attributes:
        server: It runs.
        folder: Its files: server.pem, server-key.pem, ca.pem, access.yaml, keys.json.
    """

    server: RpcServer
    folder: Path

    def replace(self, **files: bytes) -> None:
        """Puts other contents in place, in one step each."""
        for name, content in files.items():
            draft = self.folder / f".{name}"
            draft.write_bytes(content)
            draft.replace(self.folder / FILES[name])

    async def looked_again(self) -> None:
        """Waits until the server has looked at the files that are there now."""
        (certificates, *_) = self.server.security.sources
        await asyncio.to_thread(certificates.check)


FILES = {
    "chain": "server.pem",
    "key": "server-key.pem",
    "ca": "ca.pem",
    "access": "access.yaml",
    "keys": "keys.json",
}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A server that demands certificates and looks at its files again and again."""
    async with placed(tmp_path) as place:
        yield place


@asynccontextmanager
async def placed(tmp_path: Path, **more: Any) -> AsyncIterator[Place]:
    """That server, with further settings."""
    counted(FAILURES)
    for name in FILES.values():
        shutil.copy(development_identity() / name, tmp_path / name)
    settings: dict[str, Any] = {
        "tls_cert": tmp_path / "server.pem",
        "tls_key": tmp_path / "server-key.pem",
        "client_ca": tmp_path / "ca.pem",
        "access": tmp_path / "access.yaml",
        "keys": tmp_path / "keys.json",
        "reload_seconds": 0.01,
    }
    async with echoing(**settings, **more) as server:
        yield Place(server, tmp_path)


@asynccontextmanager
async def open_stream(channel: grpc.aio.Channel) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A stream that is answered word by word, and ends well."""
    stream: Any = channel.stream_stream(
        f"/{NAME}/stream_stream", response_deserializer=Text.FromString
    )()

    async def say(word: str) -> str:
        await stream.write(Text(value=word).SerializeToString())
        reply: Text = await stream.read()
        return str(reply.value)

    yield say
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Looks again and again."""
    async with asyncio.timeout(30):
        while not await look():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)


async def refused_once_more(what: str, before: float) -> None:
    """Waits until one more content was refused."""

    async def is_counted() -> bool:
        return counted(FAILURES, what=what) > before

    await until(is_counted)
    assert counted(FAILURES, what=what) == before + 1


async def test_new_connections_see_the_new_chain_and_streams_go_on(
    place: Place, tmp_path: Path
) -> None:
    """A renewal: chain and key are replaced one after the other, as a certificate manager does."""
    renewed = certificate(tmp_path, None, dns=["localhost"], server=True)
    chain, key = renewed.certificate.read_bytes(), renewed.key.read_bytes()
    async with (
        tls_channel(place.server.address, pair("client")) as channel,
        open_stream(channel) as say,
    ):
        assert await say("before") == "before"
        old, failures = (
            await serial_shown(place.server.address),
            counted(FAILURES, what="certificates"),
        )
        place.replace(chain=chain)
        # Until the key follows, the files do not fit each other, and the old ones stay in use.
        await refused_once_more("certificates", failures)
        assert await serial_shown(place.server.address) == old
        place.replace(key=key)

        async def is_shown() -> bool:
            return await serial_shown(place.server.address) != old

        await until(is_shown)
        assert await serial_shown(place.server.address) == serial_of(chain)
        assert await say("after") == "after"
        assert (await who_calls(channel)).principal == CLIENT


async def test_a_bad_file_keeps_the_old_one_and_is_counted(place: Place, tmp_path: Path) -> None:
    """Garbage, nothing, what has expired, another's key, no CA: each counts once, none is used."""
    old = await serial_shown(place.server.address)
    ended = expired(tmp_path, CLIENT)
    bad: list[dict[str, bytes]] = [
        {"chain": b"garbage"},
        {"chain": b""},
        {"chain": ended.certificate.read_bytes()},
        {"key": ended.key.read_bytes()},
        {"ca": ended.certificate.read_bytes()},
    ]
    for files in bad:
        good = {name: (place.folder / FILES[name]).read_bytes() for name in files}
        failures = counted(FAILURES, what="certificates")
        place.replace(**files)
        await refused_once_more("certificates", failures)
        assert await serial_shown(place.server.address) == old
        place.replace(**good)
        await place.looked_again()
    (place.folder / "server.pem").unlink()
    await refused_once_more("certificates", counted(FAILURES, what="certificates"))
    async with tls_channel(place.server.address, pair("client")) as channel:
        assert (await who_calls(channel)).principal == CLIENT


async def test_a_ca_that_was_removed_lets_nobody_in(place: Place, tmp_path: Path) -> None:
    """New connections of its certificates are turned away; those of the other CA are not."""
    ours = (development_identity() / "ca.pem").read_bytes()
    theirs = (other_authority() / "ca.pem").read_bytes()
    other = certificate(tmp_path, CLIENT, authority=other_authority())

    async def lets_in(shown: Pair) -> bool:
        async with tls_channel(place.server.address, shown) as channel:
            try:
                return (await who_calls(channel)).principal == CLIENT
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - either is right
                return False

    async def other_is_let_in() -> bool:
        return await lets_in(other)

    async def other_is_turned_away() -> bool:
        return not await lets_in(other)

    assert not await lets_in(other)
    place.replace(ca=ours + theirs)
    await until(other_is_let_in)
    async with tls_channel(place.server.address, other) as channel, open_stream(channel) as say:
        assert await say("before") == "before"
        place.replace(ca=ours)
        await until(other_is_turned_away)
        assert await say("after") == "after"
    assert await lets_in(pair("client"))


async def test_a_ca_that_was_removed_ends_old_connections_once_they_are_of_age(
    tmp_path: Path,
) -> None:
    """The next call is made on a new connection and turned away; the open stream goes on."""
    ours = (development_identity() / "ca.pem").read_bytes()
    theirs = (other_authority() / "ca.pem").read_bytes()
    shown = certificate(tmp_path, CLIENT, authority=other_authority())
    async with placed(tmp_path, transport=Transport(connection_age_seconds=0.5)) as place:
        place.replace(ca=ours + theirs)
        await place.looked_again()
        async with (
            tls_channel(place.server.address, shown) as channel,
            open_stream(channel) as say,
        ):
            assert await say("before") == "before"
            place.replace(ca=ours)

            async def is_turned_away() -> bool:
                try:
                    await who_calls(channel)
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - as above
                    return True
                return False

            await until(is_turned_away)
            assert await say("after") == "after"


async def test_calls_go_on_while_connections_come_of_age(tmp_path: Path) -> None:
    """I31: a stream stays on its connection to its end; calls find another, and none fails."""
    transport = Transport(connection_age_seconds=0.2)
    async with (
        placed(tmp_path, transport=transport) as place,
        tls_channel(place.server.address, pair("client")) as channel,
        open_stream(channel) as say,
    ):
        assert await say("before") == "before"
        peers: set[str] = set()

        async def is_another() -> bool:
            peers.add((await who_calls(channel)).peer)
            return len(peers) > 3

        await until(is_another)
        assert await say("after") == "after"


async def test_a_grant_that_was_taken_away_ends_with_the_next_call(place: Place) -> None:
    """On the open connection too; its open stream goes on, and a bad file changes nothing."""
    access = (place.folder / "access.yaml").read_text()
    async with (
        tls_channel(place.server.address, pair("client")) as channel,
        open_stream(channel) as say,
    ):
        assert await say("before") == "before"
        failures = counted(FAILURES, what="access")
        place.replace(access=b"grants: everything")
        await refused_once_more("access", failures)
        assert (await who_calls(channel)).roles == {CallerRole.CLIENT}
        grants = yaml.safe_load(access)
        grants["grants"] = [one for one in grants["grants"] if one["principal"] != CLIENT]
        place.replace(access=yaml.safe_dump(grants).encode())

        async def is_refused() -> bool:
            try:
                await who_calls(channel)
            except grpc.aio.AioRpcError as error:
                assert from_rpc_error(error).reason == "ROLE_MISSING"  # noqa: PT017 - as above
                return True
            return False

        await until(is_refused)
        assert await say("after") == "after"


async def test_a_key_that_was_taken_away_verifies_no_token(place: Place) -> None:
    """From the next call on; tokens of the key that has taken its place are good."""
    ours, theirs = (
        bearing(token(CLIENT, AUDIENCE, authority=authority))
        for authority in (development_identity(), other_authority())
    )

    async def is_taken(shown: dict[str, Any]) -> bool:
        try:
            return (await who_calls(channel, **shown)).principal == CLIENT
        except grpc.aio.AioRpcError as error:
            assert from_rpc_error(error).reason == "CREDENTIALS_INVALID"  # noqa: PT017 - as above
            return False

    async with tls_channel(place.server.address, pair("client")) as channel:
        assert await is_taken(ours)
        assert not await is_taken(theirs)
        place.replace(keys=(other_authority() / "keys.json").read_bytes())
        await until(lambda: is_taken(theirs))
        assert not await is_taken(ours)
