import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AudioEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIO_ENCODING_UNSPECIFIED: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_PCM16: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_FLOAT32: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_MULAW: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_ALAW: _ClassVar[AudioEncoding]

class LatencyMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LATENCY_MODE_UNSPECIFIED: _ClassVar[LatencyMode]
    LATENCY_MODE_DENSITY: _ClassVar[LatencyMode]
    LATENCY_MODE_AGENT: _ClassVar[LatencyMode]
AUDIO_ENCODING_UNSPECIFIED: AudioEncoding
AUDIO_ENCODING_PCM16: AudioEncoding
AUDIO_ENCODING_FLOAT32: AudioEncoding
AUDIO_ENCODING_MULAW: AudioEncoding
AUDIO_ENCODING_ALAW: AudioEncoding
LATENCY_MODE_UNSPECIFIED: LatencyMode
LATENCY_MODE_DENSITY: LatencyMode
LATENCY_MODE_AGENT: LatencyMode

class DiarizeRequest(_message.Message):
    __slots__ = ("config", "audio", "flush", "finish")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    config: StreamConfig
    audio: bytes
    flush: Flush
    finish: Finish
    def __init__(self, config: _Optional[_Union[StreamConfig, _Mapping]] = ..., audio: _Optional[bytes] = ..., flush: _Optional[_Union[Flush, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ...) -> None: ...

class Flush(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Finish(_message.Message):
    __slots__ = ("score",)
    SCORE_FIELD_NUMBER: _ClassVar[int]
    score: float
    def __init__(self, score: _Optional[float] = ...) -> None: ...

class StreamConfig(_message.Message):
    __slots__ = ("audio_format", "model", "latency_mode", "minimum_speakers", "maximum_speakers", "enrolled_speakers", "send_provisional_turns", "send_activity", "send_timings", "resume_token", "session")
    AUDIO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MODE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    SEND_PROVISIONAL_TURNS_FIELD_NUMBER: _ClassVar[int]
    SEND_ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    SEND_TIMINGS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    audio_format: AudioFormat
    model: ModelSelector
    latency_mode: LatencyMode
    minimum_speakers: int
    maximum_speakers: int
    enrolled_speakers: _containers.RepeatedCompositeFieldContainer[EnrolledSpeaker]
    send_provisional_turns: bool
    send_activity: bool
    send_timings: bool
    resume_token: bytes
    session: str
    def __init__(self, audio_format: _Optional[_Union[AudioFormat, _Mapping]] = ..., model: _Optional[_Union[ModelSelector, _Mapping]] = ..., latency_mode: _Optional[_Union[LatencyMode, str]] = ..., minimum_speakers: _Optional[int] = ..., maximum_speakers: _Optional[int] = ..., enrolled_speakers: _Optional[_Iterable[_Union[EnrolledSpeaker, _Mapping]]] = ..., send_provisional_turns: _Optional[bool] = ..., send_activity: _Optional[bool] = ..., send_timings: _Optional[bool] = ..., resume_token: _Optional[bytes] = ..., session: _Optional[str] = ...) -> None: ...

class AudioFormat(_message.Message):
    __slots__ = ("encoding", "sample_rate_hertz", "channel_count", "channel")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    encoding: AudioEncoding
    sample_rate_hertz: int
    channel_count: int
    channel: int
    def __init__(self, encoding: _Optional[_Union[AudioEncoding, str]] = ..., sample_rate_hertz: _Optional[int] = ..., channel_count: _Optional[int] = ..., channel: _Optional[int] = ...) -> None: ...

class ModelSelector(_message.Message):
    __slots__ = ("channel", "version", "semver_range")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEMVER_RANGE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    version: str
    semver_range: SemverRange
    def __init__(self, channel: _Optional[str] = ..., version: _Optional[str] = ..., semver_range: _Optional[_Union[SemverRange, _Mapping]] = ...) -> None: ...

class SemverRange(_message.Message):
    __slots__ = ("model", "range")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    model: str
    range: str
    def __init__(self, model: _Optional[str] = ..., range: _Optional[str] = ...) -> None: ...

class EnrolledSpeaker(_message.Message):
    __slots__ = ("name", "prototypes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOTYPES_FIELD_NUMBER: _ClassVar[int]
    name: str
    prototypes: _containers.RepeatedCompositeFieldContainer[Prototype]
    def __init__(self, name: _Optional[str] = ..., prototypes: _Optional[_Iterable[_Union[Prototype, _Mapping]]] = ...) -> None: ...

class Prototype(_message.Message):
    __slots__ = ("embedding_space", "values", "speech")
    EMBEDDING_SPACE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    embedding_space: str
    values: _containers.RepeatedScalarFieldContainer[float]
    speech: _duration_pb2.Duration
    def __init__(self, embedding_space: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ..., speech: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DiarizeResponse(_message.Message):
    __slots__ = ("begin", "update", "speech_event", "speaker_merged", "go_away", "timings", "summary", "moved")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    SPEECH_EVENT_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_MERGED_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    begin: Begin
    update: Update
    speech_event: SpeechEvent
    speaker_merged: SpeakerMerged
    go_away: GoAway
    timings: Timings
    summary: Summary
    moved: Moved
    def __init__(self, begin: _Optional[_Union[Begin, _Mapping]] = ..., update: _Optional[_Union[Update, _Mapping]] = ..., speech_event: _Optional[_Union[SpeechEvent, _Mapping]] = ..., speaker_merged: _Optional[_Union[SpeakerMerged, _Mapping]] = ..., go_away: _Optional[_Union[GoAway, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ..., moved: _Optional[_Union[Moved, _Mapping]] = ...) -> None: ...

class Begin(_message.Message):
    __slots__ = ("session", "model_version", "generation", "hop", "revision_horizon", "algorithmic_latency", "frame", "limits", "resume_context", "resumed_at", "audio_start")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    REVISION_HORIZON_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMIC_LATENCY_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    RESUME_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESUMED_AT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_START_FIELD_NUMBER: _ClassVar[int]
    session: str
    model_version: str
    generation: int
    hop: _duration_pb2.Duration
    revision_horizon: _duration_pb2.Duration
    algorithmic_latency: _duration_pb2.Duration
    frame: _duration_pb2.Duration
    limits: StreamLimits
    resume_context: _duration_pb2.Duration
    resumed_at: _duration_pb2.Duration
    audio_start: _duration_pb2.Duration
    def __init__(self, session: _Optional[str] = ..., model_version: _Optional[str] = ..., generation: _Optional[int] = ..., hop: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., revision_horizon: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., algorithmic_latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., frame: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., limits: _Optional[_Union[StreamLimits, _Mapping]] = ..., resume_context: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resumed_at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., audio_start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StreamLimits(_message.Message):
    __slots__ = ("message_audio_bytes", "speakers", "idle_timeout", "unsent_reply_bytes", "unsent_reply_age")
    MESSAGE_AUDIO_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    UNSENT_REPLY_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNSENT_REPLY_AGE_FIELD_NUMBER: _ClassVar[int]
    message_audio_bytes: int
    speakers: int
    idle_timeout: _duration_pb2.Duration
    unsent_reply_bytes: int
    unsent_reply_age: _duration_pb2.Duration
    def __init__(self, message_audio_bytes: _Optional[int] = ..., speakers: _Optional[int] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., unsent_reply_bytes: _Optional[int] = ..., unsent_reply_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Update(_message.Message):
    __slots__ = ("final_regions", "turns", "audio_covered", "final_until", "generation", "activity", "resume_token")
    FINAL_REGIONS_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_COVERED_FIELD_NUMBER: _ClassVar[int]
    FINAL_UNTIL_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    final_regions: _containers.RepeatedCompositeFieldContainer[Region]
    turns: _containers.RepeatedCompositeFieldContainer[Turn]
    audio_covered: _duration_pb2.Duration
    final_until: _duration_pb2.Duration
    generation: int
    activity: FrameActivity
    resume_token: bytes
    def __init__(self, final_regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ..., turns: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., audio_covered: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., final_until: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., generation: _Optional[int] = ..., activity: _Optional[_Union[FrameActivity, _Mapping]] = ..., resume_token: _Optional[bytes] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("start", "end", "speakers")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    start: _duration_pb2.Duration
    end: _duration_pb2.Duration
    speakers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., speakers: _Optional[_Iterable[str]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("speaker", "start", "end", "confidence", "final")
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    speaker: str
    start: _duration_pb2.Duration
    end: _duration_pb2.Duration
    confidence: float
    final: bool
    def __init__(self, speaker: _Optional[str] = ..., start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., confidence: _Optional[float] = ..., final: _Optional[bool] = ...) -> None: ...

class FrameActivity(_message.Message):
    __slots__ = ("speech_start", "speech", "tracks_start", "tracks", "track_count")
    SPEECH_START_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    TRACKS_START_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    TRACK_COUNT_FIELD_NUMBER: _ClassVar[int]
    speech_start: _duration_pb2.Duration
    speech: _containers.RepeatedScalarFieldContainer[float]
    tracks_start: _duration_pb2.Duration
    tracks: _containers.RepeatedScalarFieldContainer[float]
    track_count: int
    def __init__(self, speech_start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., speech: _Optional[_Iterable[float]] = ..., tracks_start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tracks: _Optional[_Iterable[float]] = ..., track_count: _Optional[int] = ...) -> None: ...

class SpeechEvent(_message.Message):
    __slots__ = ("kind", "at", "noticed_at", "speaker")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[SpeechEvent.Kind]
        KIND_SPEECH_STARTED: _ClassVar[SpeechEvent.Kind]
        KIND_SPEECH_ENDED: _ClassVar[SpeechEvent.Kind]
        KIND_SPEAKER_CHANGED: _ClassVar[SpeechEvent.Kind]
        KIND_OVERLAP_STARTED: _ClassVar[SpeechEvent.Kind]
        KIND_OVERLAP_ENDED: _ClassVar[SpeechEvent.Kind]
    KIND_UNSPECIFIED: SpeechEvent.Kind
    KIND_SPEECH_STARTED: SpeechEvent.Kind
    KIND_SPEECH_ENDED: SpeechEvent.Kind
    KIND_SPEAKER_CHANGED: SpeechEvent.Kind
    KIND_OVERLAP_STARTED: SpeechEvent.Kind
    KIND_OVERLAP_ENDED: SpeechEvent.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    NOTICED_AT_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    kind: SpeechEvent.Kind
    at: _duration_pb2.Duration
    noticed_at: _duration_pb2.Duration
    speaker: str
    def __init__(self, kind: _Optional[_Union[SpeechEvent.Kind, str]] = ..., at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., noticed_at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., speaker: _Optional[str] = ...) -> None: ...

class SpeakerMerged(_message.Message):
    __slots__ = ("to", "at")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    to: str
    at: _duration_pb2.Duration
    def __init__(self, to: _Optional[str] = ..., at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., **kwargs) -> None: ...

class Moved(_message.Message):
    __slots__ = ("at", "generation", "model_version", "how", "replayed_from")
    class How(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        HOW_UNSPECIFIED: _ClassVar[Moved.How]
        HOW_CARRIED: _ClassVar[Moved.How]
        HOW_REPLAYED: _ClassVar[Moved.How]
    HOW_UNSPECIFIED: Moved.How
    HOW_CARRIED: Moved.How
    HOW_REPLAYED: Moved.How
    AT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FROM_FIELD_NUMBER: _ClassVar[int]
    at: _duration_pb2.Duration
    generation: int
    model_version: str
    how: Moved.How
    replayed_from: _duration_pb2.Duration
    def __init__(self, at: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., generation: _Optional[int] = ..., model_version: _Optional[str] = ..., how: _Optional[_Union[Moved.How, str]] = ..., replayed_from: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GoAway(_message.Message):
    __slots__ = ("time_left", "resume_token", "reason")
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    time_left: _duration_pb2.Duration
    resume_token: bytes
    reason: str
    def __init__(self, time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resume_token: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("audio_end", "stages", "request")
    class Stage(_message.Message):
        __slots__ = ("name", "elapsed")
        NAME_FIELD_NUMBER: _ClassVar[int]
        ELAPSED_FIELD_NUMBER: _ClassVar[int]
        name: str
        elapsed: _duration_pb2.Duration
        def __init__(self, name: _Optional[str] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    AUDIO_END_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    audio_end: _duration_pb2.Duration
    stages: _containers.RepeatedCompositeFieldContainer[Timings.Stage]
    request: int
    def __init__(self, audio_end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[Timings.Stage, _Mapping]]] = ..., request: _Optional[int] = ...) -> None: ...

class Summary(_message.Message):
    __slots__ = ("speakers", "audio_covered", "complete", "merges", "model_version")
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_COVERED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    MERGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    speakers: _containers.RepeatedCompositeFieldContainer[SpeakerSummary]
    audio_covered: _duration_pb2.Duration
    complete: bool
    merges: _containers.RepeatedCompositeFieldContainer[SpeakerMerged]
    model_version: str
    def __init__(self, speakers: _Optional[_Iterable[_Union[SpeakerSummary, _Mapping]]] = ..., audio_covered: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., complete: _Optional[bool] = ..., merges: _Optional[_Iterable[_Union[SpeakerMerged, _Mapping]]] = ..., model_version: _Optional[str] = ...) -> None: ...

class SpeakerSummary(_message.Message):
    __slots__ = ("speaker", "talk_time", "prototypes")
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    TALK_TIME_FIELD_NUMBER: _ClassVar[int]
    PROTOTYPES_FIELD_NUMBER: _ClassVar[int]
    speaker: str
    talk_time: _duration_pb2.Duration
    prototypes: _containers.RepeatedCompositeFieldContainer[Prototype]
    def __init__(self, speaker: _Optional[str] = ..., talk_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., prototypes: _Optional[_Iterable[_Union[Prototype, _Mapping]]] = ...) -> None: ...

class DiarizeFileRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: StreamConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[StreamConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class DiarizeFileResponse(_message.Message):
    __slots__ = ("regions", "turns", "summary")
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    turns: _containers.RepeatedCompositeFieldContainer[Turn]
    summary: Summary
    def __init__(self, regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ..., turns: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ...) -> None: ...

class GetServingStateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServingStateResponse(_message.Message):
    __slots__ = ("generations", "queue_hops", "queue_age", "real_time_factor", "streams", "files", "settings", "started_at", "refusals", "draining", "capacity_streams", "software_version", "pod", "desired_sequence", "serving_sequence", "moves", "alarms")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class RefusalsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class MovesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class AlarmsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_HOPS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_AGE_FIELD_NUMBER: _ClassVar[int]
    REAL_TIME_FACTOR_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_STREAMS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    DESIRED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SERVING_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    generations: _containers.RepeatedCompositeFieldContainer[GenerationState]
    queue_hops: int
    queue_age: _duration_pb2.Duration
    real_time_factor: float
    streams: int
    files: int
    settings: _containers.ScalarMap[str, str]
    started_at: _timestamp_pb2.Timestamp
    refusals: _containers.ScalarMap[str, int]
    draining: bool
    capacity_streams: int
    software_version: str
    pod: str
    desired_sequence: int
    serving_sequence: int
    moves: _containers.ScalarMap[str, int]
    alarms: _containers.ScalarMap[str, str]
    def __init__(self, generations: _Optional[_Iterable[_Union[GenerationState, _Mapping]]] = ..., queue_hops: _Optional[int] = ..., queue_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., real_time_factor: _Optional[float] = ..., streams: _Optional[int] = ..., files: _Optional[int] = ..., settings: _Optional[_Mapping[str, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refusals: _Optional[_Mapping[str, int]] = ..., draining: _Optional[bool] = ..., capacity_streams: _Optional[int] = ..., software_version: _Optional[str] = ..., pod: _Optional[str] = ..., desired_sequence: _Optional[int] = ..., serving_sequence: _Optional[int] = ..., moves: _Optional[_Mapping[str, int]] = ..., alarms: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SetDrainingRequest(_message.Message):
    __slots__ = ("draining", "deadline")
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    draining: bool
    deadline: _duration_pb2.Duration
    def __init__(self, draining: _Optional[bool] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SetDrainingResponse(_message.Message):
    __slots__ = ("draining", "streams", "files")
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    draining: bool
    streams: int
    files: int
    def __init__(self, draining: _Optional[bool] = ..., streams: _Optional[int] = ..., files: _Optional[int] = ...) -> None: ...

class GenerationState(_message.Message):
    __slots__ = ("generation", "model_version", "model_digest", "state", "role", "streams", "contract", "message", "manifest_digest", "percentage", "role_since")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[GenerationState.State]
        STATE_LOADING: _ClassVar[GenerationState.State]
        STATE_WARMING: _ClassVar[GenerationState.State]
        STATE_ACTIVE: _ClassVar[GenerationState.State]
        STATE_DRAINING: _ClassVar[GenerationState.State]
        STATE_FAILED: _ClassVar[GenerationState.State]
        STATE_DOWNLOADING: _ClassVar[GenerationState.State]
    STATE_UNSPECIFIED: GenerationState.State
    STATE_LOADING: GenerationState.State
    STATE_WARMING: GenerationState.State
    STATE_ACTIVE: GenerationState.State
    STATE_DRAINING: GenerationState.State
    STATE_FAILED: GenerationState.State
    STATE_DOWNLOADING: GenerationState.State
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROLE_UNSPECIFIED: _ClassVar[GenerationState.Role]
        ROLE_PRIMARY: _ClassVar[GenerationState.Role]
        ROLE_CANARY: _ClassVar[GenerationState.Role]
        ROLE_SHADOW: _ClassVar[GenerationState.Role]
    ROLE_UNSPECIFIED: GenerationState.Role
    ROLE_PRIMARY: GenerationState.Role
    ROLE_CANARY: GenerationState.Role
    ROLE_SHADOW: GenerationState.Role
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    ROLE_SINCE_FIELD_NUMBER: _ClassVar[int]
    generation: int
    model_version: str
    model_digest: str
    state: GenerationState.State
    role: GenerationState.Role
    streams: int
    contract: str
    message: str
    manifest_digest: str
    percentage: float
    role_since: RoleSince
    def __init__(self, generation: _Optional[int] = ..., model_version: _Optional[str] = ..., model_digest: _Optional[str] = ..., state: _Optional[_Union[GenerationState.State, str]] = ..., role: _Optional[_Union[GenerationState.Role, str]] = ..., streams: _Optional[int] = ..., contract: _Optional[str] = ..., message: _Optional[str] = ..., manifest_digest: _Optional[str] = ..., percentage: _Optional[float] = ..., role_since: _Optional[_Union[RoleSince, _Mapping]] = ...) -> None: ...

class RoleSince(_message.Message):
    __slots__ = ("promotion", "commit_time", "or_earlier", "kind")
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    OR_EARLIER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    promotion: int
    commit_time: _timestamp_pb2.Timestamp
    or_earlier: bool
    kind: str
    def __init__(self, promotion: _Optional[int] = ..., commit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., or_earlier: _Optional[bool] = ..., kind: _Optional[str] = ...) -> None: ...
