"""What both services write down holds no token, no private key, no audio and no voiceprint."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization

from benchmarks.paths import DEFAULT_MODEL
from tests.fakes.identity import development_identity, token
from voiceflow.catalog.channels import Rollout, VersionPin
from voiceflow.catalog.names import ChannelName
from voiceflow.client import ClientIdentity, DiarizationClient, StreamConfig, Summary
from voiceflow.client.audio import open_recording
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import VoiceFlowError
from voiceflow.sample import write_sample
from voiceflow.trust.development import write_development_trust
from voiceflow.trust.signing import SigningKey

STABLE = ChannelName("diarizer", "stable")
CANARY = "c2VjcmV0LW1hcmtlci0x"
"""Stands where a secret could stand that is in no file."""


@asynccontextmanager
async def service(log: IO[bytes], module: str, **settings: object) -> AsyncIterator[str]:
    """A service that says all that it can say; yields its address."""
    told = {"port": 0, "log_level": "debug", "reload_seconds": 0.05} | settings
    process = await create_subprocess_exec(
        *(sys.executable, "-m", module),
        *itertools.chain(*((f"--{name.replace('_', '-')}", str(told[name])) for name in told)),
        stdout=PIPE,
        stderr=log,
    )
    try:
        yield await _address(process, Path(log.name))
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _address(process: Process, log: Path) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("ready "), await asyncio.to_thread(log.read_text)
    return line.split()[1].removeprefix("address=")


class Conversations:
    """What was said to the services and by them, by people who err in every way."""

    def __init__(self, folder: Path, identity: Path) -> None:
        self._folder = folder
        self._identity = identity
        self._audiences = {"voiceflow-registry", "voiceflow-inference"}
        self.tokens: list[str] = []
        self.answers: list[str] = []
        self.voiceprints: list[float] = []

    def known(self, who: str, bearer: str | None = None) -> ClientIdentity:
        """A certificate, and a token if one is to be shown."""
        shown = None
        if bearer is not None:
            self.tokens.append(bearer)
            shown = self._folder / f"token-{len(self.tokens)}"
            shown.write_text(bearer)
        return ClientIdentity(
            ca=self._identity / "ca.pem",
            certificate=self._identity / f"{who}.pem",
            key=self._identity / f"{who}-key.pem",
            token_file=shown,
        )

    async def with_registry(self, registry: str, keys: Path) -> None:
        """Publishes and promotes with signatures; then asks with tokens of every kind."""
        publisher = token("spiffe://voiceflow.local/publisher/dev", "voiceflow-registry")
        async with RegistryClient(registry, identity=self.known("publisher", publisher)) as client:
            signer = SigningKey.read(keys / "publisher.pem")
            published = (await client.publish(DEFAULT_MODEL, signing_key=signer)).version
        async with RegistryClient(registry, identity=self.known("promoter")) as client:
            pin = VersionPin(version=published.name, manifest_digest=published.manifest_digest)
            await client.promote(
                STABLE,
                Rollout(primary=pin),
                signing_key=SigningKey.read(keys / "promoter.pem"),
            )
        for bearer in self._bad_tokens("voiceflow-registry"):
            async with RegistryClient(registry, identity=self.known("reader", bearer)) as client:
                with pytest.raises(VoiceFlowError) as refused:
                    await client.get_channel(STABLE)
                self._note(refused.value)
        async with RegistryClient(registry, identity=self.known("operator")) as client:
            self.answers += [str(entry) async for entry in client.audit()]

    async def with_service(self, server: str, recording: Path) -> None:
        """Diarizes with a token, and asks for what is refused."""
        bearer = token("spiffe://voiceflow.local/client/dev", "voiceflow-inference")
        source = open_recording(recording)
        async with DiarizationClient(server, identity=self.known("pod", bearer)) as client:
            async for event in client.diarize(
                source.pieces(0.5), StreamConfig(source.audio_format)
            ):
                if isinstance(event, Summary):
                    self.voiceprints += [
                        float(value)
                        for speaker in event.speakers
                        for prototype in speaker.prototypes
                        for value in prototype.values
                    ]
                self.answers.append(repr(event))
        for bearer in self._bad_tokens("voiceflow-inference"):
            async with DiarizationClient(server, identity=self.known("client", bearer)) as client:
                with pytest.raises(VoiceFlowError) as refused:
                    async for _ in client.diarize(
                        source.pieces(0.5), StreamConfig(source.audio_format)
                    ):
                        pass
                self._note(refused.value)

    def _bad_tokens(self, audience: str) -> Iterator[str]:
        who = "spiffe://voiceflow.local/client/dev"
        (other,) = self._audiences - {audience}
        yield token(who, audience, age_seconds=3000)
        yield token(who, other)
        yield token(who, audience, jti=f"{CANARY} with blanks")
        yield token(f"spiffe://voiceflow.local/nobody/{CANARY}", other)
        yield token(who, audience, headers={"alg": "ES256", "kid": CANARY})

    def _note(self, error: VoiceFlowError) -> None:
        self.answers.append(f"{error.message} {error.reason} {error.field}")


@pytest.mark.slow
async def test_nothing_that_is_written_down_is_secret(tmp_path: Path) -> None:
    """Logs at their fullest, errors, the audit and everything in the store and the state folder."""
    identity = tmp_path / "identity"
    shutil.copytree(development_identity(), identity)
    keys = tmp_path / "keys"
    write_development_trust(keys)
    recording = tmp_path / "sample.wav"
    write_sample(recording)
    server = {
        "tls_cert": identity / "server.pem",
        "tls_key": identity / "server-key.pem",
        "client_ca": identity / "ca.pem",
        "access": identity / "access.yaml",
        "keys": identity / "keys.json",
    }
    trust = {"trust_root": keys / "trust-root.json"}
    kept = tmp_path / "kept"
    kept.mkdir()
    said = Conversations(tmp_path, identity)
    async with AsyncExitStack() as running:
        logs = [running.enter_context((kept / f"{name}.log").open("wb")) for name in "ab"]
        registry = await running.enter_async_context(
            service(
                logs[0],
                "voiceflow_registry",
                store=kept / "store",
                demanded_gates="manifest,graph,contract",
                signing_key=keys / "registry.pem",
                **server,
                **trust,
            )
        )
        await said.with_registry(registry, keys)
        address = await running.enter_async_context(
            service(
                logs[1],
                "voiceflow_inference",
                registry=registry,
                cache_dir=tmp_path / "cache",
                state_dir=kept / "state",
                registry_ca=identity / "ca.pem",
                registry_cert=identity / "pod.pem",
                registry_key=identity / "pod-key.pem",
                **server,
                **trust,
            )
        )
        await said.with_service(address, recording)
        key = identity / "server-key.pem"
        key.write_bytes(
            key.read_bytes().replace(b"KEY-----\n", f"KEY-----\n{CANARY}\n".encode(), 1)
        )
        await _logged(kept / "b.log", "certificates: keeps what it has")
    assert said.voiceprints
    written = {str(path): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert any("audit" in path for path in written)
    written |= {f"answer {at}": text.encode() for at, text in enumerate(said.answers)}
    secrets = [
        CANARY.encode(),
        *_of_tokens(said.tokens),
        *_of_keys(development_identity(), keys),
        *_of_voiceprints(said.voiceprints),
        *_of_audio(recording),
    ]
    assert list(_found(written, secrets)) == []
    planted = {f"secret {at}": b"before " + secret + b" after" for at, secret in enumerate(secrets)}
    assert len(list(_found(planted, secrets))) >= len(secrets)


def _found(written: Mapping[str, bytes], secrets: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Where a secret stands, and which."""
    for secret in secrets:
        for where, content in written.items():
            if secret in content:
                yield where, secret


def _of_tokens(tokens: Iterable[str]) -> Iterator[bytes]:
    """Their signatures: whoever has the rest can say it, and not prove it."""
    for bearer in tokens:
        yield bearer.rpartition(".")[2].encode()


def _of_keys(*folders: Path) -> Iterator[bytes]:
    """The private parts of all keys."""
    for folder in folders:
        for path in folder.glob("*.pem"):
            lines = path.read_bytes().splitlines()
            if b"PRIVATE KEY" in lines[0]:
                yield lines[1]
                yield _raw_key(path.read_bytes()).hex().encode()
        for path in folder.glob("*key*.json"):
            content = json.loads(path.read_bytes())
            for key in content.get("keys", [content]):
                yield from (key[part].encode() for part in ("d", "k") if part in key)


def _raw_key(pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, password=None)
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )[-32:]


def _of_voiceprints(values: Iterable[float]) -> Iterator[bytes]:
    """As numbers in a text, and as they lie in memory."""
    listed = list(values)
    yield from (repr(abs(value))[:9].encode() for value in listed if len(repr(value)) > 12)
    yield from (
        np.array(listed[at : at + 4], np.float32).tobytes() for at in range(0, len(listed) - 3, 4)
    )


def _of_audio(recording: Path) -> Iterator[bytes]:
    """A stretch of loud samples, as it is and as text."""
    samples = recording.read_bytes()
    piece = samples[len(samples) // 2 :][:48]
    yield from (piece, base64.b64encode(piece), piece.hex().encode(), repr(piece)[2:-1].encode())


async def _logged(log: Path, words: str) -> None:
    """Waits until a log has some words."""
    async with asyncio.timeout(30):
        while words not in await asyncio.to_thread(log.read_text):  # noqa: ASYNC110 - of a process
            await asyncio.sleep(0.02)
