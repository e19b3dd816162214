"""The Diarization service on the wire: who comes in, what they ask for, what is served now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc
from voiceflow.errors import InvalidInput, Unavailable
from voiceflow.rpc.access import caller_of
from voiceflow_inference import messages
from voiceflow_inference.admission import Admission, StreamKind
from voiceflow_inference.batcher import Batcher, Urgency
from voiceflow_inference.conversation import (
    Conversation,
    RequestReader,
    check_audio_bytes,
    config_repeated,
    empty_request,
)
from voiceflow_inference.draining import Draining, Transport
from voiceflow_inference.outbox import Outbox
from voiceflow_inference.recording import Recording
from voiceflow_inference.session import Session, algorithmic_latency_samples
from voiceflow_inference.settings import Settings
from voiceflow_inference.stream_config import Served, StreamConfig, check

SERVICE_NAME: Final[str] = pb.DESCRIPTOR.services_by_name["Diarization"].full_name

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Generation:
    """One loaded model.

    Attributes:
        number: Of this process, from 1.
        manifest: What is said of it.
        batcher: Its engine.
        stream_costs: Places that a live stream of each latency mode takes.
    """

    number: int
    manifest: Manifest
    batcher: Batcher
    stream_costs: Mapping[LatencyMode, float]


class DiarizationServicer(diarization_pb2_grpc.DiarizationServicer):
    """Serves one generation.

    Args:
        generation: The loaded model.
        admission: Who may come in.
        settings: Limits.
        started_at: When the process started.
        software_version: Of this server.
        transport: Finds the transport, which is built later.
    """

    def __init__(
        self,
        *,
        generation: Generation,
        admission: Admission,
        settings: Settings,
        started_at: datetime,
        software_version: str,
        transport: Callable[[], Transport],
    ) -> None:
        self._generation = generation
        self._admission = admission
        self._settings = settings
        self._started_at = started_at
        self._software_version = software_version
        manifest = generation.manifest
        self._served = Served(
            model=manifest.model,
            version=manifest.version,
            channel=settings.channel,
            hop_samples=manifest.hop_samples,
            maximum_speakers=settings.speakers_per_stream,
        )
        self._conversations: set[Conversation] = set()
        self._recordings: set[RequestReader[pb.DiarizeFileRequest]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = Draining(admission, transport, self._send_away, settings.grace_seconds)

    # A coroutine that writes its replies, where the stubs know generators only.
    async def Diarize(  # type: ignore[override]  # noqa: N802
        self, requests: AsyncIterator[pb.DiarizeRequest], context: Context
    ) -> None:
        """Diarizes one conversation live."""
        self._admission.check_open()
        with closing(RequestReader(requests, self._settings.idle_seconds)) as reader:
            config = self._config(await reader.next())
            cost = self._generation.stream_costs[config.latency_mode]
            with (
                self._admission.admitted(caller_of(context).principal, StreamKind.STREAM, cost),
                closing(self._session(config, Urgency.LIVE)) as session,
            ):
                conversation = Conversation(
                    reader=reader,
                    outbox=self._outbox(context),
                    session=session,
                    manifest=self._generation.manifest,
                    generation=self._generation.number,
                    message_audio_bytes=self._settings.message_audio_bytes,
                    deadline_passed=lambda: _deadline_passed(context),
                )
                with self._present(self._conversations, conversation):
                    await conversation.run(self._begin(config))

    async def DiarizeFile(  # noqa: N802
        self, requests: AsyncIterator[pb.DiarizeFileRequest], context: Context
    ) -> pb.DiarizeFileResponse:
        """Diarizes one recording, in the lower class."""
        self._admission.check_open()
        with closing(RequestReader(requests, self._settings.idle_seconds)) as reader:
            config = self._config(await reader.next())
            _check_for_file(config)
            with (
                self._admission.admitted(caller_of(context).principal, StreamKind.FILE),
                closing(self._session(config, Urgency.BACKGROUND)) as session,
                self._present(self._recordings, reader),
            ):
                return await self._record(reader, session)

    async def GetServingState(  # noqa: N802
        self, _request: pb.GetServingStateRequest, _context: Context
    ) -> pb.GetServingStateResponse:
        """Tells what is served now."""
        load = self._generation.batcher.load()
        streams = self._admission.count(StreamKind.STREAM)
        files = self._admission.count(StreamKind.FILE)
        manifest = self._generation.manifest
        started_at = Timestamp()
        started_at.FromDatetime(self._started_at)
        return pb.GetServingStateResponse(
            generations=[
                pb.GenerationState(
                    generation=self._generation.number,
                    model_version=manifest.resource_name,
                    model_digest=manifest.files["model.onnx"],
                    state=(
                        pb.GenerationState.STATE_DRAINING
                        if self._admission.draining
                        else pb.GenerationState.STATE_ACTIVE
                    ),
                    role=pb.GenerationState.ROLE_PRIMARY,
                    streams=streams + files,
                    contract=manifest.contract,
                )
            ],
            queue_hops=load.queue_hops,
            queue_age=messages.seconds(load.queue_age_seconds),
            real_time_factor=load.real_time_factor,
            streams=streams,
            files=files,
            settings=self._settings.shown(),
            started_at=started_at,
            refusals=self._admission.refusals,
            draining=self._admission.draining,
            capacity_streams=self._admission.limits.streams,
            software_version=self._software_version,
        )

    async def SetDraining(  # noqa: N802
        self, request: pb.SetDrainingRequest, _context: Context
    ) -> pb.SetDrainingResponse:
        """Takes the server out of service, or back into it."""
        if request.draining:
            deadline = request.deadline if request.HasField("deadline") else None
            await self._draining.begin(
                None if deadline is None else deadline.seconds + deadline.nanos / 1e9
            )
        else:
            await self._draining.end()
        return pb.SetDrainingResponse(
            draining=self._admission.draining,
            streams=self._admission.count(StreamKind.STREAM),
            files=self._admission.count(StreamKind.FILE),
        )

    async def drain(self, grace_seconds: float) -> None:
        """Takes no new streams and lets the live ones end; what has not ended by then is ended.

        Streams end with their final turns and a Summary that is not complete.

        Args:
            grace_seconds: From now until every stream must have ended.
        """
        await self._draining.end_server(grace_seconds)

    async def _send_away(self, grace_seconds: float) -> None:
        reserve_seconds = min(_LAST_TURNS_SECONDS, grace_seconds / 4)
        for conversation in self._conversations:
            conversation.tell_to_leave(grace_seconds - reserve_seconds)
        if await self._emptied_within(grace_seconds - reserve_seconds):
            return
        for conversation in self._conversations:
            conversation.end()
        for reader in self._recordings:
            reader.interrupt()
        await self._emptied_within(reserve_seconds)

    def _config(self, first: pb.DiarizeRequest | pb.DiarizeFileRequest | None) -> StreamConfig:
        if first is None:
            raise InvalidInput(
                "the stream ended before its config", reason="CONFIG_MISSING", field="config"
            )
        if first.WhichOneof("request") != "config":
            raise InvalidInput(
                "the first request is not the config", reason="CONFIG_MISSING", field="config"
            )
        return check(messages.stream_request(first.config), self._served)

    async def _record(
        self, reader: RequestReader[pb.DiarizeFileRequest], session: Session
    ) -> pb.DiarizeFileResponse:
        recording = Recording()
        while (request := await reader.next()) is not None:
            match request.WhichOneof("request"):
                case "audio":
                    check_audio_bytes(request.audio, self._settings.message_audio_bytes)
                    async for reply in session.hear(request.audio):
                        recording.add(reply.result)
                case "config":
                    raise config_repeated()
                case _:
                    raise empty_request()
        if reader.interrupted:
            raise Unavailable("the server is shutting down; try another one", reason="DRAINING")
        async for reply in session.finish():
            recording.add(reply.result)
        summary = session.summary(complete=True)
        return messages.file_response(recording, summary, self._generation.manifest)

    def _outbox(self, context: Context) -> Outbox[pb.DiarizeResponse]:
        return Outbox(
            context.write,
            maximum_bytes=self._settings.unsent_reply_bytes,
            maximum_seconds=self._settings.unsent_reply_seconds,
        )

    def _session(self, config: StreamConfig, urgency: Urgency) -> Session:
        return Session(
            config,
            self._generation.manifest,
            self._generation.batcher.open_lane(),
            urgency=urgency,
            horizon_seconds=self._settings.revision_horizon_seconds,
        )

    def _begin(self, config: StreamConfig) -> pb.Begin:
        manifest, settings = self._generation.manifest, self._settings
        return pb.Begin(
            session=config.session,
            model_version=manifest.resource_name,
            generation=self._generation.number,
            hop=messages.duration(manifest.hop_samples[config.latency_mode]),
            revision_horizon=messages.seconds(settings.revision_horizon_seconds),
            algorithmic_latency=messages.duration(algorithmic_latency_samples(config, manifest)),
            frame=messages.duration(manifest.frame_samples),
            limits=pb.StreamLimits(
                message_audio_bytes=settings.message_audio_bytes,
                speakers=config.maximum_speakers,
                idle_timeout=messages.seconds(settings.idle_seconds),
                unsent_reply_bytes=settings.unsent_reply_bytes,
                unsent_reply_age=messages.seconds(settings.unsent_reply_seconds),
            ),
        )

    @contextmanager
    def _present(self, group: set[Any], member: object) -> Iterator[None]:
        """Keeps a stream where a drain finds it."""
        group.add(member)
        self._empty.clear()
        try:
            yield
        finally:
            group.discard(member)
            if not self._conversations and not self._recordings:
                self._empty.set()

    async def _emptied_within(self, limit_seconds: float) -> bool:
        try:
            async with asyncio.timeout(limit_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True


# Of the grace period, for computing and sending what is left of streams that did not end.
_LAST_TURNS_SECONDS: Final = 2.0


def _check_for_file(config: StreamConfig) -> None:
    for field in ("send_provisional_turns", "send_activity"):
        if getattr(config, field):
            raise InvalidInput(
                f"{field} is for live streams; a recording has one result",
                reason="FIELD_NOT_FOR_FILES",
                field=f"config.{field}",
            )


def _deadline_passed(context: Context) -> bool:
    left: float | None = context.time_remaining()
    return left is not None and left <= 0
