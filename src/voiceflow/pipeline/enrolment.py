"""Voices that are known before they are heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from voiceflow.pipeline.gallery import MAXIMUM_WEIGHT_FRAMES
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.turns import Prototype


@dataclass(frozen=True, slots=True)
class EnrolledSpeaker:
    """Somebody whose voice is known before a word is said: the name is the label.

    Attributes:
        prototypes: One to `gallery.PROTOTYPES_PER_SPEAKER`, in the model's embedding space.
    """

    name: str
    prototypes: tuple[Prototype, ...]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The prototypes of all who are enrolled, as if they had been heard.

    Attributes:
        speakers: Whose each is, (voices,): numbers from 0 on, each at least once, in order.
        totals: Sums of unit embeddings, (voices, dim).
        frames: How many there are in each, (voices,).
    """

    speakers: tuple[int, ...]
    totals: FloatArray = field(repr=False)
    frames: FloatArray = field(repr=False)

    @classmethod
    def of(cls, speakers: Sequence[EnrolledSpeaker], dim: int, frame_seconds: float) -> Self:
        """Sums of as many frames as there was speech, a minute at most."""
        numbers = [number for number, speaker in enumerate(speakers) for _ in speaker.prototypes]
        prototypes = [one for speaker in speakers for one in speaker.prototypes]
        heard = np.array([one.speech_seconds / frame_seconds for one in prototypes], np.float32)
        frames = heard.clip(1.0, MAXIMUM_WEIGHT_FRAMES)
        units = np.array([one.values for one in prototypes], np.float32).reshape(-1, dim)
        return cls(tuple(numbers), units * frames[:, None], frames)

    @property
    def size(self) -> int:
        """How many speakers are enrolled: those of the first numbers."""
        return self.speakers[-1] + 1 if self.speakers else 0
