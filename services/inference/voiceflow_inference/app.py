"""Builds the service out of its parts: the only place that names concretes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

from voiceflow.catalog.names import ChannelName
from voiceflow.client.identity import ClientIdentity, check_plain_text
from voiceflow.diarization.v1.diarization_pb2_grpc import add_DiarizationServicer_to_server
from voiceflow.identity.reloading import Reloaded
from voiceflow.onnx import bind
from voiceflow.onnx.golden import reproduce
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow.rpc.freshness import keep_fresh
from voiceflow.rpc.security import Security, open_security
from voiceflow.rpc.server import RpcServer, Service, Transport, check_exposure
from voiceflow.trust.root import read_trust_roots
from voiceflow_inference.admission import Admission, AdmissionLimits
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.batcher import Batcher
from voiceflow_inference.servicer import SERVICE_NAME, DiarizationServicer, Generation
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.download import (
    Found,
    Registry,
    download_promoted,
    download_trusted,
)
from voiceflow_inference.serving.state_file import StateFile
from voiceflow_inference.serving.trusting import TrustedChannel
from voiceflow_inference.serving.warm import stream_costs, streams_within, usable_cores, warm_up
from voiceflow_inference.settings import Settings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class App:
    """A service that is built and not started.

    ``run`` is the whole life of the process. Tests that live in one event loop call ``start`` and
    ``stop`` instead.

    Attributes:
        server: The transport.
        batcher: The engine.
        servicer: The API.
        admission: Who is in.
        backend: The streams' memory.
    """

    server: RpcServer
    batcher: Batcher
    servicer: DiarizationServicer
    admission: Admission
    backend: SlotBackend

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains."""
        self.batcher.start()
        try:
            await self.server.run()
        finally:
            await self.batcher.stop()

    async def start(self) -> str:
        """Serves from now on; returns the bound ``host:port``."""
        self.batcher.start()
        await self.server.start()
        return self.server.address

    async def stop(self) -> None:
        """Drains and stops."""
        await self.server.drain()
        await self.server.stop()
        await self.batcher.stop()


def secure(settings: Settings) -> Security:
    """Reads what the service shows and knows its callers by.

    Raises:
        InvalidInput: A file does not hold what it should, or INSECURE_ADDRESS.
    """
    security = open_security(settings)
    if not security.has_identity:
        check_exposure(settings.host, settings.insecure)
    return security


@asynccontextmanager
async def trusting(settings: Settings) -> AsyncIterator[TrustedChannel | None]:
    """What is trusted of the channel, while it is watched; None: signatures are not checked.

    Raises:
        InvalidInput: TRUST_ROOT_UNREADABLE.
        Untrusted: The trust root does not hold, or is older than the one remembered.
        ContentCorrupt: STATE_CORRUPT.
        NotAllowedNow: STATE_LOCKED.
        VoiceFlowError: STATE_NOT_WRITABLE.
    """
    if settings.trust_root is None:
        _LOG.warning("no --trust-root: signatures of models and promotions are not checked")
        yield None
        return
    path, every_seconds = settings.trust_root, settings.reload_seconds
    roots = Reloaded("trust_root", partial(read_trust_roots, path), [path])
    channel = ChannelName(settings.model, settings.channel)
    with StateFile(settings.state_dir / channel.model / f"{channel.channel}.json") as memory:
        trusted = TrustedChannel(
            channel, lambda: roots.value, memory, Alarms(), lambda: datetime.now(UTC)
        )
        watching = asyncio.gather(
            keep_fresh([roots], every_seconds), trusted.keep_looking(every_seconds)
        )
        try:
            yield trusted
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def find_package(settings: Settings, trusted: TrustedChannel | None) -> Found:
    """The package to serve: ``model_dir``, or what the registry's channel serves.

    Args:
        settings: All of them.
        trusted: As `trusting` has it.

    Raises:
        VoiceFlowError: The registry has none, stays away, is not the one that it should be, or
            sends something else; INSECURE_ADDRESS: it is on another machine, and without TLS.
    """
    if settings.model_dir is not None:
        check = None if trusted is None else trusted.check_any_manifest
        return Found(settings.model_dir, check_manifest=check)
    assert settings.registry is not None  # noqa: S101 - the settings see to that
    identity = registry_identity(settings)
    check_plain_text(settings.registry, identity, insecure=settings.insecure_registry)
    registry = Registry(settings.registry, identity, settings.registry_wait_seconds)
    if trusted is None:
        channel = ChannelName(settings.model, settings.channel)
        return await download_promoted(registry, channel, settings.cache_dir)
    return await download_trusted(registry, trusted, settings.cache_dir)


def registry_identity(settings: Settings) -> ClientIdentity | None:
    """What the registry knows this service by; None: it is asked in plain text."""
    identity = ClientIdentity(
        settings.registry_ca,
        settings.registry_cert,
        settings.registry_key,
        settings.registry_token_file,
    )
    return None if identity == ClientIdentity() else identity


def load_model(settings: Settings, found: Found) -> BoundModel:
    """Reads, verifies and loads a model.

    Raises:
        PackageInvalid: It is damaged, breaks its contract, or does not do here what it says.
        Untrusted: It is not signed as it must be.
    """
    package = load_package(
        found.folder, manifest_digest=found.manifest_digest, check_manifest=found.check_manifest
    )
    model = bind(package, threads=settings.threads)
    reproduce(package, threads=settings.threads)
    return model


def build(
    settings: Settings,
    model: BoundModel,
    security: Security,
    on_ready: Callable[[str], None] = lambda _address: None,
) -> App:
    """Warms the model and puts the parts together; needs a running event loop.

    Args:
        settings: All of them.
        model: The loaded model.
        security: As `secure` has it.
        on_ready: Called with the bound ``host:port``.
    """
    manifest = model.manifest
    costs = warm_up(model, settings.batch_limit)
    cores = usable_cores()
    measured = max(streams_within(cost, cores) for cost in costs.values())
    streams = settings.streams or max(1, int(measured))
    one = settings.streams_per_principal or max(1, streams // 4)
    one_files = settings.files_per_principal or max(1, settings.files // 4)
    settings = settings.model_copy(
        update={"streams": streams, "streams_per_principal": one, "files_per_principal": one_files}
    )
    limits = AdmissionLimits(
        streams=streams,
        streams_per_principal=one,
        files=settings.files,
        files_per_principal=one_files,
        lag_seconds=settings.admission_lag_seconds,
        real_time_factor=settings.admission_real_time_factor,
    )
    # A slot is free a moment later than its place: the last hop may still be in flight.
    backend = SlotBackend(model, 2 * streams + 2 * settings.files)
    batcher = Batcher(backend, batch_limit=settings.batch_limit)
    admission = Admission(limits, batcher.load)
    servicer = DiarizationServicer(
        generation=Generation(1, manifest, batcher, stream_costs(costs, cores)),
        admission=admission,
        settings=settings,
        started_at=datetime.now(UTC),
        software_version=version("voiceflow"),
        transport=lambda: server,
    )
    server = RpcServer(
        [Service(SERVICE_NAME, partial(add_DiarizationServicer_to_server, servicer))],
        host=settings.host,
        port=settings.port,
        security=security,
        insecure=settings.insecure,
        health_host=settings.health_host,
        health_port=settings.health_port,
        grace_seconds=settings.grace_seconds,
        transport=Transport(
            keepalive_seconds=settings.keepalive_seconds,
            keepalive_timeout_seconds=settings.keepalive_timeout_seconds,
        ),
        on_ready=on_ready,
        on_drain=servicer.drain,
    )
    for mode, cost in costs.items():
        _LOG.info(
            "%s: a hop of %g ms costs %.3f ms in the engine and %.3f ms in the pipeline",
            mode,
            cost.hop_seconds * 1e3,
            cost.engine_seconds * 1e3,
            cost.pipeline_seconds * 1e3,
        )
    _LOG.info("room for %d streams, %d of one client", streams, one)
    return App(server, batcher, servicer, admission, backend)
