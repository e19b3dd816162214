"""Between the client's values and the messages of the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.client.config import Encoding, EnrolledSpeaker, Prototype, StreamConfig
from voiceflow.client.events import (
    Begin,
    DrainingState,
    Event,
    FileResult,
    FrameActivity,
    GenerationState,
    GoAway,
    Moved,
    Region,
    RoleSince,
    ServingState,
    SpeakerMerged,
    SpeakerSummary,
    SpeechEvent,
    StreamLimits,
    Summary,
    Timings,
    Turn,
    Update,
)
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import Unavailable
from voiceflow.pipeline.turns import SpeechEventKind

_ENCODINGS = {
    Encoding.PCM16: pb.AUDIO_ENCODING_PCM16,
    Encoding.FLOAT32: pb.AUDIO_ENCODING_FLOAT32,
    Encoding.MULAW: pb.AUDIO_ENCODING_MULAW,
    Encoding.ALAW: pb.AUDIO_ENCODING_ALAW,
}
_MODES = {
    LatencyMode.DENSITY: pb.LATENCY_MODE_DENSITY,
    LatencyMode.AGENT: pb.LATENCY_MODE_AGENT,
}
_EVENT_KINDS = {
    pb.SpeechEvent.KIND_SPEECH_STARTED: SpeechEventKind.SPEECH_STARTED,
    pb.SpeechEvent.KIND_SPEECH_ENDED: SpeechEventKind.SPEECH_ENDED,
    pb.SpeechEvent.KIND_SPEAKER_CHANGED: SpeechEventKind.SPEAKER_CHANGED,
    pb.SpeechEvent.KIND_OVERLAP_STARTED: SpeechEventKind.OVERLAP_STARTED,
    pb.SpeechEvent.KIND_OVERLAP_ENDED: SpeechEventKind.OVERLAP_ENDED,
}


def config_message(config: StreamConfig, resume_token: bytes = b"") -> pb.StreamConfig:
    """The first request of a stream; with a token it goes on with an earlier one.

    A token holds those who are enrolled: their voices need not be sent again.
    """
    audio = config.audio_format
    enrolled = () if resume_token else config.enrolled_speakers
    message = pb.StreamConfig(
        audio_format=pb.AudioFormat(
            encoding=_ENCODINGS[audio.encoding],
            sample_rate_hertz=audio.sample_rate_hertz,
            channel_count=audio.channel_count,
        ),
        latency_mode=_MODES[config.latency_mode],
        minimum_speakers=config.minimum_speakers,
        maximum_speakers=config.maximum_speakers,
        enrolled_speakers=[_enrolled_message(speaker) for speaker in enrolled],
        send_provisional_turns=config.send_provisional_turns,
        send_activity=config.send_activity,
        send_timings=config.send_timings,
        session=config.session,
        resume_token=resume_token,
    )
    if audio.channel is not None:
        message.audio_format.channel = audio.channel
    if config.model is not None:
        if config.model.semver_range:
            message.model.semver_range.model = config.model.name
            message.model.semver_range.range = config.model.semver_range
        elif "/channels/" in config.model.name:
            message.model.channel = config.model.name
        else:
            message.model.version = config.model.name
    return message


def encoded(**request: Any) -> bytes:
    """A request by its one field, as bytes."""
    return pb.DiarizeRequest(**request).SerializeToString()


def parsed(data: bytes) -> Event | None:
    """The event in the bytes of a reply; None for a kind that is newer than this client.

    Raises:
        Unavailable: STREAM_CUT: they are no reply.
    """
    try:
        response = pb.DiarizeResponse.FromString(data)
    except DecodeError:
        raise Unavailable("what came is no reply", reason="STREAM_CUT") from None
    return event_of(response)


def event_of(response: pb.DiarizeResponse) -> Event | None:
    """The event in a reply; None for a kind that is newer than this client."""
    kind = response.WhichOneof("response")
    reader = _EVENTS.get(kind or "")
    return reader(getattr(response, kind or "")) if reader else None


def file_result_of(response: pb.DiarizeFileResponse) -> FileResult:
    """The values of a file's response."""
    return FileResult(
        regions=tuple(_region(region) for region in response.regions),
        turns=tuple(_turn(turn) for turn in response.turns),
        summary=_summary(response.summary),
    )


def serving_state_of(response: pb.GetServingStateResponse) -> ServingState:
    """The values of an operator's response."""
    started = response.started_at.ToDatetime(UTC) if response.HasField("started_at") else None
    return ServingState(
        generations=tuple(
            GenerationState(
                generation=state.generation,
                model_version=state.model_version,
                model_digest=state.model_digest,
                state=_enum_word(pb.GenerationState.State.Name(state.state)),
                role=_enum_word(pb.GenerationState.Role.Name(state.role)),
                streams=state.streams,
                contract=state.contract,
                message=state.message,
                manifest_digest=state.manifest_digest,
                percentage=state.percentage,
                role_since=_role_since(state.role_since) if state.HasField("role_since") else None,
            )
            for state in response.generations
        ),
        queue_hops=response.queue_hops,
        queue_age_seconds=_seconds(response.queue_age),
        real_time_factor=response.real_time_factor,
        streams=response.streams,
        files=response.files,
        capacity_streams=response.capacity_streams,
        refusals=dict(response.refusals),
        settings=dict(response.settings),
        draining=response.draining,
        started_at=started,
        software_version=response.software_version,
        pod=response.pod,
        desired_sequence=response.desired_sequence,
        serving_sequence=response.serving_sequence,
        moves=dict(response.moves),
        alarms=dict(response.alarms),
    )


def draining_request(*, draining: bool, deadline_seconds: float | None) -> pb.SetDrainingRequest:
    """The message that takes a server out of service, or back into it."""
    request = pb.SetDrainingRequest(draining=draining)
    if deadline_seconds is not None:
        request.deadline.FromNanoseconds(round(deadline_seconds * 1e9))
    return request


def draining_state_of(response: pb.SetDrainingResponse) -> DrainingState:
    """What a server says when it was taken out of service, or back into it."""
    return DrainingState(response.draining, response.streams, response.files)


def _enrolled_message(speaker: EnrolledSpeaker) -> pb.EnrolledSpeaker:
    message = pb.EnrolledSpeaker(name=speaker.name)
    for prototype in speaker.prototypes:
        sent = message.prototypes.add(
            embedding_space=prototype.embedding_space, values=prototype.values
        )
        sent.speech.FromNanoseconds(round(prototype.speech_seconds * 1e9))
    return message


def _role_since(since: pb.RoleSince) -> RoleSince:
    return RoleSince(
        since.promotion, since.kind, since.commit_time.ToDatetime(UTC), since.or_earlier
    )


def _begin(begin: pb.Begin) -> Begin:
    limits = begin.limits
    return Begin(
        session=begin.session,
        model_version=begin.model_version,
        generation=begin.generation,
        hop_samples=_samples(begin.hop),
        revision_horizon_samples=_samples(begin.revision_horizon),
        algorithmic_latency_samples=_samples(begin.algorithmic_latency),
        frame_samples=_samples(begin.frame),
        limits=StreamLimits(
            message_audio_bytes=limits.message_audio_bytes,
            speakers=limits.speakers,
            idle_timeout_seconds=_seconds(limits.idle_timeout),
            unsent_reply_bytes=limits.unsent_reply_bytes,
            unsent_reply_age_seconds=_seconds(limits.unsent_reply_age),
        ),
        resume_context_samples=_samples_if_set(begin, "resume_context"),
        resumed_at_samples=_samples_if_set(begin, "resumed_at"),
        audio_start_samples=_samples_if_set(begin, "audio_start"),
    )


def _update(update: pb.Update) -> Update:
    return Update(
        final_regions=tuple(_region(region) for region in update.final_regions),
        turns=tuple(_turn(turn) for turn in update.turns),
        covered_samples=_samples(update.audio_covered),
        final_until_samples=_samples(update.final_until),
        generation=update.generation,
        activity=_activity(update.activity) if update.HasField("activity") else None,
        resume_token=update.resume_token,
    )


def _moved(moved: pb.Moved) -> Moved:
    return Moved(
        _samples(moved.at),
        moved.generation,
        moved.model_version,
        _enum_word(pb.Moved.How.Name(moved.how)),
        _samples(moved.replayed_from),
    )


def _go_away(away: pb.GoAway) -> GoAway:
    return GoAway(_seconds(away.time_left), away.resume_token, away.reason)


def _timings(timings: pb.Timings) -> Timings:
    stages = tuple((stage.name, _seconds(stage.elapsed)) for stage in timings.stages)
    return Timings(_samples(timings.audio_end), stages, timings.request)


def _activity(activity: pb.FrameActivity) -> FrameActivity:
    flat = tuple(activity.tracks)
    count = max(1, activity.track_count)
    return FrameActivity(
        speech_start_samples=_samples(activity.speech_start),
        speech=tuple(activity.speech),
        tracks_start_samples=_samples(activity.tracks_start),
        tracks=tuple(flat[at : at + count] for at in range(0, len(flat), count)),
    )


def _speech_event(event: pb.SpeechEvent) -> SpeechEvent | None:
    kind = _EVENT_KINDS.get(event.kind)
    if kind is None:
        return None
    return SpeechEvent(kind, _samples(event.at), _samples(event.noticed_at), event.speaker or None)


def _merge(merge: pb.SpeakerMerged) -> SpeakerMerged:
    return SpeakerMerged(getattr(merge, "from"), merge.to, _samples(merge.at))


def _region(region: pb.Region) -> Region:
    return Region(_samples(region.start), _samples(region.end), tuple(region.speakers))


def _turn(turn: pb.Turn) -> Turn:
    return Turn(turn.speaker, _samples(turn.start), _samples(turn.end), turn.confidence, turn.final)


def _summary(summary: pb.Summary) -> Summary:
    return Summary(
        speakers=tuple(
            SpeakerSummary(
                speaker=speaker.speaker,
                talk_samples=_samples(speaker.talk_time),
                prototypes=tuple(
                    Prototype(
                        prototype.embedding_space,
                        tuple(prototype.values),
                        _seconds(prototype.speech),
                    )
                    for prototype in speaker.prototypes
                ),
            )
            for speaker in summary.speakers
        ),
        covered_samples=_samples(summary.audio_covered),
        complete=summary.complete,
        merges=tuple(_merge(merge) for merge in summary.merges),
        model_version=summary.model_version,
    )


def _samples(offset: Duration) -> int:
    """Offsets are whole samples (62.5 µs); rounding only guards against a careless server."""
    return round(offset.ToNanoseconds() * SAMPLE_RATE_HERTZ / 1e9)


def _samples_if_set(begin: pb.Begin, field: str) -> int | None:
    return _samples(getattr(begin, field)) if begin.HasField(field) else None


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9


def _enum_word(name: str) -> str:
    """`STATE_ACTIVE` → `active`."""
    return name.partition("_")[2].lower()


_EVENTS: Mapping[str, Callable[[Any], Event | None]] = {
    "begin": _begin,
    "update": _update,
    "speech_event": _speech_event,
    "speaker_merged": _merge,
    "moved": _moved,
    "go_away": _go_away,
    "timings": _timings,
    "summary": _summary,
}
