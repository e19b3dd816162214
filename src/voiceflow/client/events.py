"""What a client receives, as frozen values. Offsets are samples at 16 kHz, from the stream's start.

`Region`, `Turn`, `SpeechEvent` and `SpeakerMerged` are those of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client.config import Prototype
from voiceflow.pipeline.turns import Region, SpeakerMerged, SpeechEvent, Turn


def seconds(samples: int) -> float:
    """An offset or a length in seconds."""
    return samples / SAMPLE_RATE_HERTZ


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What the server allows on this stream."""

    message_audio_bytes: int
    speakers: int
    idle_timeout_seconds: float
    unsent_reply_bytes: int
    unsent_reply_age_seconds: float


@dataclass(frozen=True, slots=True)
class Begin:
    """The stream is admitted; always the first event.

    Attributes:
        session: The conversation's name.
        model_version: `models/{model}/versions/{semver}`.
        generation: The loaded model within the server process.
        hop_samples: Audio of one model call.
        revision_horizon_samples: How long after its audio a turn may still change.
        algorithmic_latency_samples: Audio that must pass before a label can exist.
        frame_samples: One frame of `FrameActivity`.
        limits: What the server allows.
        resume_context_samples: Audio before what is final that is needed to resume; None: this
            server gives no tokens.
        resumed_at_samples: Of a stream that was resumed: its final regions go on here.
        audio_start_samples: Of a stream that was resumed: the first audio that it hears.
    """

    session: str
    model_version: str
    generation: int
    hop_samples: int
    revision_horizon_samples: int
    algorithmic_latency_samples: int
    frame_samples: int
    limits: StreamLimits
    resume_context_samples: int | None = None
    resumed_at_samples: int | None = None
    audio_start_samples: int | None = None


@dataclass(frozen=True, slots=True)
class FrameActivity:
    """Probabilities of single frames, before identity and turns.

    Attributes:
        speech_start_samples: Start of the first frame of `speech`.
        speech: That anyone speaks, a value a frame.
        tracks_start_samples: Start of the first frame of `tracks`.
        tracks: That a first, second, … voice speaks; a tuple a frame, loudest first.
    """

    speech_start_samples: int
    speech: tuple[float, ...]
    tracks_start_samples: int
    tracks: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Update:
    """What one hop has changed.

    Attributes:
        final_regions: Continue the partition of the audio; never change.
        turns: Complete and final ones, each once; and, if asked for, all provisional ones, which
            replace those of the update before.
        covered_samples: Audio computed so far.
        final_until_samples: End of the final regions so far.
        generation: The loaded model that computed this hop.
        activity: If asked for.
        resume_token: Now and then: lets the stream go on elsewhere from here; empty otherwise.
    """

    final_regions: tuple[Region, ...]
    turns: tuple[Turn, ...]
    covered_samples: int
    final_until_samples: int
    generation: int = 0
    activity: FrameActivity | None = None
    resume_token: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Moved:
    """The server goes on with this stream by another loaded model; what was final stays.

    Attributes:
        at_samples: Start of the first hop that the new model computes.
        generation: The new model within the server process.
        model_version: `models/{model}/versions/{semver}`.
        how: `carried` (the model's memory was) or `replayed` (the last audio was).
        replayed_from_samples: Start of the audio that was replayed.
    """

    at_samples: int
    generation: int
    model_version: str
    how: str
    replayed_from_samples: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The conversation goes on in another stream, on whatever server that is.

    Attributes:
        begin: How the new stream began.
        at_samples: End of the final regions told so far; they go on here.
    """

    begin: Begin
    at_samples: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server wants this stream to move: finish or reconnect in the time left."""

    time_left_seconds: float
    resume_token: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class HopLatency:
    """Where the time of one hop went, from building its request to having parsed its reply.

    Attributes:
        audio_end_samples: End of the hop's audio.
        stages: (name, seconds): `client encode`, `network`, those of the server, `client parse`.
        end_to_end_seconds: As measured by the client alone; the stages add up to it.
    """

    audio_end_samples: int
    stages: tuple[tuple[str, float], ...]
    end_to_end_seconds: float


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one hop went in the server; comes after its `Update`.

    Attributes:
        audio_end_samples: End of the hop's audio.
        stages: (name, seconds), in order.
        request: Number of the request that completed the hop; the config is 0.
        latency: The whole way of the hop; None: the server does not say which request that was.
    """

    audio_end_samples: int
    stages: tuple[tuple[str, float], ...]
    request: int = 0
    latency: HopLatency | None = None


@dataclass(frozen=True, slots=True)
class SpeakerSummary:
    """What is known of one speaker at the end. Voiceprints are personal data."""

    speaker: str
    talk_samples: int
    prototypes: tuple[Prototype, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a stream; always the last event.

    Attributes:
        speakers: In order of appearance.
        covered_samples: Audio computed.
        complete: Whether the server knows that the conversation was sent to its end.
        merges: Every merge of the stream once more.
        model_version: `models/{model}/versions/{semver}`.
    """

    speakers: tuple[SpeakerSummary, ...]
    covered_samples: int
    complete: bool
    merges: tuple[SpeakerMerged, ...]
    model_version: str


Event = Begin | Update | SpeechEvent | SpeakerMerged | Moved | Resumed | GoAway | Timings | Summary
"""Anything that a stream yields."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """The diarization of one recording.

    Attributes:
        regions: The partition of the whole recording; neighbours differ in their speakers.
        turns: In order of their start.
        summary: Speakers and merges.
    """

    regions: tuple[Region, ...]
    turns: tuple[Turn, ...]
    summary: Summary


@dataclass(frozen=True, slots=True)
class RoleSince:
    """Since when a version has its role on a channel.

    Attributes:
        promotion: Number of the promotion that gave it the role.
        kind: `promote`, `rollback` or `automatic_rollback`.
        commit_time: Of that promotion; UTC.
        or_earlier: The server does not know what was before: it may have been an earlier one.
    """

    promotion: int
    kind: str
    commit_time: datetime
    or_earlier: bool


@dataclass(frozen=True, slots=True)
class GenerationState:
    """One model of a server.

    Attributes:
        generation: Its number within the process.
        model_version: `models/{model}/versions/{semver}`.
        model_digest: Of the model file.
        state: `downloading`, `loading`, `warming`, `active`, `draining` or `failed`.
        role: `primary`, `canary`, `shadow` or `unspecified`.
        streams: On it now.
        contract: That it keeps.
        message: Why it failed.
        manifest_digest: Of its manifest.
        percentage: Of new streams while it is a canary, of the primary's while it is a shadow.
        role_since: None: it has no role, or nobody promoted it.
    """

    generation: int
    model_version: str
    model_digest: str
    state: str
    role: str
    streams: int
    contract: str
    message: str
    manifest_digest: str = ""
    percentage: float = 0.0
    role_since: RoleSince | None = None


@dataclass(frozen=True, slots=True)
class ServingState:
    """What a server serves now, for operators.

    Attributes:
        generations: Loaded models.
        queue_hops: Hops that wait for the engine.
        queue_age_seconds: How long the oldest of them has waited.
        real_time_factor: Model time per audio time of all streams together; 1 is saturation.
        streams: Live streams.
        files: Recordings.
        capacity_streams: Streams that the server can carry at once.
        refusals: Streams refused since the start, by reason.
        settings: In force, by name.
        draining: Whether it takes no new streams.
        started_at: Wall time, UTC.
        software_version: Of the server.
        pod: Its name, as it reports to the registry; empty: it reports to none.
        desired_sequence: Of the channel that it follows, the newest promotion that it has seen.
        serving_sequence: The one that it serves.
        moves: Streams moved since the start, by how: `carried`, `replayed`, `told`.
        alarms: What somebody has to look at, by subject.
    """

    generations: tuple[GenerationState, ...]
    queue_hops: int
    queue_age_seconds: float
    real_time_factor: float
    streams: int
    files: int
    capacity_streams: int
    refusals: Mapping[str, int]
    settings: Mapping[str, str]
    draining: bool
    started_at: datetime | None
    software_version: str
    pod: str
    desired_sequence: int
    serving_sequence: int
    moves: Mapping[str, int]
    alarms: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DrainingState:
    """Whether a server takes new streams, and how many it still serves.

    Attributes:
        draining: It takes none.
        streams: Live streams.
        files: Recordings.
    """

    draining: bool
    streams: int
    files: int


__all__ = [
    "Begin",
    "DrainingState",
    "Event",
    "FileResult",
    "FrameActivity",
    "GenerationState",
    "GoAway",
    "HopLatency",
    "Moved",
    "Region",
    "Resumed",
    "RoleSince",
    "ServingState",
    "SpeakerMerged",
    "SpeakerSummary",
    "SpeechEvent",
    "StreamLimits",
    "Summary",
    "Timings",
    "Turn",
    "Update",
    "seconds",
]
