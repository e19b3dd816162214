"""The files of a client's identity: read and checked before anything is dialled."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.fakes.identity import development_identity, expired, other_authority, pair, token
from voiceflow.client import ClientIdentity, DiarizationClient, RegistryClient
from voiceflow.errors import InvalidInput, Unauthenticated, VoiceFlowError

CA = development_identity() / "ca.pem"
ME = "spiffe://voiceflow.local/client/dev"
NOWHERE = "127.0.0.1:1"


def file_of(folder: Path, content: bytes) -> Path:
    """A file with that content."""
    path = folder / "file"
    path.write_bytes(content)
    return path


async def refused(identity: ClientIdentity) -> VoiceFlowError:
    """How both clients refuse an identity."""
    errors = []
    for client in (
        RegistryClient(NOWHERE, identity=identity),
        DiarizationClient(NOWHERE, identity=identity),
    ):
        with pytest.raises(VoiceFlowError) as caught:
            await client.__aenter__()
        errors.append(caught.value)
    assert (type(errors[0]), errors[0].message) == (type(errors[1]), errors[1].message)
    return errors[0]


@pytest.mark.parametrize("content", [None, b"", b"no PEM", b"\xff\xfe"])
@pytest.mark.parametrize("field", ["ca", "certificate", "key"])
async def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, field: str, content: bytes | None
) -> None:
    """Missing, empty, of another kind."""
    path = tmp_path / "gone" if content is None else file_of(tmp_path, content)
    own = pair("client")
    identity = ClientIdentity(CA, own.certificate, own.key)
    changed: dict[str, Any] = {field: path}
    error = await refused(dataclasses.replace(identity, **changed))
    assert isinstance(error, InvalidInput)
    assert error.reason == "CREDENTIALS_UNREADABLE"
    assert str(path) in error.message


async def test_a_key_that_is_not_that_of_the_certificate_is_refused() -> None:
    """The file of the key is named."""
    own, other = pair("client"), pair("reader")
    error = await refused(ClientIdentity(CA, own.certificate, other.key))
    assert error.reason == "CREDENTIALS_UNREADABLE"
    assert str(other.key) in error.message


@pytest.mark.parametrize(("given", "lacking"), [("certificate", "key"), ("key", "certificate")])
def test_a_certificate_and_its_key_belong_together(given: str, lacking: str) -> None:
    """One alone is refused, and the other named."""
    half: dict[str, Any] = {given: Path("file.pem")}
    with pytest.raises(InvalidInput) as caught:
        ClientIdentity(**half)
    assert (caught.value.reason, caught.value.field) == ("CREDENTIALS_INCOMPLETE", lacking)


async def test_an_own_certificate_that_has_expired_is_not_shown(tmp_path: Path) -> None:
    """Servers would just close the connection."""
    own = expired(tmp_path, ME)
    error = await refused(ClientIdentity(CA, own.certificate, own.key))
    assert isinstance(error, Unauthenticated)
    assert error.reason == "CERTIFICATE_EXPIRED"
    assert str(own.certificate) in error.message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"two.parts",
        b"a.b.c\na.b.c",
        b"a.b." + b"c" * 8192,
        (development_identity() / "client-key.pem").read_bytes(),
        (development_identity() / "token-key.json").read_bytes(),
        "a.b.ç".encode(),
    ],
    ids=["empty", "parts", "two", "long", "private key", "token key", "not ASCII"],
)
async def test_nothing_but_a_token_is_taken_for_one(tmp_path: Path, content: bytes) -> None:
    """A private key that was named by mistake is neither sent nor repeated."""
    path = file_of(tmp_path, content)
    error = await refused(ClientIdentity(CA, token_file=path))
    assert (error.reason, error.field) == ("CREDENTIALS_UNREADABLE", "token_file")
    assert str(path) in error.message
    assert not content or content.decode() not in error.message


async def test_a_token_file_may_end_with_a_new_line(tmp_path: Path) -> None:
    """As most tools write it."""
    path = file_of(tmp_path, f"{token(ME, 'voiceflow-registry')}\n".encode())
    async with RegistryClient(NOWHERE, identity=ClientIdentity(CA, token_file=path)):
        pass


async def test_the_next_call_takes_a_new_connection_only_where_the_files_have_changed(
    tmp_path: Path,
) -> None:
    """What is half renewed leaves what was there; the pair together replaces it."""
    first, second = pair("client"), pair("reader", other_authority())
    ca, own, key = (tmp_path / name for name in ("ca.pem", "own.pem", "own-key.pem"))
    shutil.copy(CA, ca)
    shutil.copy(first.certificate, own)
    shutil.copy(first.key, key)
    async with ClientIdentity(ca, own, key).open_channel(NOWHERE) as channel:
        before = channel.current()
        assert channel.current() is before
        shutil.copy(second.certificate, own)
        assert channel.current() is before
        shutil.copy(second.key, key)
        after = channel.current()
        assert after is not before
        assert channel.current() is after
        ca.unlink()
        assert channel.current() is after


async def test_a_channel_that_was_left_is_closed(tmp_path: Path) -> None:
    """At once where no call runs over it; the present one with the client."""
    ca = tmp_path / "ca.pem"
    shutil.copy(CA, ca)
    channel = ClientIdentity(ca).open_channel(NOWHERE)
    before = channel.current()
    shutil.copy(other_authority() / "ca.pem", ca)
    after = channel.current()
    async with asyncio.timeout(30):
        while before.get_state() is not grpc.ChannelConnectivity.SHUTDOWN:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert after.get_state() is grpc.ChannelConnectivity.IDLE
    await channel.close()
    assert after.get_state() is grpc.ChannelConnectivity.SHUTDOWN
