"""Looks at a stream's speech as a whole, now and then, and corrects what drifted.

Segments of final speech are kept as sums of embeddings, a bounded number of them. Clustered all
together (average linkage on cosine distance, cut where two speakers count as one) they show which
two labels are one person, and what of a label's speech is really of one voice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from voiceflow.pipeline.model import FloatArray

MAXIMUM_SEGMENTS = 96

MERGE_SHARE = 0.7
"""Share of a speaker's speech that must lie in another's cluster for the two to be one."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a re-clustering found.

    Attributes:
        merges: (source, target) pairs; the target appeared first.
        voices: By speaker that stays, the sum of embeddings, (dim,), and the frames of the speech
            that is its own.
    """

    merges: tuple[tuple[int, int], ...]
    voices: dict[int, tuple[FloatArray, float]] = field(repr=False)


class SegmentMemory:
    """Sums of embeddings of final speech by speaker; when full, like joins like.

    Args:
        dim: Length of an embedding.
    """

    def __init__(self, dim: int) -> None:
        self._totals = np.zeros((MAXIMUM_SEGMENTS, dim), np.float32)
        self._frames = np.zeros(MAXIMUM_SEGMENTS, np.float32)
        self._speakers = np.zeros(MAXIMUM_SEGMENTS, np.intp)
        self._size = 0

    def add(self, speaker: int, total: FloatArray, frames: float) -> None:
        """Keeps one segment: sum of unit frame embeddings, (dim,), of a number of frames."""
        if self._size == MAXIMUM_SEGMENTS:
            self._join_closest()
        self._totals[self._size] = total
        self._frames[self._size] = frames
        self._speakers[self._size] = speaker
        self._size += 1

    def known(self) -> tuple[list[int], FloatArray, FloatArray]:
        """What is kept: (segments,) speakers, (segments, dim) sums, (segments,) frames."""
        size = self._size
        return self._speakers[:size].tolist(), self._totals[:size], self._frames[:size]

    def resume(self, speakers: Sequence[int], totals: FloatArray, frames: FloatArray) -> None:
        """Goes on with what another one kept."""
        self._size = len(speakers)
        self._speakers[: self._size] = speakers
        self._totals[: self._size] = totals
        self._frames[: self._size] = frames

    def rename(self, source: int, target: int) -> None:
        """Gives a merged speaker's segments to the other."""
        self._speakers[: self._size][self._speakers[: self._size] == source] = target

    def correct(self, same_speaker_threshold: float) -> Correction:
        """Clusters everything that is kept."""
        speakers = self._speakers[: self._size]
        if self._size < 2:
            return Correction((), {})
        clusters = self._clusters(same_speaker_threshold)
        homes, shares = {}, {}
        for speaker in np.unique(speakers).tolist():
            weight = np.bincount(clusters, self._frames[: self._size] * (speakers == speaker))
            homes[speaker] = int(weight.argmax())
            shares[speaker] = float(weight.max() / weight.sum())
        merges = []
        kept: dict[int, int] = {}  # home cluster -> the speaker that appeared first
        voices = {}
        for speaker, home in homes.items():
            if shares[speaker] >= MERGE_SHARE and home in kept:
                merges.append((speaker, kept[home]))
                continue
            if shares[speaker] >= MERGE_SHARE:
                kept[home] = speaker
            own = (speakers == speaker) & (clusters == home)
            frames = float(self._frames[: self._size][own].sum())
            voices[speaker] = (self._totals[: self._size][own].sum(axis=0), frames)
        return Correction(tuple(merges), voices)

    def _units(self) -> FloatArray:
        totals = self._totals[: self._size]
        units: FloatArray = totals / np.linalg.norm(totals, axis=1, keepdims=True).clip(1e-9)
        return units

    def _clusters(self, same_speaker_threshold: float) -> NDArray[np.intp]:
        tree = linkage(self._units(), "average", "cosine")
        return fcluster(tree, 1.0 - same_speaker_threshold, "distance").astype(np.intp)

    def _join_closest(self) -> None:
        """Joins the two most similar segments of one speaker, which frees the last place."""
        units = self._units()
        cosines = units @ units.T
        cosines[self._speakers[:, None] != self._speakers[None, :]] = -2.0
        np.fill_diagonal(cosines, -2.0)
        first, second = sorted(divmod(int(cosines.argmax()), self._size))
        self._totals[first] += self._totals[second]
        self._frames[first] += self._frames[second]
        last = self._size - 1
        for array in (self._totals, self._frames, self._speakers):
            array[second] = array[last]
        self._size = last
