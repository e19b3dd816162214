"""Builds the service out of its parts: the only place that names concretes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from voiceflow.artifact import LatencyMode, digest_of
from voiceflow.catalog.names import ChannelName, PodName
from voiceflow.client.identity import ClientIdentity, check_plain_text
from voiceflow.diarization.v1.diarization_pb2_grpc import add_DiarizationServicer_to_server
from voiceflow.identity.key_set import KeySet, SealingKey
from voiceflow.identity.reloading import Reloaded
from voiceflow.identity.sealing import Sealer
from voiceflow.rpc.freshness import keep_fresh
from voiceflow.rpc.security import Security, open_security
from voiceflow.rpc.server import RpcServer, Service, Transport, check_exposure
from voiceflow.trust.root import read_trust_roots
from voiceflow_inference.admission import Admission, AdmissionLimits
from voiceflow_inference.gauges import Gauges
from voiceflow_inference.observing import Observing, Tracing
from voiceflow_inference.resuming import ResumeTokens
from voiceflow_inference.servicer import SERVICE_NAME, DiarizationServicer
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.belief import Belief, UncheckedChannel
from voiceflow_inference.serving.cache import Cache
from voiceflow_inference.serving.download import Registry
from voiceflow_inference.serving.folder import FolderSource
from voiceflow_inference.serving.judge import DEFAULT_RULES, Judge
from voiceflow_inference.serving.loading import Loader
from voiceflow_inference.serving.manager import Manager
from voiceflow_inference.serving.moves import Verifier
from voiceflow_inference.serving.pairs import clock_of_calls
from voiceflow_inference.serving.policy import Times
from voiceflow_inference.serving.reporting import Identity, Reporter
from voiceflow_inference.serving.reverts import Pod
from voiceflow_inference.serving.seams import Loads
from voiceflow_inference.serving.source import Source
from voiceflow_inference.serving.state_file import StateFile
from voiceflow_inference.serving.trusting import TrustedChannel
from voiceflow_inference.serving.warm import HopCost, streams_at_once, usable_cores
from voiceflow_inference.serving.watch import RegistrySource
from voiceflow_inference.settings import Settings

_LOG = logging.getLogger(__name__)

MakeLoader: TypeAlias = Callable[[Settings, Callable[[], float | None]], Loads]
"""Makes what loads versions, with the settings, and how long a call may take."""


@dataclass(frozen=True)
class Origin:
    """Where the versions of a process come from.

    Attributes:
        source: Of versions.
        alarms: What somebody has to look at.
        report: Tells the registry of a manager, until it is cancelled; None: nobody is told.
    """

    source: Source
    alarms: Alarms
    report: Callable[[Manager], Coroutine[Any, Any, None]] | None = None


@dataclass
class App:
    """A service whose first version is loaded, and that does not listen yet.

    ``run`` is the whole life of the process. Tests that live in one event loop call ``start`` and
    ``stop`` instead.

    Attributes:
        server: The transport.
        servicer: The API.
        admission: Who is in.
        manager: What is loaded.
        origin: Where versions come from.
        gauges: What is told of it; None: nothing is.
    """

    server: RpcServer
    servicer: DiarizationServicer
    admission: Admission
    manager: Manager
    origin: Origin
    gauges: Gauges | None

    _following: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains."""
        self._follow()
        try:
            await self.server.run()
        finally:
            await self._close()

    async def start(self) -> str:
        """Serves from now on; returns the bound ``host:port``."""
        self._follow()
        await self.server.start()
        return self.server.address

    async def stop(self) -> None:
        """Drains and stops."""
        await self.server.drain()
        await self.server.stop()
        await self._close()

    def _follow(self) -> None:
        work = [self.manager.run()]
        if self.gauges is not None:
            work.append(self.gauges.run())
        if self.origin.report is not None:
            work.append(self.origin.report(self.manager))
        self._following += [asyncio.create_task(one) for one in work]
        for task in self._following:
            task.add_done_callback(_tell_end)

    async def _close(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self.manager.close()


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
async def opened(settings: Settings) -> AsyncIterator[Origin]:
    """Where versions come from: a folder, or a channel of a registry.

    Raises:
        InvalidInput: TRUST_ROOT_UNREADABLE; INSECURE_ADDRESS: the registry is on another machine,
            and without TLS.
        Untrusted: The trust root does not hold, or is older than the one remembered.
        ContentCorrupt: STATE_CORRUPT.
        NotAllowedNow: STATE_LOCKED.
        VoiceFlowError: STATE_NOT_WRITABLE.
    """
    async with trusting(settings) as trusted:
        if settings.model_dir is not None:
            alarms = Alarms() if trusted is None else trusted.alarms
            wait_seconds = settings.registry_wait_seconds
            folder = FolderSource(settings.model_dir, trusted, DEFAULT_RULES, wait_seconds)
            yield Origin(folder, alarms)
            return
        assert settings.registry is not None  # noqa: S101 - the settings see to that
        identity = registry_identity(settings)
        check_plain_text(settings.registry, identity, insecure=settings.insecure_registry)
        registry = Registry(settings.registry, identity, settings.registry_wait_seconds)
        with (
            closing(Cache(settings.cache_dir)) as cache,
            believing(settings, settings.registry, trusted) as belief,
        ):
            source = RegistrySource(registry, belief, cache, DEFAULT_RULES)
            report = partial(_report, settings, registry, source, belief.alarms)
            yield Origin(source, belief.alarms, report)


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


@contextmanager
def believing(
    settings: Settings, registry: str, trusted: TrustedChannel | None
) -> Iterator[Belief]:
    """What is believed of the channel: what is trusted, or else whatever its registry says.

    Raises:
        VoiceFlowError: STATE_NOT_WRITABLE.
    """
    if trusted is not None:
        yield trusted
        return
    channel = ChannelName(settings.model, settings.channel)
    # Nothing is to be taken for trusted, or for another registry's word, that one registry said.
    which = digest_of(registry.encode()).removeprefix("sha256:")[:_REGISTRY_CHARACTERS]
    path = settings.state_dir / channel.model / f"{channel.channel}.unchecked-{which}.json"
    with StateFile(path, shared=True) as memory:
        yield UncheckedChannel(channel, memory, Alarms())


def registry_identity(settings: Settings) -> ClientIdentity | None:
    """What the registry knows this service by; None: it is asked in plain text."""
    identity = ClientIdentity(
        settings.registry_ca,
        settings.registry_cert,
        settings.registry_key,
        settings.registry_token_file,
    )
    return None if identity == ClientIdentity() else identity


async def build(
    settings: Settings,
    security: Security,
    origin: Origin,
    *,
    make_loader: MakeLoader = Loader,
    own_keys: KeySet | None = None,
    on_ready: Callable[[str], None] = lambda _address: None,
) -> App:
    """Loads the first version and puts the parts together.

    Args:
        settings: All of them.
        security: As `secure` has it.
        origin: As `opened` has it.
        make_loader: Makes what loads versions.
        own_keys: Seal resume tokens where no key set is given; None: those of this process alone.
        on_ready: Called with the bound ``host:port``.

    Raises:
        VoiceFlowError: There is no version that can be served, or it stays away; or
            PROVIDER_MISSING, PROVIDER_UNUSABLE.
    """

    def hang_seconds() -> float | None:
        return manager.hang_seconds()

    pod = Pod(PodName(settings.pod_name), ChannelName(settings.model, settings.channel))
    manager = Manager(
        origin.source,
        make_loader(settings, hang_seconds),
        Judge(),
        Verifier().verify,
        pod,
        Times(settings.drain_deadline_seconds, settings.keep_seconds),
        hang_seconds=settings.hang_seconds,
        cores=usable_cores(settings.workers),
        draining=lambda: admission.draining,
        call_clock=clock_of_calls(settings.threads, settings.provider),
    )
    try:
        first = await manager.start()
    except BaseException:
        await manager.close()
        raise
    settings = measured(settings, first.costs)
    admission = Admission(_limits(settings), manager.load)
    tracing = Tracing(
        settings.traces or settings.metrics,
        settings.pod_name,
        settings.trace_share,
        settings.latency_objective_seconds,
    )
    observing = Observing(tracing)
    servicer = DiarizationServicer(
        places=manager,
        state=manager.snapshot,
        load=manager.load,
        admission=admission,
        tokens=_resume_tokens(settings, security, own_keys),
        observing=observing,
        settings=settings,
        alarms=lambda: origin.alarms.raised,
        started_at=datetime.now(UTC),
        software_version=version("voiceflow"),
        transport=lambda: server,
    )

    async def drain(grace_seconds: float) -> None:
        await manager.stop_loading()
        await servicer.drain(grace_seconds)

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
            shares_port=settings.workers > 1,
        ),
        on_ready=on_ready,
        on_drain=drain,
    )
    followed = None if settings.registry is None else pod.channel
    gauges = Gauges(manager.snapshot, manager.load, admission, observing, followed)
    return App(server, servicer, admission, manager, origin, gauges if tracing.on else None)


def measured(settings: Settings, costs: Mapping[LatencyMode, HopCost]) -> Settings:
    """With the numbers of streams that follow from what the first version costs here."""
    for mode, cost in costs.items():
        _LOG.info(
            "%s: a hop of %g ms costs %.3f ms in the engine and %.3f ms in the pipeline",
            mode,
            cost.hop_seconds * 1e3,
            cost.engine_seconds * 1e3,
            cost.pipeline_seconds * 1e3,
        )
    streams = settings.streams or streams_at_once(costs, usable_cores(settings.workers))
    one = settings.streams_per_principal or max(1, streams // 4)
    one_files = settings.files_per_principal or max(1, settings.files // 4)
    _LOG.info("room for %d streams, %d of one client", streams, one)
    return settings.model_copy(
        update={"streams": streams, "streams_per_principal": one, "files_per_principal": one_files}
    )


def _resume_tokens(settings: Settings, security: Security, own: KeySet | None) -> ResumeTokens:
    """Sealed with the key set's key; without a key set, with the process's own."""
    own = own or KeySet({}, (SealingKey.generate(),))
    sealer = Sealer(lambda: own if security.keys is None else security.keys.value)
    return ResumeTokens(sealer, settings.resume_valid_seconds)


def _limits(settings: Settings) -> AdmissionLimits:
    assert settings.streams and settings.streams_per_principal  # noqa: S101, PT018 - measured
    assert settings.files_per_principal  # noqa: S101 - likewise
    return AdmissionLimits(
        streams=settings.streams,
        streams_per_principal=settings.streams_per_principal,
        files=settings.files,
        files_per_principal=settings.files_per_principal,
        lag_seconds=settings.admission_lag_seconds,
        real_time_factor=settings.admission_real_time_factor,
    )


async def _report(
    settings: Settings,
    registry: Registry,
    source: RegistrySource,
    alarms: Alarms,
    manager: Manager,
) -> None:
    """Tells the registry what this process serves, until it is cancelled."""
    identity = Identity(
        PodName(settings.pod_name),
        ChannelName(settings.model, settings.channel),
        datetime.now(UTC),
        version("voiceflow"),
        settings.pod_label,
    )
    await Reporter(registry, identity, manager, source, alarms).run()


def _tell_end(task: asyncio.Task[None]) -> None:
    """What goes on beside serving ends with the process; if it does not, somebody is to know."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("a part of the service has ended", exc_info=error)


_REGISTRY_CHARACTERS: Final = 8
