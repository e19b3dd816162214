"""Builds the registry out of its parts: the only place that names concretes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Final

from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.errors import InvalidInput
from voiceflow.evaluation import EvaluationSet
from voiceflow.rpc.security import Security, open_security
from voiceflow.rpc.server import RpcServer, Service, check_exposure, is_loopback
from voiceflow.validation.sandbox import Sandbox
from voiceflow.validation.validator import Validator
from voiceflow_registry.audit.listing import AuditEntries
from voiceflow_registry.audit.log import AuditLog
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.channels.watch import WatchHub
from voiceflow_registry.collect import Collector
from voiceflow_registry.files.spool import Spool
from voiceflow_registry.gate_runs import ObservedGates
from voiceflow_registry.pods.pods import Pods
from voiceflow_registry.publishing.publish import Publishing
from voiceflow_registry.publishing.submission import PublishLimits
from voiceflow_registry.servicer import (
    SERVICE_NAME,
    Acts,
    Places,
    Presence,
    RegistryServicer,
    Threads,
)
from voiceflow_registry.servicer import register as add_to_server
from voiceflow_registry.settings import Bucket, Settings
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.object_store import ObjectStore
from voiceflow_registry.storage.observed import ObservedStore, retried
from voiceflow_registry.survey import Survey
from voiceflow_registry.trust import open_trust
from voiceflow_registry.validations import GateRunner, Validations
from voiceflow_registry.versions.versions import Versions

_LOG = logging.getLogger(__name__)

_FULL_SECONDS: Final = 5.0
"""When publishers who find no place are told to come back."""

_RESTART_SECONDS: Final = 1.0
"""When callers of a replica that stops are told to come back: to another one, or its successor."""


@dataclass(frozen=True)
class App:
    """A registry that is built and not started.

    ``run`` is the whole life of the process. Tests that live in one event loop call ``start`` and
    ``stop`` instead.

    Attributes:
        server: The transport.
        servicer: The API.
        acts: What it does.
        threads: Where that is done.
        spool: For files of the process that `run` is the life of.
        survey: Tells gauges of it while it serves.
        on_close: Called when nobody calls any more.
    """

    server: RpcServer
    servicer: RegistryServicer
    acts: Acts
    threads: Threads
    spool: Spool
    survey: Survey
    on_close: Callable[[], None]

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains.

        Raises:
            OSError: The spool's folder cannot be used, or the port is taken.
        """
        try:
            self.spool.open()
            self.survey.open()
            await self.server.run()
        finally:
            await self.close()
            self.spool.close()

    async def start(self) -> str:
        """Serves from now on; returns the bound ``host:port``."""
        await self.server.start()
        self.survey.open()
        return self.server.address

    async def stop(self) -> None:
        """Drains and stops."""
        await self.server.drain()
        await self.server.stop()
        await self.close()

    async def close(self) -> None:
        """Ends what still runs, once nobody calls any more."""
        self.survey.close()
        self.on_close()
        await self.threads.close()


def build(settings: Settings, *, on_ready: Callable[[str], None] = lambda _address: None) -> App:
    """Puts the parts together; nothing is bound before the app is started.

    Args:
        settings: What the operator set.
        on_ready: Called with the bound ``host:port`` when requests are answered.

    Raises:
        InvalidInput: INSECURE_ADDRESS, CERTIFICATE_INVALID, ACCESS_INVALID, KEYS_INVALID,
            TRUST_ROOT_UNREADABLE, KEY_INVALID, or a setting that names what cannot be used.
        Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
        NotAllowedNow: SANDBOX_TOO_WEAK.
        StoreUnavailable: There are no credentials for the bucket.
        OSError: The folder cannot be used.
    """
    security = open_security(settings)
    _check_exposure(settings, security)
    evaluation_set = (
        EvaluationSet.open(settings.evaluation_set) if settings.evaluation_set else None
    )
    store = open_store(settings)
    # Before the server: its helper is to be older than the threads of gRPC.
    sandbox = Sandbox(floor=settings.floor)
    try:
        held = sandbox.layers()
        _LOG.info("models are run behind %s", ", ".join(held.active))
        return assemble(
            settings,
            store,
            Validator(sandbox, evaluation_set=evaluation_set),
            security=security,
            has_evaluation_set=evaluation_set is not None,
            on_ready=on_ready,
            on_close=sandbox.close,  # a gate that is under way fails, so that its thread ends
        )
    except BaseException:
        sandbox.close()
        raise


def assemble(
    settings: Settings,
    store: ObjectStore,
    gates: GateRunner,
    *,
    security: Security,
    has_evaluation_set: bool,
    on_ready: Callable[[str], None] = lambda _address: None,
    on_close: Callable[[], None] = lambda: None,
) -> App:
    """Puts the parts together on a store, with what runs the gates.

    Args:
        settings: What the operator set.
        store: Where everything is kept.
        gates: Run models.
        security: Encrypts, and tells who calls.
        has_evaluation_set: Accuracy can be asked for.
        on_ready: As `build` has it.
        on_close: Called when nobody calls any more.
    """
    clock = partial(datetime.now, UTC)
    store = ObservedStore(store)
    policy = default_policy(settings, has_identity=security.has_identity)
    versions = Versions(store, clock)
    validations = Validations(
        store,
        versions,
        ObservedGates(gates),
        clock,
        software_version=version("voiceflow"),
        has_evaluation_set=has_evaluation_set,
        maximum_running=settings.validations,
    )
    limits = PublishLimits(
        file_bytes=settings.file_bytes,
        version_bytes=settings.version_bytes,
        upload_seconds=settings.upload_expire_seconds,
        gates=settings.gates_to_publish,
    )
    trust = (
        None
        if settings.trust_root is None
        else open_trust(settings.trust_root, settings.signing_key, clock=clock)
    )
    if trust is not None:
        security = replace(
            security,
            sources=(*security.sources, *trust.sources),
            reload_seconds=settings.reload_seconds,
        )
    channels = Channels(store, versions, validations, clock, policy, trust)
    threads = Threads(
        threads=settings.threads,
        waiting=settings.calls_waiting,
        retry_after_seconds=settings.store_retry_after_seconds,
    )
    audit = AuditLog(store, clock, retry_after_seconds=settings.store_retry_after_seconds)
    hub = WatchHub(
        channels, clock=clock, poll_seconds=settings.poll_seconds, executor=threads.executor
    )
    pods = Pods(store, channels, audit, clock, settings.report_again_seconds)
    acts = Acts(
        versions=versions,
        publishing=Publishing(store, versions, validations, clock, limits, trust),
        validations=validations,
        channels=channels,
        hub=hub,
        pods=pods,
        collector=Collector(
            store,
            versions,
            clock,
            grace_seconds=settings.collection_grace_seconds,
            upload_seconds=settings.upload_expire_seconds,
        ),
        audit=audit,
        audit_entries=AuditEntries(store),
        default_policy=policy,
    )
    presence = Presence(retry_after_seconds=_RESTART_SECONDS)
    servicer = RegistryServicer(
        acts,
        threads,
        presence,
        Places(settings.publishes, retry_after_seconds=_FULL_SECONDS),
        idle_seconds=settings.publish_idle_seconds,
    )
    server = RpcServer(
        services=(Service(SERVICE_NAME, partial(add_to_server, servicer)),),
        host=settings.host,
        port=settings.port,
        security=security,
        insecure=settings.insecure,
        health_host=settings.health_host,
        health_port=settings.health_port,
        on_refused=servicer.auditing.refused,
        grace_seconds=settings.grace_seconds,
        on_ready=on_ready,
        on_drain=servicer.drain,
    )
    survey = Survey(channels, pods, hub, threads.executor)
    return App(server, servicer, acts, threads, Spool(settings.spool_dir), survey, on_close)


def open_store(settings: Settings) -> ObjectStore:
    """Opens the store of `--store`.

    Raises:
        StoreUnavailable: There are no credentials for the bucket.
        OSError: The folder cannot be used.
    """
    place = settings.place
    if not isinstance(place, Bucket):
        return FilesystemStore(place)
    # The library takes long to import, and not everybody has it.
    from voiceflow_registry.storage.gcs import GcsStore  # noqa: PLC0415

    return GcsStore(
        place.bucket,
        prefix=place.prefix,
        endpoint=settings.gcs_endpoint,
        timeout_seconds=settings.gcs_timeout_seconds,
        retry_seconds=settings.gcs_retry_seconds,
        on_retry=retried,
    )


def default_policy(settings: Settings, *, has_identity: bool) -> ChannelPolicy:
    """What holds for channels without a policy of their own.

    Args:
        settings: What the operator set.
        has_identity: Callers are known, so that a publisher can be told from a promoter.
    """
    allowed = settings.allow_publisher_to_promote
    return ChannelPolicy(
        name="",
        allow_publisher_to_promote=not has_identity if allowed is None else allowed,
        allow_prereleases=settings.allow_prereleases,
        allow_downgrades=settings.allow_downgrades,
        demanded_gates=settings.gates_to_promote,
        validation_valid_for_seconds=settings.validation_valid_for_seconds,
    )


def _check_exposure(settings: Settings, security: Security) -> None:
    if security.has_identity:
        return
    check_exposure(settings.host, settings.insecure)
    if isinstance(settings.place, Bucket) and not is_loopback(settings.host):
        raise InvalidInput(
            f"{settings.host} can be reached from other machines, there is no TLS, and the store is"
            f" a bucket: whoever comes could change what others serve. Listen on 127.0.0.1",
            reason="INSECURE_ADDRESS",
            field="host",
        )
