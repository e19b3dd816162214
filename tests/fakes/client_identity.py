"""Clients that are known, or are not, to servers with the development identity."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from tests.fakes.identity import Pair, development_identity, other_authority, pair, token
from voiceflow.client import ClientIdentity, DiarizationClient, RegistryClient, RetryPolicy
from voiceflow.errors import VoiceFlowError

FOLDER: Final = development_identity()
CA: Final = FOLDER / "ca.pem"
WRONG_CA: Final = other_authority() / "ca.pem"
SOON: Final = RetryPolicy(attempts=8, first_pause_seconds=0.01, longest_pause_seconds=0.1)

_SERVER: Final[dict[str, Any]] = {
    "tls_cert": FOLDER / "server.pem",
    "tls_key": FOLDER / "server-key.pem",
    "access": FOLDER / "access.yaml",
}
BY_CERTIFICATE: Final = _SERVER | {"client_ca": CA}
"""Settings of a service whose clients show certificates."""
BY_TOKEN: Final = _SERVER | {"keys": FOLDER / "keys.json"}
"""Settings of a service whose clients show tokens."""


def principal(who: str) -> str:
    """Of a role."""
    return f"spiffe://voiceflow.local/{who}/dev"


def shown(who: str, server_name: str | None = None) -> ClientIdentity:
    """Known by the certificate of a role."""
    own = pair(who)
    return ClientIdentity(CA, own.certificate, own.key, server_name=server_name)


def with_token(folder: Path, who: str, audience: str = "voiceflow-registry") -> ClientIdentity:
    """Known by a token, in a file of its own."""
    path = folder / f"{who}.token"
    path.write_text(token(principal(who), audience))
    return ClientIdentity(CA, token_file=path)


async def asked_registry(
    target: str, identity: ClientIdentity | None, retry: RetryPolicy = SOON
) -> VoiceFlowError:
    """How a patient client of a registry fails."""
    async with RegistryClient(target, identity=identity, retry=retry) as client:
        with pytest.raises(VoiceFlowError) as caught:
            await asyncio.wait_for(client.get_model("models/tones"), 30)
    return caught.value


async def asked_service(
    target: str, identity: ClientIdentity | None, retry: RetryPolicy = SOON
) -> VoiceFlowError:
    """How a patient client of an inference service fails."""
    async with DiarizationClient(target, identity=identity, retry=retry) as client:
        with pytest.raises(VoiceFlowError) as caught:
            await asyncio.wait_for(client.serving_state(), 30)
    return caught.value


@asynccontextmanager
async def tls_server(own: Pair | None, client_ca: Path | None = None) -> AsyncIterator[str]:
    """A server without services, which shows whatever it is given; None: plain text."""
    server = grpc.aio.server()
    if own is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", _credentials(own, client_ca))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)


def renewable(folder: Path, own: Pair) -> Pair:
    """A copy that may be replaced."""
    folder.mkdir()
    copy = Pair(folder / "own.pem", folder / "own-key.pem", own.ca)
    renew(copy, own)
    return copy


def renew(own: Pair, newer: Pair) -> None:
    """As a rotation does it: one file after the other."""
    shutil.copy(newer.certificate, own.certificate)
    shutil.copy(newer.key, own.key)


def _credentials(own: Pair, client_ca: Path | None) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(own.key.read_bytes(), own.certificate.read_bytes())],
        None if client_ca is None else client_ca.read_bytes(),
        client_ca is not None,
    )
