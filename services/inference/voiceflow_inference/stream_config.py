"""What a stream may ask for: pure checks from a request to a config, each naming its field.

``StreamRequest`` holds what the client sent, ``Served`` what this server can do, ``StreamConfig``
what the stream will be. Fields are named by their path in the request.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import semver

from voiceflow.artifact import LatencyMode
from voiceflow.errors import InvalidInput, NotFound, NotServed
from voiceflow.pipeline.enrolment import EnrolledSpeaker
from voiceflow_inference.audio import AudioEncoding, AudioFormat
from voiceflow_inference.enrolment import SentSpeaker, VoiceSpace, check_enrolled
from voiceflow_inference.resuming import Resumption

MINIMUM_SAMPLE_RATE_HERTZ: Final = 8_000
MAXIMUM_SAMPLE_RATE_HERTZ: Final = 48_000
MAXIMUM_CHANNELS: Final = 32


@dataclass(frozen=True, slots=True)
class ByChannel:
    """A model by the name of its channel."""

    name: str


@dataclass(frozen=True, slots=True)
class ByVersion:
    """A model by the name of its version."""

    name: str


@dataclass(frozen=True, slots=True)
class ByRange:
    """A model by its name and a range of versions."""

    model: str
    comparators: str


Selector: TypeAlias = ByChannel | ByVersion | ByRange


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A config as the client sent it, nothing of it checked.

    Attributes:
        encoding: None where the client named none that this server knows.
        latency_mode: The name of a mode, "" for the default, None for one that is not known.
        resume_token: Of a stream that is to go on; empty: a new one.
        enrolled_speakers: One more than there may ever be, if there are more.
    """

    encoding: AudioEncoding | None
    sample_rate_hertz: int
    channel_count: int
    channel: int | None
    latency_mode: str | None
    selector: Selector | None
    minimum_speakers: int
    maximum_speakers: int
    send_provisional_turns: bool
    send_activity: bool
    session: str
    send_timings: bool = False
    resume_token: bytes = field(default=b"", repr=False)
    enrolled_speakers: tuple[SentSpeaker, ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """What this server can do.

    Attributes:
        model: The name of the model.
        version: Its version.
        channel: The channel that it stands for.
        hop_samples: Hop of each latency mode that it has.
        maximum_speakers: Speakers per stream.
        voices: What the model's vectors mean.
    """

    model: str
    version: semver.Version
    channel: str
    hop_samples: Mapping[LatencyMode, int]
    maximum_speakers: int
    voices: VoiceSpace


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What one stream is.

    Attributes:
        enrolled: Whose voices are known; of a resumed stream nobody: its snapshot has them.
    """

    audio_format: AudioFormat
    latency_mode: LatencyMode
    minimum_speakers: int
    maximum_speakers: int
    send_provisional_turns: bool
    send_activity: bool
    session: str
    send_timings: bool = False
    resumption: Resumption | None = None
    enrolled: tuple[EnrolledSpeaker, ...] = field(default=(), repr=False)


def check(
    request: StreamRequest, served: Served, resumption: Resumption | None = None
) -> StreamConfig:
    """Turns a request into a config.

    Args:
        request: What the client sent.
        served: What this server can do.
        resumption: What its resume token holds.

    Raises:
        InvalidInput: A field has a value that is never allowed.
        NotServed: A field asks for something that this server does not do.
        NotFound: It asks for a model that is not served here.
    """
    if request.resume_token and resumption is None:
        raise NotServed(
            "resume_token is not served here",
            reason="NOT_YET_SERVED",
            field="config.resume_token",
        )
    audio_format = _audio_format(request)
    minimum, maximum = _speakers(request, served.maximum_speakers)
    mode = _latency_mode(request, served)
    if request.selector is not None:
        _check_selected(request.selector, served)
    return StreamConfig(
        audio_format=audio_format,
        latency_mode=mode,
        minimum_speakers=minimum,
        maximum_speakers=maximum,
        send_provisional_turns=request.send_provisional_turns,
        send_activity=request.send_activity,
        session=_session(request.session, resumption),
        send_timings=request.send_timings,
        resumption=resumption,
        enrolled=_enrolled(request, served, maximum) if resumption is None else (),
    )


def is_selected(selector: Selector | None, served: Served) -> bool:
    """Whether what is served is what a stream asks for; not so if it asks for what cannot be."""
    if selector is None:
        return True
    try:
        _check_selected(selector, served)
    except (InvalidInput, NotFound):
        return False
    return True


def new_session() -> str:
    """A name for a stream whose client gave it none."""
    return uuid.uuid4().hex


_MODEL: Final = r"models/(?P<model>[a-z][a-z0-9-]{0,62})"
_MODEL_NAME: Final = re.compile(_MODEL)
_CHANNEL_NAME: Final = re.compile(_MODEL + r"/channels/(?P<channel>[a-z][a-z0-9-]{0,62})")
_VERSION_NAME: Final = re.compile(_MODEL + r"/versions/(?P<version>[0-9A-Za-z.+-]{5,128})")
_COMPARATOR: Final = re.compile(r"(?P<operator>>=|<=|>|<|=)(?P<version>[0-9A-Za-z.+-]{5,128})")
_SESSION: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MAXIMUM_COMPARATORS: Final = 8


def _audio_format(request: StreamRequest) -> AudioFormat:
    if request.encoding is None:
        names = ", ".join(encoding.name for encoding in AudioEncoding)
        raise InvalidInput(
            f"the encoding is none that is known; allowed are {names}",
            reason="ENCODING_INVALID",
            field="config.audio_format.encoding",
        )
    rate = request.sample_rate_hertz
    if not MINIMUM_SAMPLE_RATE_HERTZ <= rate <= MAXIMUM_SAMPLE_RATE_HERTZ:
        raise InvalidInput(
            f"{rate} Hz; allowed are {MINIMUM_SAMPLE_RATE_HERTZ} to {MAXIMUM_SAMPLE_RATE_HERTZ}",
            reason="SAMPLE_RATE_INVALID",
            field="config.audio_format.sample_rate_hertz",
        )
    channels = request.channel_count or 1
    if not 1 <= channels <= MAXIMUM_CHANNELS:
        raise InvalidInput(
            f"{channels} channels; allowed are 1 to {MAXIMUM_CHANNELS}, or 0 for 1",
            reason="CHANNEL_COUNT_INVALID",
            field="config.audio_format.channel_count",
        )
    if request.channel is not None and not 0 <= request.channel < channels:
        raise InvalidInput(
            f"channel {request.channel}; of {channels} allowed are 0 to {channels - 1}",
            reason="CHANNEL_INVALID",
            field="config.audio_format.channel",
        )
    return AudioFormat(request.encoding, rate, channels, request.channel)


def _speakers(request: StreamRequest, limit: int) -> tuple[int, int]:
    for path in ("minimum_speakers", "maximum_speakers"):
        number: int = getattr(request, path)
        if not 0 <= number <= limit:
            raise InvalidInput(
                f"{number} speakers; allowed are 1 to {limit}, or 0 where it is not known",
                reason="SPEAKER_COUNT_INVALID",
                field=f"config.{path}",
            )
    maximum = request.maximum_speakers or limit
    if request.minimum_speakers > maximum:
        raise InvalidInput(
            f"at least {request.minimum_speakers} speakers and at most {maximum}",
            reason="SPEAKER_COUNT_INVALID",
            field="config.minimum_speakers",
        )
    return request.minimum_speakers, maximum


def _enrolled(request: StreamRequest, served: Served, maximum: int) -> tuple[EnrolledSpeaker, ...]:
    if not request.enrolled_speakers:
        return ()
    return check_enrolled(request.enrolled_speakers, served.voices, maximum)


def _latency_mode(request: StreamRequest, served: Served) -> LatencyMode:
    if request.latency_mode is None:
        raise InvalidInput(
            f"the latency mode is none that is known; allowed are {', '.join(LatencyMode)}",
            reason="LATENCY_MODE_INVALID",
            field="config.latency_mode",
        )
    mode = LatencyMode(request.latency_mode or LatencyMode.DENSITY)
    if not request.latency_mode and mode not in served.hop_samples:
        return next(iter(served.hop_samples))  # a windowed model may have one mode only
    if mode not in served.hop_samples:
        raise NotServed(
            f"the model has no {mode} mode; it has {', '.join(served.hop_samples)}",
            reason="LATENCY_MODE_NOT_SERVED",
            field="config.latency_mode",
        )
    return mode


def _check_selected(selector: Selector, served: Served) -> None:
    match selector:
        case ByChannel(name):
            names = _named(_CHANNEL_NAME, name, "channel", "models/{model}/channels/{channel}")
            fits = names["channel"] == served.channel
        case ByVersion(name):
            path = "version"
            names = _named(_VERSION_NAME, name, path, "models/{model}/versions/{semver}")
            # Build metadata has no rank but names other bytes, so versions are compared as written.
            fits = str(_version(names["version"], path)) == str(served.version)
        case ByRange(model, comparators):
            names = _named(_MODEL_NAME, model, "semver_range.model", "models/{model}")
            fits = _in_range(served.version, comparators)
    if not fits or names["model"] != served.model:
        raise NotFound(
            f"not served here; this server has models/{served.model}/versions/{served.version}"
            f" as models/{served.model}/channels/{served.channel}",
            reason="MODEL_NOT_SERVED",
            field="config.model",
        )


def _named(pattern: re.Pattern[str], name: str, path: str, form: str) -> Mapping[str, str]:
    found = pattern.fullmatch(name)
    if found is None:
        raise InvalidInput(
            f"{name[:200]!r} is not of the form {form}",
            reason="MODEL_NAME_INVALID",
            field=f"config.model.{path}",
        )
    return found.groupdict()


def _version(text: str, path: str, reason: str = "MODEL_NAME_INVALID") -> semver.Version:
    try:
        return semver.Version.parse(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no version as SemVer 2.0.0 has it",
            reason=reason,
            field=f"config.model.{path}",
        ) from error


def _in_range(version: semver.Version, comparators: str) -> bool:
    path = "semver_range.range"
    parts = comparators.split(",")
    if len(parts) > _MAXIMUM_COMPARATORS:
        raise InvalidInput(
            f"{len(parts)} comparators; allowed are {_MAXIMUM_COMPARATORS}",
            reason="SEMVER_RANGE_INVALID",
            field=f"config.model.{path}",
        )
    fits = True
    for part in parts:
        found = _COMPARATOR.fullmatch(part.strip())
        if found is None:
            raise InvalidInput(
                f"{part[:200]!r} is no comparator; allowed are >= > <= < = and a version, joined"
                " by commas",
                reason="SEMVER_RANGE_INVALID",
                field=f"config.model.{path}",
            )
        order = version.compare(_version(found["version"], path, "SEMVER_RANGE_INVALID"))
        fits &= _HOLDS[found["operator"]](order)
    return fits


_HOLDS: Final = {
    ">=": lambda order: order >= 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    "<": lambda order: order < 0,
    "=": lambda order: order == 0,
}


def _session(name: str, resumption: Resumption | None) -> str:
    if resumption is not None:
        if name not in {"", resumption.session}:
            raise InvalidInput(
                "the resume token is another session's; leave the name unset, or give the one of"
                " its Begin",
                reason="SESSION_MISMATCH",
                field="config.session",
            )
        return resumption.session
    if not name:
        return new_session()
    if _SESSION.fullmatch(name) is None:
        raise InvalidInput(
            "a session is named with at most 128 characters of A-Z a-z 0-9 . _ -",
            reason="SESSION_INVALID",
            field="config.session",
        )
    return name
