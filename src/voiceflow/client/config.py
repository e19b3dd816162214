"""What a client says at the start of a stream, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from voiceflow.artifact import LatencyMode
from voiceflow.errors import InvalidInput


class Encoding(StrEnum):
    """How one sample stands in the bytes of the audio."""

    PCM16 = "pcm16"
    FLOAT32 = "float32"
    MULAW = "mulaw"
    ALAW = "alaw"

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of one channel."""
        return {Encoding.PCM16: 2, Encoding.FLOAT32: 4}.get(self, 1)


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the bytes of the audio are.

    Attributes:
        encoding: Of each sample, little-endian.
        sample_rate_hertz: Samples per second and channel, 8000 to 48000.
        channel_count: Channels interleaved, 1 to 32.
        channel: The channel to listen to, from 0; None: the mean of all.
    """

    encoding: Encoding
    sample_rate_hertz: int
    channel_count: int = 1
    channel: int | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.encoding.sample_bytes * self.channel_count

    def seconds(self, size_bytes: int) -> float:
        """How long so many bytes of audio last."""
        return size_bytes / self.frame_bytes / self.sample_rate_hertz


@dataclass(frozen=True, slots=True)
class Prototype:
    """A voice as a vector: personal data, compared only within one embedding space.

    Attributes:
        embedding_space: In which the vector lives.
        values: Unit length.
        speech_seconds: Speech that stands behind it.
    """

    embedding_space: str
    values: tuple[float, ...] = field(repr=False)
    speech_seconds: float


@dataclass(frozen=True, slots=True)
class EnrolledSpeaker:
    """A person whose voice is known; turns carry the name in place of S1, S2, …."""

    name: str
    prototypes: tuple[Prototype, ...]


@dataclass(frozen=True, slots=True)
class Flush:
    """Put between pieces of audio: make all audio sent so far final without waiting."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model a stream asks for.

    Attributes:
        name: `models/{model}/channels/{channel}`, `models/{model}/versions/{semver}`, or
            `models/{model}` together with a range.
        semver_range: Comparators joined by commas, such as `>=1.2.0,<2.0.0`; empty with the first
            two forms.
    """

    name: str
    semver_range: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelChoice:
        """Reads a choice from one string; a range stands behind `@`.

        Raises:
            InvalidInput: If it is none of the three forms.
        """
        name, at, semver_range = text.partition("@")
        parts = name.split("/")
        plain = len(parts) == 4 and parts[2] in {"channels", "versions"} and not at
        ranged = len(parts) == 2 and bool(semver_range)
        if parts[0] != "models" or not all(parts) or not (plain or ranged):
            raise InvalidInput(
                f"{text!r} names no model; allowed are models/NAME/channels/CHANNEL, "
                "models/NAME/versions/VERSION and models/NAME@RANGE",
                reason="MODEL_NAME_INVALID",
                field="model",
            )
        return cls(name, semver_range)


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """How one stream is to be diarized.

    Attributes:
        audio_format: Of the bytes that will be sent.
        latency_mode: `density` (hops of 480 ms) or `agent` (80 ms).
        model: None: the server's primary version.
        minimum_speakers: 0: not known.
        maximum_speakers: 0: not known, the server's limit holds.
        enrolled_speakers: Opt-in for this stream alone; the server keeps nothing.
        send_provisional_turns: Also get turns that may still change.
        send_activity: Also get frame-level probabilities.
        send_timings: Also get where the time of each hop went.
        session: A name for the conversation; empty: the server makes one.
    """

    audio_format: AudioFormat
    latency_mode: LatencyMode = LatencyMode.DENSITY
    model: ModelChoice | None = None
    minimum_speakers: int = 0
    maximum_speakers: int = 0
    enrolled_speakers: tuple[EnrolledSpeaker, ...] = ()
    send_provisional_turns: bool = False
    send_activity: bool = False
    send_timings: bool = False
    session: str = ""
