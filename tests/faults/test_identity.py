"""R42, R43: callers who are not who they should be, and files that are not what they should be."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from benchmarks.service import Service, running_registry, running_service
from tests.fakes.identity import certificate, development_identity, other_authority, pair, token
from tests.fakes.service import FINISH, audio
from tests.fakes.tls import bearing, serial_of, serial_shown, tls_channel
from tests.faults.place import untroubled
from tests.faults.streams import (
    WAIT_SECONDS,
    Bystander,
    Refusal,
    Stream,
    config,
    expected,
    refusal_of,
    serving_state,
)
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.registry.v1 import registry_pb2

PRINCIPAL = "spiffe://voiceflow.local/{}/dev"
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


SETTINGS: dict[str, str | float] = {
    "tls_cert": str(pair("server").certificate),
    "tls_key": str(pair("server").key),
    "access": str(development_identity() / "access.yaml"),
    "keys": str(development_identity() / "keys.json"),
    "log_level": "debug",
}
"""Callers are known by tokens."""


@pytest.fixture(scope="module")
def inference(stream_package: Path) -> Iterator[Service]:
    """The inference service."""
    with running_service(stream_package, **SETTINGS) as service:
        yield service


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The registry."""
    with running_registry(tmp_path_factory.mktemp("store"), **SETTINGS) as service:
        yield service


METHODS = {
    "inference": [
        "/voiceflow.diarization.v1.Diarization/Diarize",
        "/voiceflow.diarization.v1.Diarization/DiarizeFile",
        "/voiceflow.diarization.v1.Diarization/GetServingState",
    ],
    "registry": [
        f"/voiceflow.registry.v1.ModelRegistry/{method.name}"
        for method in registry_pb2.DESCRIPTOR.services_by_name["ModelRegistry"].methods
    ],
}


@pytest.mark.parametrize("name", METHODS)
def test_r42_no_token_an_expired_one_or_the_wrong_role(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Every method refuses each with its reason, and the tokens stand nowhere in the log."""
    service: Service = request.getfixturevalue(name)
    audience, other = f"voiceflow-{name}", "voiceflow-elsewhere"
    client, nobody = PRINCIPAL.format("client"), PRINCIPAL.format("nobody")
    wrong_role = PRINCIPAL.format("collector" if name == "inference" else "nobody")
    shown: dict[str, tuple[str | None, Refusal]] = {
        "none": (None, Refusal(UNKNOWN, "CREDENTIALS_MISSING")),
        "expired": (
            token(client, audience, age_seconds=3600),
            Refusal(UNKNOWN, "CREDENTIALS_EXPIRED"),
        ),
        "another's": (token(client, other), Refusal(UNKNOWN, "CREDENTIALS_INVALID")),
        "forged": (
            token(client, audience, authority=other_authority()),
            Refusal(UNKNOWN, "CREDENTIALS_INVALID"),
        ),
        "too long": (
            token(client, audience, valid_seconds=7200),
            Refusal(UNKNOWN, "CREDENTIALS_INVALID"),
        ),
        "wrong role": (token(wrong_role, audience), Refusal(DENIED, "ROLE_MISSING")),
        "no grant": (token(nobody, audience), Refusal(DENIED, "ROLE_MISSING")),
    }
    with untroubled(service), _synchronous_channel(service) as channel:
        for method in METHODS[name]:
            for case, (what, refusal) in shown.items():
                assert _refusal(channel, method, what) == refusal, (method, case)
    log = service.log.read_text()
    for what, _ in shown.values():
        for part in (what or "").split("."):
            assert len(part) < 10 or part not in log


@contextlib.contextmanager
def _synchronous_channel(service: Service) -> Iterator[grpc.Channel]:
    # Not by asyncio: its client puts INTERNAL in the place of a status that arrives while it
    # still writes (grpc/grpc#36066).
    ca = pair("server").ca.read_bytes()
    with grpc.secure_channel(service.address, grpc.ssl_channel_credentials(ca)) as channel:
        yield channel


def _refusal(channel: grpc.Channel, method: str, shown: str | None) -> Refusal:
    """How a call ends, whatever the kind of the method: they look alike to a server."""
    call: Any = channel.stream_stream(method)
    options = {} if shown is None else bearing(shown)
    with pytest.raises(grpc.RpcError) as caught:
        next(call(iter([b""]), timeout=WAIT_SECONDS, **options))
    return refusal_of(caught.value)


async def test_r42_who_is_refused_troubles_nobody(
    inference: Service, stream_package: Path, conversation: bytes
) -> None:
    """A hundred callers are refused while one is served, to whom nothing happens."""
    good = bearing(token(PRINCIPAL.format("client"), "voiceflow-inference"))
    async with tls_channel(inference.address) as channel:
        stream = Stream(channel, **good)
        await stream.send(config())
        served_well = Bystander(stream, conversation)
        await served_well.speak(len(conversation) // 4 * 2)
        stub: Any = pb_grpc.DiarizationStub(channel)
        for shown in [{}, bearing("forged")] * 50:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetServingState(pb.GetServingStateRequest(), **shown)
            assert caught.value.code() is UNKNOWN
        assert await served_well.finish() == expected(stream_package, conversation)


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BAD: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "gone": Path.unlink,
    "another's": lambda path: shutil.copy(pair("client").key, path),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": _make_folder,
}


async def test_r43_certificate_reload_raises(
    stream_package: Path, conversation: bytes, tmp_path: Path
) -> None:
    """The old certificate serves on, old streams and new connections, until there is a good one."""
    for source in (pair("server").certificate, pair("server").key, pair("server").ca):
        shutil.copy(source, tmp_path / source.name)
    chain, key = tmp_path / "server.pem", tmp_path / "server-key.pem"
    settings: dict[str, str | float] = {
        "tls_cert": str(chain),
        "tls_key": str(key),
        "client_ca": str(tmp_path / "ca.pem"),
        "access": str(development_identity() / "access.yaml"),
        "reload_seconds": 0.05,
    }
    old = chain.read_bytes()
    with running_service(stream_package, **settings) as service, untroubled(service):
        async with tls_channel(service.address, pair("client")) as channel:
            stream = Stream(channel)
            await stream.send(config(), audio(conversation[:320_000]))
            await stream.covered(9.0)
            for number, spoil in enumerate(BAD.values(), start=1):
                spoil(key)
                await _until_log_says(service, "certificates: keeps what it has", times=number)
                assert await serial_shown(service.address) == serial_of(old)
                async with tls_channel(service.address, pair("operator")) as late:
                    assert (await serving_state(late)).streams == 1
            renewed = certificate(tmp_path, None, dns=["localhost"], server=True)
            key.rmdir()
            shutil.copy(renewed.certificate, chain)
            shutil.copy(renewed.key, key)
            await _until_log_says(service, "certificates: reloaded", times=1)
            assert await serial_shown(service.address) == serial_of(
                renewed.certificate.read_bytes()
            )
            await stream.send(audio(conversation[320_000:]), FINISH)
            assert await stream.outcome() == expected(stream_package, conversation)


async def _until_log_says(service: Service, words: str, *, times: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        # Another process has no event to wait for.
        while service.log.read_text().count(words) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
