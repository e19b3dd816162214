"""Whose voices a client says that it knows: pure checks, each naming the field at fault.

Names and voices are personal data: no message holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from voiceflow.artifact import Manifest
from voiceflow.errors import InvalidInput
from voiceflow.pipeline.enrolment import EnrolledSpeaker
from voiceflow.pipeline.gallery import PROTOTYPES_PER_SPEAKER
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.naming import why_no_name
from voiceflow.pipeline.turns import Prototype
from voiceflow.pipeline.vectors import unit


@dataclass(frozen=True, slots=True)
class SentPrototype:
    """A voice as the client sent it, nothing of it checked; `values` is not copied."""

    embedding_space: str
    values: Sequence[float] = field(repr=False)
    speech_seconds: float


@dataclass(frozen=True, slots=True)
class SentSpeaker:
    """Somebody whose voice the client sent, nothing of it checked."""

    name: str = field(repr=False)
    prototypes: tuple[SentPrototype, ...]


@dataclass(frozen=True, slots=True)
class VoiceSpace:
    """What a model's vectors mean.

    Attributes:
        name: Of the embedding space.
        dim: Length of a vector.
        same_speaker_threshold: Cosine from which two pieces of speech are one voice.
    """

    name: str
    dim: int
    same_speaker_threshold: float

    @classmethod
    def of(cls, manifest: Manifest) -> VoiceSpace:
        """A model's."""
        threshold = manifest.operating_point.same_speaker_threshold
        return cls(manifest.embedding_space, manifest.embedding_dim, threshold)

    @property
    def alike_threshold(self) -> float:
        """Cosine from which two people cannot be told apart.

        Half way to one and the same vector: enrolled voices are whole seconds of clear speech, and
        two people who sound alike must not be refused.
        """
        return (1.0 + self.same_speaker_threshold) / 2

    def has(self, speakers: Iterable[SentSpeaker]) -> bool:
        """Whether all prototypes say that they are of this space."""
        return all(one.embedding_space == self.name for who in speakers for one in who.prototypes)


def check_enrolled(
    speakers: Sequence[SentSpeaker], space: VoiceSpace, maximum_speakers: int
) -> tuple[EnrolledSpeaker, ...]:
    """What a stream can be begun with.

    Args:
        speakers: As sent.
        space: The model's.
        maximum_speakers: Of the stream.

    Raises:
        InvalidInput: They cannot be enrolled.
    """
    if len(speakers) > maximum_speakers:
        raise _invalid(
            f"more than {maximum_speakers} enrolled speakers; the stream has so many at most",
            reason="ENROLLED_SPEAKERS_TOO_MANY",
        )
    enrolled: list[EnrolledSpeaker] = []
    for index, speaker in enumerate(speakers):
        path = f"[{index}]"
        _check_name(speaker.name, {one.name for one in enrolled}, f"{path}.name")
        if not 1 <= len(speaker.prototypes) <= PROTOTYPES_PER_SPEAKER:
            raise _invalid(
                f"allowed are 1 to {PROTOTYPES_PER_SPEAKER} prototypes of one speaker",
                reason="PROTOTYPE_COUNT_INVALID",
                path=f"{path}.prototypes",
            )
        prototypes = tuple(
            _prototype(one, space, f"{path}.prototypes[{number}]")
            for number, one in enumerate(speaker.prototypes)
        )
        enrolled.append(EnrolledSpeaker(speaker.name, prototypes))
    _check_apart(enrolled, space)
    return tuple(enrolled)


_LENGTH_TOLERANCE: Final = 0.01
"""Of a unit vector that was rounded to few digits."""


def _check_name(name: str, taken: set[str], path: str) -> None:
    what = why_no_name(name)
    if name in taken:
        what = "a name that another enrolled speaker has; each is given once"
    if what:
        raise _invalid(what, reason="ENROLLED_NAME_INVALID", path=path)


def _prototype(sent: SentPrototype, space: VoiceSpace, path: str) -> Prototype:
    if sent.embedding_space != space.name:
        raise _invalid(
            f"a prototype of the embedding space {sent.embedding_space[:200]!r}; this model has"
            f" {space.name!r}, and means other things by its vectors: enrol with it",
            reason="EMBEDDING_SPACE_MISMATCH",
            path=f"{path}.embedding_space",
        )
    if len(sent.values) != space.dim:
        raise _invalid(
            f"a prototype of {len(sent.values)} values; those of the model have {space.dim}",
            reason="PROTOTYPE_INVALID",
            path=f"{path}.values",
        )
    values = np.array(sent.values, np.float32)
    length = float(np.linalg.norm(values.astype(np.float64)))
    if not abs(length - 1.0) <= _LENGTH_TOLERANCE:  # NaN is not either
        raise _invalid(
            "a prototype that is no vector of unit length",
            reason="PROTOTYPE_INVALID",
            path=f"{path}.values",
        )
    if sent.speech_seconds <= 0.0:
        raise _invalid(
            f"{sent.speech_seconds:g} s of speech behind a prototype; it is more than none",
            reason="PROTOTYPE_INVALID",
            path=f"{path}.speech",
        )
    return Prototype(unit(values), sent.speech_seconds)


def _check_apart(enrolled: Sequence[EnrolledSpeaker], space: VoiceSpace) -> None:
    """Refuses two names for one voice: turns would go to either by chance."""
    voices = [_voices(one) for one in enrolled]
    for second, two in enumerate(voices):
        for first, one in enumerate(voices[:second]):
            if float((one @ two.T).max()) >= space.alike_threshold:
                raise _invalid(
                    f"the voice of enrolled_speakers[{first}] under another name; of people who"
                    " cannot be told apart enrol one",
                    reason="ENROLLED_VOICES_ALIKE",
                    path=f"[{second}].prototypes",
                )


def _voices(speaker: EnrolledSpeaker) -> FloatArray:
    """Unit vectors, (prototypes, dim)."""
    return np.array([one.values for one in speaker.prototypes])


def _invalid(message: str, *, reason: str, path: str = "") -> InvalidInput:
    return InvalidInput(message, reason=reason, field=f"config.enrolled_speakers{path}")
