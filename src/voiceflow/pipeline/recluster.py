"""Looks at a stream's speech as a whole, now and then, and corrects what drifted.

Segments of final speech are kept as sums of embeddings, a bounded number of them. Clustered all
together (average linkage on cosine distance, cut where two speakers count as one) they show which
two labels are one person, what of a label's speech is really of one voice, and which other voice
was taken for it: a speaker from then on.

Enrolled voices are clustered with them and never change: what an enrolled speaker has said counts
as that voice where it lies with what was enrolled, however much there is of anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from voiceflow.pipeline.enrolment import Enrolment
from voiceflow.pipeline.model import FloatArray

MAXIMUM_SEGMENTS = 96

MERGE_SHARE = 0.7
"""Share of a speaker's speech that must lie in another's cluster for the two to be one."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a re-clustering found.

    Attributes:
        merges: (source, target) pairs; the target appeared first, or is enrolled.
        voices: By speaker that stays, for each prototype the sum of embeddings, (dim,), and the
            frames of the speech that is its own.
        newcomers: Likewise of each voice that had been taken for others, by its new number.
    """

    merges: tuple[tuple[int, int], ...] = ()
    voices: dict[int, list[tuple[FloatArray, float]]] = field(default_factory=dict, repr=False)
    newcomers: dict[int, tuple[FloatArray, float]] = field(default_factory=dict, repr=False)


class SegmentMemory:
    """Sums of embeddings of final speech by speaker; when full, like joins like.

    Args:
        dim: Length of an embedding.
        enrolment: Voices that were known before; they take no place among the others.
    """

    def __init__(self, dim: int, enrolment: Enrolment) -> None:
        self._totals = np.zeros((MAXIMUM_SEGMENTS, dim), np.float32)
        self._frames = np.zeros(MAXIMUM_SEGMENTS, np.float32)
        self._speakers = np.zeros(MAXIMUM_SEGMENTS, np.intp)
        self._size = 0
        self.enrolment = enrolment

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

    def correct(
        self, same_speaker_threshold: float, free_numbers: range, least_frames: float
    ) -> Correction:
        """Clusters everything that is kept.

        Args:
            same_speaker_threshold: Cosine from which two pieces of speech are one voice.
            free_numbers: For voices that were taken for others.
            least_frames: How much speech of such a voice makes a speaker.
        """
        heard = slice(0, self._size)
        if not self._size or self._size + len(self.enrolment.speakers) < 2:
            return Correction()
        speakers = np.concatenate([self._speakers[heard], self.enrolment.speakers]).astype(np.intp)
        totals = np.concatenate([self._totals[heard], self.enrolment.totals])
        frames = np.concatenate([self._frames[heard], self.enrolment.frames])
        clusters = _clusters(totals, same_speaker_threshold)

        def voice(speaker: int, home: int) -> tuple[FloatArray, float]:
            own = (speakers == speaker) & (clusters == home)
            return totals[own].sum(axis=0), float(frames[own].sum())

        enrolled = zip(self.enrolment.speakers, clusters[self._size :].tolist(), strict=True)
        homes = sorted({*enrolled})
        sharing = Counter(home for _, home in homes)
        # Home cluster -> the speaker that appeared first; nobody's where two are enrolled in it.
        kept = {home: speaker for speaker, home in homes if sharing[home] == 1}
        voices: dict[int, list[tuple[FloatArray, float]]] = {}
        for speaker, home in homes:
            voices.setdefault(speaker, []).append(voice(speaker, home))
        merges = []
        taken = {home for _, home in homes}
        born = speakers[speakers >= self.enrolment.size]
        for speaker in np.unique(born).tolist():
            weight = np.bincount(clusters, frames * (speakers == speaker))
            home, share = int(weight.argmax()), float(weight.max() / weight.sum())
            taken.add(home)
            if share >= MERGE_SHARE and home in kept:
                merges.append((speaker, kept[home]))
                continue
            if share >= MERGE_SHARE:
                kept[home] = speaker
            voices[speaker] = [voice(speaker, home)]
        strangers = (
            clusters == cluster for cluster in np.unique(clusters).tolist() if cluster not in taken
        )
        long_enough = (own for own in strangers if frames[own].sum() >= least_frames)
        newcomers = {}
        for number, own in zip(free_numbers, long_enough, strict=False):
            newcomers[number] = totals[own].sum(axis=0), float(frames[own].sum())
            self._speakers[heard][own[heard]] = number
        return Correction(tuple(merges), voices, newcomers)

    def _join_closest(self) -> None:
        """Joins the two most similar segments of one speaker, which frees the last place."""
        units = _units(self._totals[: self._size])
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


def _units(totals: FloatArray) -> FloatArray:
    units: FloatArray = totals / np.linalg.norm(totals, axis=1, keepdims=True).clip(1e-9)
    return units


def _clusters(totals: FloatArray, same_speaker_threshold: float) -> NDArray[np.intp]:
    tree = linkage(_units(totals), "average", "cosine")
    return fcluster(tree, 1.0 - same_speaker_threshold, "distance").astype(np.intp)
