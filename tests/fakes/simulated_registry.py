"""A registry in the hands of an attacker, and a pod that asks it.

The registry begins honest: what is published and promoted is signed by whoever should. Then a test
changes whatever it likes: what is told, what is sent, how long, in how many pieces. It is a real
gRPC server on loopback; the pod is the service's own code up to the loading of the package, at a
start, or for as long as it runs. What the attacker does not have are the keys, unless a test says
so.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
from google.protobuf.duration_pb2 import Duration

from tests.fakes.publishing import Package, package
from tests.fakes.trust import (
    CHANNEL,
    COMMIT_TIME,
    promotion,
    signed_manifest,
    trust_roots,
)
from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    RevertRules,
    Rollout,
    VersionPin,
    WatchEvent,
)
from voiceflow.catalog.versions import Version, VersionFile
from voiceflow.errors import NotFound, VoiceFlowError
from voiceflow.package import load_package
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    promotion_to_wire,
    version_file_to_wire,
    version_to_wire,
    watch_event_to_wire,
)
from voiceflow.rpc.status import abort_arguments
from voiceflow.trust.root import TrustRoots
from voiceflow_inference.serving import watch
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.belief import Belief
from voiceflow_inference.serving.cache import Cache
from voiceflow_inference.serving.download import Found, Registry
from voiceflow_inference.serving.state import Wanted
from voiceflow_inference.serving.state_file import Remembered, StateFile
from voiceflow_inference.serving.trusting import TrustedChannel
from voiceflow_inference.serving.watch import RegistrySource

NOW = COMMIT_TIME + timedelta(hours=1)
DEFAULT_RULES = RevertRules(minimum_streams=7, non_finite_hops=0)
"""Of every pod, where no policy says anything else."""

MODEL = CHANNEL.model

Sent = pb.DownloadVersionResponse | bytes
Chunks = Callable[[VersionFile, bytes, int], AsyncIterator[Sent]]
"""Sends a file from an offset on: takes what is stated of it, its bytes, and the offset."""

Answer = Callable[[Any, Any], Awaitable[Any]]
"""Answers a request of a method; bytes are sent as they are."""

Watch = Callable[[Any, Any], AsyncIterator[WatchEvent | bytes]]
"""Tells watchers of events; bytes are sent as they are."""

Attack = Callable[["SimulatedRegistry"], object]
"""Changes what a registry says."""


async def honest_chunks(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """As a registry sends them."""
    for start in range(offset, max(len(content), offset + 1), 1000):
        data = content[start : start + 1000]
        yield chunk(data, start, file if start == offset else None)


def chunk(data: bytes, offset: int, file: VersionFile | None = None) -> pb.DownloadVersionResponse:
    """One piece of a file, with a checksum that fits."""
    return pb.DownloadVersionResponse(
        file=None if file is None else version_file_to_wire(file),
        offset=offset,
        data=data,
        crc32c=google_crc32c.value(data),
    )


class SimulatedRegistry:
    """What it says is what stands in its attributes; every one may be changed.

    Attributes:
        history: Promotions, oldest first.
        versions: By name, as GetVersion tells them.
        files: Bytes of each file, by name of version and of file.
        chunks: How a file is sent.
        answers: Instead of its own, by method.
        policy: Of the channel; None: it is not told.
        watch: What is told to watchers; None: what stands here, as it changes.
        reports: Of pods, as they came; those that are refused, too.
        calls: Methods asked so far.
        sent_bytes: Of files.
    """

    def __init__(self) -> None:
        self.history: list[Promotion] = []
        self.versions: dict[str, Version] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.chunks: Chunks = honest_chunks
        self.answers: dict[str, Answer] = {}
        self.policy: ChannelPolicy | None = None
        self.watch: Watch | None = None
        self.reports: list[pb.ReportServingRequest] = []
        self.calls: list[str] = []
        self.sent_bytes = 0

    def publish(
        self, what: Package | str = "1.0.0", *, signer: str | None = "publisher"
    ) -> VersionPin:
        """Publishes a package, or one of that version; gives its name and digest."""
        made = package(what, model=MODEL, weights=_weights(what)) if isinstance(what, str) else what
        manifest, name = Manifest.from_json(made.manifest), str(made.name)
        self.versions[name] = Version(
            name=name,
            manifest_digest=digest_of(made.manifest),
            manifest=made.manifest,
            signature=None if signer is None else signed_manifest(made.manifest, signer),
            files=tuple(
                VersionFile(file=file, size_bytes=len(content), digest=manifest.files[file])
                for file, content in made.files.items()
            ),
            contract=manifest.contract,
            embedding_space=manifest.embedding_space,
            publisher="spiffe://test/publisher",
            publish_time=COMMIT_TIME,
        )
        for file, content in made.files.items():
            self.files[name, file] = content
        return VersionPin(version=name, manifest_digest=digest_of(made.manifest))

    def promote(self, pin: VersionPin | str = "1.0.0", **more: Any) -> Promotion:
        """Promotes a version after the newest promotion; one that is not there is published."""
        if isinstance(pin, str):
            known = self.versions.get(f"models/{MODEL}/versions/{pin}")
            pin = self.publish(pin) if known is None else _pin(known)
        before = self.history[-1] if self.history else None
        self.history.append(promotion(before, rollout=Rollout(primary=pin), **more))
        return self.history[-1]

    @contextmanager
    def attacked(self, attack: Attack) -> Iterator[None]:
        """Is in the attacker's hands for a while, and honest again afterwards."""
        before = dict(vars(self))
        self.history, self.versions = list(self.history), dict(self.versions)
        self.files, self.answers = dict(self.files), dict(self.answers)
        attack(self)
        try:
            yield
        finally:
            vars(self).update(before | {"sent_bytes": self.sent_bytes})

    def change(self, version: str, **fields: Any) -> None:
        """Changes what is told of a version."""
        name = f"models/{MODEL}/versions/{version}"
        self.versions[name] = self.versions[name].model_copy(update=fields)

    def corrupt(self, number: int = -1, **fields: Any) -> None:
        """Changes what is told of a promotion."""
        self.history[number] = self.history[number].model_copy(update=fields)

    def handlers(self) -> grpc.GenericRpcHandler:
        """Its methods, as a server takes them."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ListChannelHistory": grpc.unary_unary_rpc_method_handler(
                self._answering("ListChannelHistory", self._list_history),
                pb.ListChannelHistoryRequest.FromString,
                _serialized,
            ),
            "GetVersion": grpc.unary_unary_rpc_method_handler(
                self._answering("GetVersion", self._get_version),
                pb.GetVersionRequest.FromString,
                _serialized,
            ),
            "ReportServing": grpc.unary_unary_rpc_method_handler(
                self._reported, pb.ReportServingRequest.FromString, _serialized
            ),
            "DownloadVersion": grpc.unary_stream_rpc_method_handler(
                self._download, pb.DownloadVersionRequest.FromString, _serialized
            ),
            "WatchChannels": grpc.unary_stream_rpc_method_handler(
                self._watch, pb.WatchChannelsRequest.FromString, _serialized
            ),
        }
        return grpc.method_handlers_generic_handler("voiceflow.registry.v1.ModelRegistry", handlers)

    def _answering(self, name: str, method: Answer) -> Answer:
        async def answer(request: Any, context: Any) -> Any:
            self.calls.append(name)
            try:
                return await self.answers.get(name, method)(request, context)
            except VoiceFlowError as error:
                await context.abort(*abort_arguments(error))

        return answer

    async def _reported(self, request: pb.ReportServingRequest, context: Any) -> Any:
        self.reports.append(request)
        return await self._answering("ReportServing", self._take_report)(request, context)

    async def _take_report(self, *_: Any) -> pb.ReportServingResponse:
        return pb.ReportServingResponse(report_again_after=Duration(seconds=3600))

    async def _list_history(
        self, request: pb.ListChannelHistoryRequest, _: Any
    ) -> pb.ListChannelHistoryResponse:
        if not self.history:
            raise NotFound("no such channel", reason="CHANNEL_NOT_FOUND")
        end = len(self.history) - int(request.page_token or 0)
        page = self.history[max(0, end - 50) : end][::-1]
        return pb.ListChannelHistoryResponse(
            promotions=[promotion_to_wire(one) for one in page],
            next_page_token=str(len(self.history) - end + 50) if end > 50 else "",
        )

    async def _get_version(self, request: pb.GetVersionRequest, _: Any) -> pb.GetVersionResponse:
        return pb.GetVersionResponse(version=version_to_wire(self.versions[request.name]))

    async def _download(self, request: pb.DownloadVersionRequest, context: Any) -> None:
        self.calls.append("DownloadVersion")
        version = self.versions[request.name]
        (file,) = (one for one in version.files if one.file == request.file)
        content = self.files[request.name, request.file]
        async for reply in self.chunks(file, content, request.offset):
            self.sent_bytes += len(reply if isinstance(reply, bytes) else reply.data)
            await context.write(reply)

    async def _watch(self, request: pb.WatchChannelsRequest, context: Any) -> None:
        """Looks again and again, so that a test need not say what it has changed."""
        self.calls.append("WatchChannels")
        tell = self.watch or self._changes
        try:
            async with aclosing(tell(request, context)) as events:  # type: ignore[type-var]
                async for event in events:
                    if self.watch is not None and self.watch is not tell:
                        return  # an attack begins
                    sent = event if isinstance(event, bytes) else watch_event_to_wire(event)
                    await context.write(sent)
        except VoiceFlowError as error:
            await context.abort(*abort_arguments(error))

    async def _changes(self, _request: Any, _context: Any) -> AsyncIterator[WatchEvent | bytes]:
        told: tuple[Promotion | None, ChannelPolicy | None] = (None, None)
        while True:
            newest = self.history[-1] if self.history else None
            if self.policy is not None and self.policy != told[1]:
                yield self.policy
            if newest is not None and newest != told[0]:
                yield newest
            told = (newest, self.policy)
            sequence = newest.sequence if newest else 0
            cursor = ChannelCursor(channel=str(CHANNEL), after_sequence=sequence)
            yield Heartbeat(channels=(cursor,), send_time=datetime.now(UTC))
            await asyncio.sleep(_HEARTBEAT_SECONDS)


_HEARTBEAT_SECONDS = 0.05


@asynccontextmanager
async def serving(registry: SimulatedRegistry, port: int = 0) -> AsyncIterator[str]:
    """Serves it on a port, or a free one; yields the address."""
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((registry.handlers(),))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)


@dataclasses.dataclass
class Pod:
    """One pod over any number of starts, with its disk.

    Attributes:
        disk: Its cache and memory.
        roots: The trust root that it is given.
        now: What its clock says.
        alarms: Of its last start.
        address: Of the registry.
        wait_seconds: How long that may stay away.
    """

    disk: Path
    address: str
    roots: TrustRoots = dataclasses.field(default_factory=trust_roots)
    now: datetime = NOW
    alarms: Alarms = dataclasses.field(default_factory=Alarms)
    wait_seconds: float = 1.0

    async def start(self) -> str:
        """Starts and ends; gives the version that it would serve.

        Raises:
            VoiceFlowError: Why it does not start.
        """
        with self.trusting() as trusted:
            found = await self.find(trusted)
            package = load_package(
                found.folder,
                manifest_digest=found.manifest_digest,
                check_manifest=found.check_manifest,
            )
        return str(package.manifest.version)

    def trusting(self) -> _Trusting:
        """What it trusts, while it runs."""
        return _Trusting(self)

    async def find(self, belief: Belief) -> Found:
        """What it finds to serve, and serves."""
        source = self.source(belief)
        async with aclosing(source.wanted()) as stream:
            wanted = await anext(stream)
        found = await source.fetch(wanted.rollout.primary)
        source.holds(wanted)
        source.cache.close()
        return found

    def source(self, belief: Belief) -> RegistrySource:
        """Where its versions come from."""
        registry = Registry(self.address, None, self.wait_seconds)
        return RegistrySource(registry, belief, Cache(self.disk / "cache"), DEFAULT_RULES)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Starts, and follows the registry until the block ends.

        Pauses between tries are short.
        """
        pauses = watch.FIRST_PAUSE_SECONDS, watch.LONGEST_PAUSE_SECONDS
        watch.FIRST_PAUSE_SECONDS = watch.LONGEST_PAUSE_SECONDS = 0.02  # type: ignore[misc]
        try:
            with self.trusting() as trusted:
                running = Running(self, self.source(trusted))
                task = asyncio.create_task(running.run())
                try:
                    await running.until(lambda: running.serves or task.done())
                    yield running
                finally:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                    running.source.cache.close()
        finally:
            watch.FIRST_PAUSE_SECONDS, watch.LONGEST_PAUSE_SECONDS = pauses  # type: ignore[misc]

    @property
    def memory(self) -> Path:
        """Where it keeps what it trusts."""
        return self.disk / "state" / "stable.json"

    def remembers(self) -> Remembered:
        """What it trusts, as it stands on the disk."""
        with StateFile(self.memory) as memory:
            remembered = memory.read()
        assert remembered is not None
        return remembered

    def fetched(self) -> list[Path]:
        """Every file of its cache, also those that are not complete."""
        return [path for path in (self.disk / "cache").rglob("*") if path.is_file()]


class Running:
    """A pod that runs: what its manager does, without loading models.

    Attributes:
        source: Where its versions come from.
        serves: The version that it serves; empty: none yet.
        wanted: What it serves.
        seen: Everything that was wanted so far.
    """

    def __init__(self, pod: Pod, source: RegistrySource) -> None:
        self.source = source
        self.serves = ""
        self.wanted: Wanted | None = None
        self.seen: list[Wanted] = []
        self._pod = pod

    @property
    def reasons(self) -> dict[str, str]:
        """The alarms that stand, by subject."""
        return {subject: alarm.reason for subject, alarm in self._pod.alarms.raised.items()}

    async def run(self) -> None:
        """Serves whatever is wanted, as soon as it is here; the newest counts."""
        taking: asyncio.Task[None] | None = None
        try:
            async with aclosing(self.source.wanted()) as stream:
                async for wanted in stream:
                    self.seen.append(wanted)
                    if not self.serves:  # as a manager starts
                        await self._take(wanted)
                        continue
                    if taking is not None:
                        taking.cancel()
                    taking = asyncio.create_task(self._take(wanted))
        finally:
            if taking is not None:
                taking.cancel()

    async def _take(self, wanted: Wanted) -> None:
        pin = wanted.rollout.primary
        while True:
            with suppress(VoiceFlowError):
                found = await self.source.fetch(pin)
                package = await asyncio.to_thread(
                    load_package,
                    found.folder,
                    manifest_digest=found.manifest_digest,
                    check_manifest=found.check_manifest,
                )
                break
            await asyncio.sleep(0.1)
        self.wanted, self.serves = wanted, str(package.manifest.version)
        self.source.holds(wanted)
        self.source.keep([pin])

    async def until(self, seen: Callable[[], object], *, seconds: float = 30.0) -> None:
        """Waits until something is so."""
        async with asyncio.timeout(seconds):
            while not seen():  # noqa: ASYNC110 - looked at by turns
                await asyncio.sleep(0.005)


class _Trusting:
    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    def __enter__(self) -> TrustedChannel:
        pod = self._pod
        pod.alarms = Alarms()
        self._memory = StateFile(pod.memory)
        try:
            return TrustedChannel(
                CHANNEL, lambda: pod.roots, self._memory, pod.alarms, lambda: pod.now
            )
        except VoiceFlowError:
            self._memory.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._memory.close()


def _pin(version: Version) -> VersionPin:
    return VersionPin(version=version.name, manifest_digest=version.manifest_digest)


def _weights(version: str) -> bytes:
    """Of a version: 100 kB, other ones for each."""
    return version.encode().ljust(8, b"-") * 12_500


def _serialized(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())
