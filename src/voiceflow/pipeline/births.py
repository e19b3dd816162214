"""Evidence for voices that nobody is known by yet, until it is enough for a new speaker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.vectors import cosine

MAXIMUM_CANDIDATES = 4


@dataclass(slots=True)
class _Candidate:
    total: FloatArray = field(repr=False)  # (dim,) sum of unit embeddings
    frames: int


class Nursery:
    """A few voices heard too briefly to be named.

    Args:
        similarity: Cosine from which two pieces of speech are one voice.
    """

    def __init__(self, similarity: float) -> None:
        self._similarity = similarity
        self._candidates: list[_Candidate] = []

    def adopt(self, similarity: float) -> None:
        """Cosine from which two pieces of speech are one voice, from now on."""
        self._similarity = similarity

    def voices(self) -> list[tuple[FloatArray, int]]:
        """What is remembered: sum of unit embeddings, (dim,), and frames of each voice."""
        return [(candidate.total, candidate.frames) for candidate in self._candidates]

    def resume(self, voices: Iterable[tuple[FloatArray, int]]) -> None:
        """Goes on with what another one remembered."""
        self._candidates = [_Candidate(total, frames) for total, frames in voices]

    def remember(self, total: FloatArray, frames: int) -> None:
        """Keeps a piece of speech that became final without a name.

        Args:
            total: Sum of its unit frame embeddings, (dim,).
            frames: How many there are.
        """
        match = self._nearest(total)
        if match is not None:
            match.total = match.total + total
            match.frames += frames
            return
        self._candidates.append(_Candidate(total, frames))
        if len(self._candidates) > MAXIMUM_CANDIDATES:
            sizes = [candidate.frames for candidate in self._candidates]
            del self._candidates[sizes.index(min(sizes))]

    def recall(self, total: FloatArray) -> tuple[FloatArray, int]:
        """What is remembered of a voice: sum of embeddings, (dim,), and frames; 0 if nothing."""
        match = self._nearest(total)
        return (np.zeros_like(total), 0) if match is None else (match.total, match.frames)

    def forget(self, total: FloatArray) -> None:
        """Drops a voice: it has become a speaker."""
        match = self._nearest(total)
        self._candidates = [known for known in self._candidates if known is not match]

    def _nearest(self, total: FloatArray) -> _Candidate | None:
        if not self._candidates:
            return None
        cosines = [cosine(known.total, total) for known in self._candidates]
        best = int(np.argmax(cosines))
        return self._candidates[best] if cosines[best] >= self._similarity else None
