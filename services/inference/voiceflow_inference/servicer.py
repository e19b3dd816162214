"""The Diarization service on the wire: who comes in, what they ask for, what is served now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc
from voiceflow.errors import InvalidInput, NotAllowedNow
from voiceflow.pipeline.snapshot import context_samples
from voiceflow.rpc.access import caller_of
from voiceflow_inference import messages
from voiceflow_inference.admission import Admission, StreamKind
from voiceflow_inference.batcher import EngineLoad, Urgency
from voiceflow_inference.conversation import Conversation, Tokens
from voiceflow_inference.draining import Draining, Transport
from voiceflow_inference.enrolment import VoiceSpace
from voiceflow_inference.file_stream import FileStream
from voiceflow_inference.observing import Observing, StreamObserver
from voiceflow_inference.outbox import Outbox
from voiceflow_inference.requests import RequestReader
from voiceflow_inference.resuming import ResumeTokens, Resumption
from voiceflow_inference.serving.alarms import Alarm
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import Place, Places
from voiceflow_inference.serving.state import Snapshot
from voiceflow_inference.session import Session, algorithmic_latency_samples
from voiceflow_inference.settings import Settings
from voiceflow_inference.stream_config import (
    Served,
    StreamConfig,
    StreamRequest,
    check,
    is_selected,
    new_session,
)

SERVICE_NAME: Final[str] = pb.DESCRIPTOR.services_by_name["Diarization"].full_name

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class DiarizationServicer(diarization_pb2_grpc.DiarizationServicer):
    """Serves what the manager has loaded.

    Args:
        places: Who computes what; the manager.
        state: What the manager does now.
        load: How busy the engines are.
        admission: Who may come in.
        tokens: For streams that are resumed.
        observing: Tells of streams and hops.
        settings: Limits.
        alarms: What somebody has to look at, by subject.
        started_at: When the process started.
        software_version: Of this server.
        transport: Finds the transport, which is built later.
    """

    def __init__(
        self,
        *,
        places: Places,
        state: Callable[[], Snapshot],
        load: Callable[[], EngineLoad],
        admission: Admission,
        tokens: ResumeTokens,
        observing: Observing,
        settings: Settings,
        alarms: Callable[[], Mapping[str, Alarm]],
        started_at: datetime,
        software_version: str,
        transport: Callable[[], Transport],
    ) -> None:
        self._places = places
        self._state = state
        self._load = load
        self._admission = admission
        self._tokens = tokens
        self._observing = observing
        self._settings = settings
        self._alarms = alarms
        self._started_at = started_at
        self._software_version = software_version
        self._conversations: set[Conversation] = set()
        self._recordings: set[FileStream] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = Draining(admission, transport, self._send_away, settings.grace_seconds)

    # A coroutine that writes its replies, where the stubs know generators only.
    async def Diarize(  # type: ignore[override]  # noqa: N802
        self, requests: AsyncIterator[pb.DiarizeRequest], context: Context
    ) -> None:
        """Diarizes one conversation live."""
        metadata, principal = context.invocation_metadata(), caller_of(context).principal
        with self._observing.call(StreamKind.STREAM, metadata, principal) as observer:
            await self._diarize(requests, context, observer)

    async def _diarize(
        self, requests: AsyncIterator[pb.DiarizeRequest], context: Context, observer: StreamObserver
    ) -> None:
        self._admission.check_open()
        principal = caller_of(context).principal
        with closing(RequestReader(requests, self._settings.idle_seconds)) as reader:
            request = _stream_request(await reader.next())
            resumption = None
            if request.resume_token and self._tokens.given:
                resumption = self._tokens.read(request.resume_token, principal)
            place, config = self._place(request, resumption)
            cost = place.generation.stream_costs[config.latency_mode]
            with (
                self._admission.admitted(principal, StreamKind.STREAM, cost),
                closing(self._session(config, place, Urgency.LIVE)) as session,
            ):
                _tell_begun(observer, session, place)
                conversation = Conversation(
                    reader=reader,
                    outbox=self._outbox(context),
                    session=session,
                    places=self._places,
                    tokens=self._tokens_of(session, principal),
                    leave_seconds=self._settings.grace_seconds,
                    message_audio_bytes=self._settings.message_audio_bytes,
                    deadline_passed=lambda: _deadline_passed(context),
                    on_hop=observer.on_hop,
                )
                with (
                    self._places.pinned(place, conversation),
                    self._present(self._conversations, conversation),
                ):
                    await conversation.run(self._begin(session, place))

    async def DiarizeFile(  # noqa: N802
        self, requests: AsyncIterator[pb.DiarizeFileRequest], context: Context
    ) -> pb.DiarizeFileResponse:
        """Diarizes one recording, in the lower class."""
        metadata, principal = context.invocation_metadata(), caller_of(context).principal
        with self._observing.call(StreamKind.FILE, metadata, principal) as observer:
            return await self._diarize_file(requests, context, observer)

    async def _diarize_file(
        self,
        requests: AsyncIterator[pb.DiarizeFileRequest],
        context: Context,
        observer: StreamObserver,
    ) -> pb.DiarizeFileResponse:
        self._admission.check_open()
        with closing(RequestReader(requests, self._settings.idle_seconds)) as reader:
            request = _stream_request(await reader.next())
            _check_for_file(request)
            place, config = self._place(request, None)
            with (
                self._admission.admitted(caller_of(context).principal, StreamKind.FILE),
                closing(self._session(config, place, Urgency.BACKGROUND)) as session,
            ):
                _tell_begun(observer, session, place)
                recording = FileStream(
                    reader=reader,
                    session=session,
                    places=self._places,
                    message_audio_bytes=self._settings.message_audio_bytes,
                    on_hop=observer.on_hop,
                )
                with (
                    self._places.pinned(place, recording),
                    self._present(self._recordings, recording),
                ):
                    return await recording.run()

    async def GetServingState(  # noqa: N802
        self, _request: pb.GetServingStateRequest, _context: Context
    ) -> pb.GetServingStateResponse:
        """Tells what is served now."""
        load, state, settings = self._load(), self._state(), self._settings
        started_at = Timestamp()
        started_at.FromDatetime(self._started_at)
        return pb.GetServingStateResponse(
            generations=[messages.generation_state(view) for view in state.shown()],
            queue_hops=load.queue_hops,
            queue_age=messages.seconds(load.queue_age_seconds),
            real_time_factor=load.real_time_factor,
            streams=self._admission.count(StreamKind.STREAM),
            files=self._admission.count(StreamKind.FILE),
            settings=settings.shown(),
            started_at=started_at,
            refusals=self._admission.refusals,
            draining=self._admission.draining,
            capacity_streams=self._admission.limits.streams,
            software_version=self._software_version,
            pod="" if settings.registry is None else f"pods/{settings.pod_name}",
            desired_sequence=state.desired_sequence,
            serving_sequence=state.serving_sequence,
            moves=dict(state.moves),
            alarms={
                subject: f"{alarm.reason}: {alarm.message}"
                for subject, alarm in self._alarms().items()
            },
        )

    async def SetDraining(  # noqa: N802
        self, request: pb.SetDrainingRequest, _context: Context
    ) -> pb.SetDrainingResponse:
        """Takes the server out of service, or back into it.

        Raises:
            NotAllowedNow: ONE_OF_SEVERAL_WORKERS: the others would go on.
        """
        if self._settings.workers > 1:
            raise NotAllowedNow(
                f"this is one of {self._settings.workers} workers behind one address: a call drains"
                " one of them, and which one is chance. SIGTERM to their parent drains them all",
                reason="ONE_OF_SEVERAL_WORKERS",
            )
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
        for recording in self._recordings:
            recording.end()
        await self._emptied_within(reserve_seconds)

    def _place(
        self, request: StreamRequest, resumption: Resumption | None
    ) -> tuple[Place, StreamConfig]:
        """Where a stream goes, and what it is there."""
        if resumption is None and not request.session:
            request = replace(request, session=new_session())
        session = request.session if resumption is None else resumption.session

        def fits(generation: Generation) -> bool:
            return is_selected(request.selector, self._served(generation))

        def fits_voices(generation: Generation) -> bool:
            voices = self._served(generation).voices
            return fits(generation) and voices.has(request.enrolled_speakers)

        place = self._places.place(session, fits)
        if request.enrolled_speakers and not fits_voices(place.generation):
            other = self._places.place(session, fits_voices)
            place = other if fits_voices(other.generation) else place
        return place, check(request, self._served(place.generation), resumption)

    def _served(self, generation: Generation) -> Served:
        manifest = generation.manifest
        return Served(
            model=manifest.model,
            version=manifest.version,
            channel=self._settings.channel,
            hop_samples=manifest.hop_samples,
            maximum_speakers=self._settings.speakers_per_stream,
            voices=VoiceSpace.of(manifest),
        )

    def _outbox(self, context: Context) -> Outbox:
        return Outbox(
            context.write,
            maximum_bytes=self._settings.unsent_reply_bytes,
            maximum_seconds=self._settings.unsent_reply_seconds,
        )

    def _session(self, config: StreamConfig, place: Place, urgency: Urgency) -> Session:
        return Session(
            config,
            place,
            self._places,
            urgency=urgency,
            horizon_seconds=self._settings.revision_horizon_seconds,
            shadow_lag_seconds=self._settings.shadow_lag_seconds,
        )

    def _tokens_of(self, session: Session, principal: str) -> Tokens | None:
        if not self._tokens.given:
            return None
        make = partial(self._tokens.make, session.config.session, principal)
        return Tokens(session, self._context_samples(session), make)

    def _context_samples(self, session: Session) -> int:
        return context_samples(session.generation.manifest, self._settings.resume_context_seconds)

    def _begin(self, session: Session, place: Place) -> pb.Begin:
        settings, config, manifest = self._settings, session.config, session.generation.manifest
        begin = pb.Begin(
            session=config.session,
            model_version=manifest.resource_name,
            generation=place.generation.number,
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
        if self._tokens.given:
            begin.resume_context.CopyFrom(messages.duration(self._context_samples(session)))
        if config.resumption is not None:
            at_samples = config.resumption.snapshot.at_samples
            begin.resumed_at.CopyFrom(messages.duration(at_samples))
            begin.audio_start.CopyFrom(messages.duration(session.start_samples))
        return begin

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


def _stream_request(first: pb.DiarizeRequest | pb.DiarizeFileRequest | None) -> StreamRequest:
    if first is None:
        raise InvalidInput(
            "the stream ended before its config", reason="CONFIG_MISSING", field="config"
        )
    if first.WhichOneof("request") != "config":
        raise InvalidInput(
            "the first request is not the config", reason="CONFIG_MISSING", field="config"
        )
    return messages.stream_request(first.config)


def _check_for_file(request: StreamRequest) -> None:
    for field in ("send_provisional_turns", "send_activity", "send_timings", "resume_token"):
        if getattr(request, field):
            raise InvalidInput(
                f"{field} is for live streams; a recording has one result",
                reason="FIELD_NOT_FOR_FILES",
                field=f"config.{field}",
            )


def _tell_begun(observer: StreamObserver, session: Session, place: Place) -> None:
    config, generation = session.config, place.generation
    observer.begun(config.session, config.latency_mode, generation.name, generation.number)


def _deadline_passed(context: Context) -> bool:
    left: float | None = context.time_remaining()
    return left is not None and left <= 0
