"""The speakers of one stream: a few prototypes each, learnt as they speak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.turns import Prototype
from voiceflow.pipeline.vectors import unit, with_room

PROTOTYPES_PER_SPEAKER = 2

MAXIMUM_WEIGHT_FRAMES = 1500.0
"""A minute at 40 ms a frame: past it old speech fades, so that a voice may drift."""

SECOND_PROTOTYPE_COSINE = 0.35
"""Speech of a known speaker further than this from all of its prototypes gets one of its own."""

_FIRST_SPEAKERS = 2
"""So many have a place from the first; most streams never have twenty."""


class Gallery:
    """Prototypes by speaker.

    Sums of unit frame embeddings are kept; their direction is the prototype, and their weight,
    capped, says how far new speech can turn it.

    Args:
        maximum_speakers: How many speakers there can be.
        dim: Length of an embedding.
    """

    def __init__(self, maximum_speakers: int, dim: int) -> None:
        self.maximum_speakers = maximum_speakers
        self._dim = dim
        self._clear()

    def resume(
        self,
        aliases: Sequence[int],
        owners: Sequence[int],
        totals: FloatArray,
        weights: FloatArray,
    ) -> None:
        """Goes on with the speakers of another one.

        Args:
            aliases: By number; may be more than there can be, since a client may ask for fewer.
            owners: Whose each prototype is, (prototypes,).
            totals: The prototypes' sums, (prototypes, dim).
            weights: Their weights, (prototypes,).
        """
        self._clear()
        self.size = len(aliases)
        self._make_room(self.size)
        self._aliases = list(aliases)
        for speaker, total, weight in zip(owners, totals, weights.tolist(), strict=True):
            self._set(speaker, int(np.count_nonzero(self._weights[speaker])), total, weight)

    def known(self) -> tuple[list[int], list[int], FloatArray, FloatArray]:
        """All speakers, as `resume` takes them."""
        owners, slots = np.nonzero(self._weights[: self.size])
        return (
            self._aliases.copy(),
            owners.tolist(),
            self._sums[owners, slots],
            self._weights[owners, slots],
        )

    def _clear(self) -> None:
        self._sums = np.zeros((0, PROTOTYPES_PER_SPEAKER, self._dim), np.float32)
        self._weights = np.zeros((0, PROTOTYPES_PER_SPEAKER), np.float32)
        self._units = np.zeros_like(self._sums)
        self._aliases = []
        self.size = 0

    def _make_room(self, speakers: int) -> None:
        if speakers <= len(self._weights):
            return
        places = max(speakers, 2 * len(self._weights), _FIRST_SPEAKERS)
        self._sums = with_room(self._sums, places)
        self._weights = with_room(self._weights, places)
        self._units = with_room(self._units, places)

    def scores(self, embedding: FloatArray) -> FloatArray:
        """Cosine with each speaker's nearest prototype.

        Args:
            embedding: Unit vectors, (frames, dim).

        Returns:
            (frames, speakers); a merged speaker gets -1, since nobody is called by it any more.
        """
        if not self.size:
            return np.zeros((len(embedding), 0), np.float32)
        units = self._units[: self.size]  # (speakers, prototypes, dim)
        flat = embedding @ units.reshape(-1, units.shape[2]).T
        unused = self._weights[: self.size].ravel() == 0.0  # (speakers * prototypes,)
        np.copyto(flat, np.float32(-1.0), where=unused)
        slots = range(PROTOTYPES_PER_SPEAKER)
        first, second = (flat[:, slot::PROTOTYPES_PER_SPEAKER] for slot in slots)
        best: FloatArray = np.maximum(first, second)
        return best

    def add(self, total: FloatArray, frames: float) -> int:
        """Takes in a new speaker by the sum of its frame embeddings, (dim,); returns its number."""
        speaker = self.size
        self.size += 1
        self._make_room(self.size)
        self._aliases.append(speaker)
        self._set(speaker, 0, total, frames)
        return speaker

    def learn(self, speaker: int, total: FloatArray, frames: float) -> None:
        """Adds speech of a known speaker: to the nearest prototype, or as one of its own."""
        mean = unit(total)
        used = self._weights[speaker] > 0.0
        cosines = np.where(used, self._units[speaker] @ mean, np.float32(-2.0))
        nearest = int(cosines.argmax())
        if cosines[nearest] < SECOND_PROTOTYPE_COSINE and not used.all():
            self._set(speaker, int(used.argmin()), total, frames)
            return
        weight = float(self._weights[speaker, nearest])
        fade = min(1.0, max(0.0, MAXIMUM_WEIGHT_FRAMES - frames) / weight)
        self._set(
            speaker,
            nearest,
            self._sums[speaker, nearest] * np.float32(fade) + total,
            weight * fade + frames,
        )

    def merge(self, source: int, target: int) -> None:
        """Makes `source` an alias of `target`, which takes over what was learnt."""
        for slot in np.flatnonzero(self._weights[source]):
            self.learn(target, self._sums[source, slot], float(self._weights[source, slot]))
        self._weights[source] = 0.0
        self._aliases[source] = target

    def resolve(self, speaker: int) -> int:
        """The speaker that this one has been merged into, or itself."""
        while self._aliases[speaker] != speaker:
            speaker = self._aliases[speaker]
        return speaker

    def live(self) -> list[int]:
        """Speakers that are nobody's alias."""
        return [speaker for speaker in range(self.size) if self._aliases[speaker] == speaker]

    def replace(self, speaker: int, voices: Sequence[tuple[FloatArray, float]]) -> None:
        """Learns a speaker anew.

        Args:
            speaker: The number.
            voices: For each prototype, the sum of frame embeddings, (dim,), and how many there are.
        """
        self._weights[speaker] = 0.0
        for slot, (total, frames) in enumerate(voices):
            self._set(speaker, slot, total, min(frames, MAXIMUM_WEIGHT_FRAMES))

    def prototypes(self, speaker: int, frame_seconds: float) -> tuple[Prototype, ...]:
        """Copies of the vectors that stand for a speaker."""
        return tuple(
            Prototype(self._units[speaker, slot].copy(), float(weight) * frame_seconds)
            for slot, weight in enumerate(self._weights[speaker])
            if weight > 0.0
        )

    def _set(self, speaker: int, slot: int, total: FloatArray, weight: float) -> None:
        self._sums[speaker, slot] = total
        self._weights[speaker, slot] = weight
        self._units[speaker, slot] = unit(total)
