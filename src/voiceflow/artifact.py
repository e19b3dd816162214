"""What a model version is, as frozen values: digests, the manifest, the operating point.

Nothing here reads a file or runs a model; `voiceflow.package` reads, `voiceflow.onnx` runs.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Self

import semver
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from voiceflow.errors import PackageInvalid

SAMPLE_RATE_HERTZ = 16_000
"""Rate at which every model hears, and in whose samples all offsets are counted."""


class LatencyMode(StrEnum):
    """How much audio a model call of a live stream covers."""

    DENSITY = "density"
    AGENT = "agent"


def _parse_version(value: object) -> semver.Version:
    if isinstance(value, semver.Version):
        return value
    if not isinstance(value, str):
        raise ValueError("a version is a string such as 1.4.0 or 1.4.0-rc.1")
    version = semver.Version.parse(value)
    if version.build is not None:
        raise ValueError(f"{value!r}: build metadata does not order versions and is not allowed")
    return version


SemanticVersion = Annotated[semver.Version, PlainValidator(_parse_version), PlainSerializer(str)]
"""A version as SemVer 2.0.0 has it, sorting as it says, without build metadata."""

ModelId = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
SpaceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""`sha256:` and 64 hexadecimal digits: a digest that names its algorithm."""

FileSize = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
"""Bytes of a file."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class OperatingPoint(_Value):
    """The thresholds that belong to one set of weights."""

    speech_threshold: Probability = Field(description="speech starts above this probability")
    activity_threshold: Probability = Field(description="a voice is active above this")
    overlap_threshold: Probability = Field(description="a second voice is active above this")
    new_speaker_threshold: Cosine = Field(description="below this to every speaker: a new one")
    same_speaker_threshold: Cosine = Field(description="above this two speakers are one")
    minimum_turn_seconds: Annotated[float, Field(ge=0.0, le=2.0)]
    minimum_pause_seconds: Annotated[float, Field(ge=0.0, le=2.0)]
    smoothing_seconds: Annotated[float, Field(gt=0.0, le=2.0)] = Field(
        description="speech that must fit another speaker alone before a change is believed"
    )
    speech_end_seconds: Annotated[float, Field(gt=0.0, le=2.0)] = Field(
        default=0.2, description="without speech for so long, speech has ended"
    )
    voice_lag_seconds: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        default=0.0,
        description="how much later than its frame a vector tells best who speaks there",
    )


class Measurement(_Value):
    """A diarization error rate that somebody measured, with what it was measured on."""

    data_set: str
    protocol: str
    scorer: str
    der_percent: Annotated[float, Field(ge=0.0)]
    missed_percent: Annotated[float, Field(ge=0.0)]
    false_alarm_percent: Annotated[float, Field(ge=0.0)]
    confusion_percent: Annotated[float, Field(ge=0.0)]


class Manifest(_Value):
    """All that is said of one model version; `manifest.json` in its package."""

    schema_version: Annotated[int, Field(ge=1, le=1)]
    model: ModelId
    version: SemanticVersion
    contract: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]*/[0-9]+\.[0-9]+$")]
    sample_rate_hertz: Annotated[int, Field(ge=SAMPLE_RATE_HERTZ, le=SAMPLE_RATE_HERTZ)]
    frame_samples: Annotated[int, Field(ge=80, le=4800)]
    window_samples: Annotated[int, Field(ge=1600, le=480_000)] | None = None
    hop_samples: Annotated[dict[LatencyMode, int], Field(min_length=1)]
    tracks: Annotated[int, Field(ge=1, le=8)]
    embedding_dim: Annotated[int, Field(ge=1, le=1024)]
    look_ahead_frames: Annotated[int, Field(ge=0, le=100)]
    context_seconds: Annotated[float, Field(gt=0.0, le=120.0)]
    embedding_space: SpaceName
    state_space: SpaceName | None = None
    operating_point: OperatingPoint
    measured: tuple[Measurement, ...] = ()
    training_data: tuple[str, ...] = ()
    teacher: str | None = None
    licence: Annotated[str, Field(min_length=1)]
    source_commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None
    files: dict[str, Digest]
    sizes: dict[str, FileSize] = Field(
        default_factory=dict, description="bytes of each file; demanded where signatures are"
    )

    @field_validator("sizes")
    @classmethod
    def _of_the_files(cls, sizes: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        files: dict[str, Digest] = info.data.get("files", {})
        if sizes and sizes.keys() != files.keys():
            odd = ", ".join(sorted(sizes.keys() ^ files.keys()))
            raise ValueError(f"states the size of every file and of no other; not so for {odd}")
        return sizes

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for mode, hop in self.hop_samples.items():
            if hop < self.frame_samples or hop % self.frame_samples:
                raise ValueError(
                    f"hop_samples.{mode}: {hop} is not a whole number of frames "
                    f"of {self.frame_samples} samples"
                )
        if self.window_samples is not None:
            span = max(self.hop_samples.values()) + self.look_ahead_frames * self.frame_samples
            if self.window_samples % self.frame_samples:
                raise ValueError("window_samples: not a whole number of frames")
            if self.window_samples < span:
                raise ValueError(
                    f"window_samples: {self.window_samples} do not hold a hop and the look-ahead, "
                    f"{span} samples"
                )
        return self

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads a manifest.

        Raises:
            PackageInvalid: With the first field at fault, what was seen and what is allowed.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "manifest"
            raise PackageInvalid(
                f"manifest.json: {field}: {first['msg']} (seen: {first['input']!r:.200})",
                reason="MANIFEST_INVALID",
                field=field,
            ) from error

    def to_json(self) -> str:
        """The manifest as it stands in a package: sorted by field, indented, newline at the end."""
        return self.model_dump_json(indent=2) + "\n"

    @property
    def resource_name(self) -> str:
        """`models/{model}/versions/{semver}`."""
        return f"models/{self.model}/versions/{self.version}"


def digest_of(content: bytes) -> str:
    """The SHA-256 digest of a content, as `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()
