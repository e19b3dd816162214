"""Between the wire and plain values: reads requests, builds replies.

Offsets go out exactly: one sample at 16 kHz is 62,500 ns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.duration_pb2 import Duration

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.pipeline.diarizer import MAXIMUM_SPEAKERS
from voiceflow.pipeline.gallery import PROTOTYPES_PER_SPEAKER
from voiceflow.pipeline.turns import (
    Event,
    Region,
    SpeakerMerged,
    SpeakerTalk,
    SpeechEventKind,
    Turn,
)
from voiceflow_inference.audio import AudioEncoding
from voiceflow_inference.enrolment import SentPrototype, SentSpeaker
from voiceflow_inference.recording import Recording
from voiceflow_inference.route import Moved
from voiceflow_inference.serving.placing import How
from voiceflow_inference.serving.since import Since
from voiceflow_inference.serving.state import GenerationView
from voiceflow_inference.session import Activity, Reply, StreamSummary
from voiceflow_inference.stages import HopTimes
from voiceflow_inference.stream_config import (
    ByChannel,
    ByRange,
    ByVersion,
    Selector,
    StreamRequest,
)

_NANOS_PER_SAMPLE: Final = 1_000_000_000 // SAMPLE_RATE_HERTZ

_ENCODINGS: Final = {
    pb.AUDIO_ENCODING_PCM16: AudioEncoding.PCM16,
    pb.AUDIO_ENCODING_FLOAT32: AudioEncoding.FLOAT32,
    pb.AUDIO_ENCODING_MULAW: AudioEncoding.MULAW,
    pb.AUDIO_ENCODING_ALAW: AudioEncoding.ALAW,
}
_LATENCY_MODES: Final[dict[int, str]] = {
    pb.LATENCY_MODE_UNSPECIFIED: "",
    pb.LATENCY_MODE_DENSITY: LatencyMode.DENSITY,
    pb.LATENCY_MODE_AGENT: LatencyMode.AGENT,
}
_EVENT_KINDS: Final = {
    SpeechEventKind.SPEECH_STARTED: pb.SpeechEvent.KIND_SPEECH_STARTED,
    SpeechEventKind.SPEECH_ENDED: pb.SpeechEvent.KIND_SPEECH_ENDED,
    SpeechEventKind.SPEAKER_CHANGED: pb.SpeechEvent.KIND_SPEAKER_CHANGED,
    SpeechEventKind.OVERLAP_STARTED: pb.SpeechEvent.KIND_OVERLAP_STARTED,
    SpeechEventKind.OVERLAP_ENDED: pb.SpeechEvent.KIND_OVERLAP_ENDED,
}
_WAYS: Final = {How.CARRIED: pb.Moved.HOW_CARRIED, How.REPLAYED: pb.Moved.HOW_REPLAYED}


def duration(samples: int) -> Duration:
    """Audio time, exactly."""
    seconds, rest = divmod(samples, SAMPLE_RATE_HERTZ)
    return Duration(seconds=seconds, nanos=rest * _NANOS_PER_SAMPLE)


def seconds(value: float) -> Duration:
    """Wall time, to the nanosecond."""
    result = Duration()
    result.FromNanoseconds(round(value * 1e9))
    return result


def stream_request(config: pb.StreamConfig) -> StreamRequest:
    """A config as plain values, nothing of it checked."""
    audio_format = config.audio_format
    return StreamRequest(
        encoding=_ENCODINGS.get(audio_format.encoding),
        sample_rate_hertz=audio_format.sample_rate_hertz,
        channel_count=audio_format.channel_count,
        channel=audio_format.channel if audio_format.HasField("channel") else None,
        latency_mode=_LATENCY_MODES.get(config.latency_mode),
        selector=_selector(config.model),
        minimum_speakers=config.minimum_speakers,
        maximum_speakers=config.maximum_speakers,
        send_provisional_turns=config.send_provisional_turns,
        send_activity=config.send_activity,
        send_timings=config.send_timings,
        session=config.session,
        resume_token=config.resume_token,
        enrolled_speakers=tuple(map(_sent_speaker, config.enrolled_speakers[:_MOST_SPEAKERS])),
    )


def replies(reply: Reply, resume_token: bytes = b"") -> Iterable[pb.DiarizeResponse]:
    """What one hop has changed: where it moved the stream, its events, then its Update."""
    if reply.moved is not None:
        yield _moved(reply.moved)
    for event in reply.result.events:
        yield _event(event)
    result = reply.result
    update = pb.Update(
        final_regions=regions(result.final_regions),
        turns=turns(result.turns_final + result.turns_provisional),
        audio_covered=duration(result.covered_samples),
        final_until=duration(result.final_until_samples),
        generation=reply.generation,
        resume_token=resume_token,
    )
    if reply.activity is not None:
        update.activity.CopyFrom(_activity(reply.activity))
    yield pb.DiarizeResponse(update=update)


def timings(times: HopTimes) -> pb.DiarizeResponse:
    """Where the time of one hop went."""
    message = pb.Timings(audio_end=duration(times.audio_end_samples), request=times.request)
    for stage, elapsed_ns in times.elapsed_ns().items():
        message.stages.add(name=stage).elapsed.FromNanoseconds(elapsed_ns)
    return pb.DiarizeResponse(timings=message)


def regions(values: Iterable[Region]) -> list[pb.Region]:
    """Regions of a partition."""
    return [
        pb.Region(
            start=duration(region.start_samples),
            end=duration(region.end_samples),
            speakers=region.speakers,
        )
        for region in values
    ]


def turns(values: Iterable[Turn]) -> list[pb.Turn]:
    """Turns, final or not."""
    return [
        pb.Turn(
            speaker=turn.speaker,
            start=duration(turn.start_samples),
            end=duration(turn.end_samples),
            confidence=turn.confidence,
            final=turn.final,
        )
        for turn in values
    ]


def summary(value: StreamSummary, manifest: Manifest) -> pb.Summary:
    """The end of a stream."""
    return pb.Summary(
        speakers=[_speaker(talk, manifest.embedding_space) for talk in value.speakers],
        audio_covered=duration(value.covered_samples),
        complete=value.complete,
        merges=[_merged(merge) for merge in value.merges],
        model_version=manifest.resource_name,
    )


def file_response(
    recording: Recording, value: StreamSummary, manifest: Manifest
) -> pb.DiarizeFileResponse:
    """The result of a recording."""
    return pb.DiarizeFileResponse(
        regions=regions(recording.regions),
        turns=turns(recording.turns),
        summary=summary(value, manifest),
    )


def generation_state(view: GenerationView) -> pb.GenerationState:
    """A loaded version, or one that could not be taken."""
    return pb.GenerationState(
        generation=view.number,
        model_version=view.pin.version,
        model_digest=view.model_digest,
        state=f"STATE_{view.state.name}",
        role=f"ROLE_{view.role.name}",
        streams=view.streams,
        contract=view.contract,
        message=view.message,
        manifest_digest=view.pin.manifest_digest,
        percentage=view.percentage,
        role_since=_role_since(view.since) if view.assigned and view.since else None,
    )


# One more than there may be: the rest of what was sent, which may be millions, is not looked at.
_MOST_SPEAKERS: Final = MAXIMUM_SPEAKERS + 1
_MOST_PROTOTYPES: Final = PROTOTYPES_PER_SPEAKER + 1


def _role_since(since: Since) -> pb.RoleSince:
    message = pb.RoleSince(
        promotion=since.sequence, kind=since.kind.value, or_earlier=since.or_earlier
    )
    message.commit_time.FromDatetime(since.commit_time)
    return message


def _sent_speaker(speaker: pb.EnrolledSpeaker) -> SentSpeaker:
    prototypes = (
        SentPrototype(one.embedding_space, one.values, one.speech.seconds + one.speech.nanos / 1e9)
        for one in speaker.prototypes[:_MOST_PROTOTYPES]
    )
    return SentSpeaker(speaker.name, tuple(prototypes))


def _selector(model: pb.ModelSelector) -> Selector | None:
    match model.WhichOneof("selector"):
        case "channel":
            return ByChannel(model.channel)
        case "version":
            return ByVersion(model.version)
        case "semver_range":
            return ByRange(model.semver_range.model, model.semver_range.range)
        case _:
            return None


def _event(event: Event) -> pb.DiarizeResponse:
    if isinstance(event, SpeakerMerged):
        return pb.DiarizeResponse(speaker_merged=_merged(event))
    return pb.DiarizeResponse(
        speech_event=pb.SpeechEvent(
            kind=_EVENT_KINDS[event.kind],
            at=duration(event.at_samples),
            noticed_at=duration(event.noticed_at_samples),
            speaker=event.speaker or "",
        )
    )


def _moved(moved: Moved) -> pb.DiarizeResponse:
    return pb.DiarizeResponse(
        moved=pb.Moved(
            at=duration(moved.at_samples),
            generation=moved.generation.number,
            model_version=moved.generation.name,
            how=_WAYS[moved.how],
            replayed_from=duration(moved.replayed_from_samples),
        )
    )


def _merged(merge: SpeakerMerged) -> pb.SpeakerMerged:
    message = pb.SpeakerMerged(to=merge.to_speaker, at=duration(merge.at_samples))
    setattr(message, "from", merge.from_speaker)  # a keyword of Python
    return message


def _activity(activity: Activity) -> pb.FrameActivity:
    return pb.FrameActivity(
        speech_start=duration(activity.speech_start_samples),
        speech=activity.speech.tolist(),
        tracks_start=duration(activity.tracks_start_samples),
        tracks=activity.tracks.ravel().tolist(),
        track_count=activity.tracks.shape[1],
    )


def _speaker(talk: SpeakerTalk, embedding_space: str) -> pb.SpeakerSummary:
    return pb.SpeakerSummary(
        speaker=talk.speaker,
        talk_time=duration(talk.talk_samples),
        prototypes=[
            pb.Prototype(
                embedding_space=embedding_space,
                values=prototype.values.tolist(),
                speech=seconds(prototype.speech_seconds),
            )
            for prototype in talk.prototypes
        ],
    )
