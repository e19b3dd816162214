"""What a stream knows of its speakers: learnt from final speech, and corrected now and then.

Everything is bounded: the speakers, the voices not yet named, the segments kept for re-clustering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from voiceflow.artifact import OperatingPoint
from voiceflow.pipeline.births import Nursery
from voiceflow.pipeline.enrolment import EnrolledSpeaker, Enrolment
from voiceflow.pipeline.gallery import Gallery
from voiceflow.pipeline.labels import SILENCE, UNNAMED
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.path import NOBODY_KNOWN
from voiceflow.pipeline.recluster import SegmentMemory
from voiceflow.pipeline.snapshot import KnownVoices, VoiceTable
from voiceflow.pipeline.turns import Prototype
from voiceflow.pipeline.vectors import unit

NEW_SPEAKER_SECONDS = 1.0
"""Clean speech of one voice before it gets a name."""

SPLIT_SECONDS = 3.0
"""Speech of one voice, taken for another's, that makes it a speaker of its own."""

SEGMENT_SECONDS = 2.0
"""Longest piece of speech that is kept as one segment."""

SHORTEST_SEGMENT_SECONDS = 0.4
"""Shorter speech says too little of a voice to learn from."""


@dataclass(slots=True)
class _Segment:
    speaker: int
    total: FloatArray = field(repr=False)  # (dim,)
    frames: int


class Acquaintance:
    """The speakers of one stream, and the voices that may become speakers.

    Args:
        point: Thresholds of the model.
        dim: Length of an embedding.
        frame_seconds: Length of a frame.
        maximum_speakers: How many there can be, those who are enrolled included.
        enrolled: Speakers who are known from the first frame on, by the numbers from 0 on.

    Attributes:
        dim: Length of an embedding.
    """

    def __init__(
        self,
        point: OperatingPoint,
        dim: int,
        frame_seconds: float,
        maximum_speakers: int,
        enrolled: Sequence[EnrolledSpeaker],
    ) -> None:
        self.dim = dim
        self._frame_seconds = frame_seconds
        self._same_speaker_threshold = point.same_speaker_threshold
        self._gallery = Gallery(maximum_speakers, dim)
        self._nursery = Nursery(point.same_speaker_threshold)
        enrolment = Enrolment.of(enrolled, dim, frame_seconds)
        self._memory = SegmentMemory(dim, enrolment)
        self._segment = _Segment(SILENCE, np.zeros(dim, np.float32), 0)
        if enrolment.size:
            numbers = range(enrolment.size)
            self._gallery.resume(numbers, enrolment.speakers, enrolment.totals, enrolment.frames)

    def adopt(self, point: OperatingPoint) -> None:
        """Goes on with other thresholds in the same embedding space."""
        self._same_speaker_threshold = point.same_speaker_threshold
        self._nursery.adopt(point.same_speaker_threshold)

    def known(self) -> KnownVoices:
        """What is known so far; of the path through the held frames it says nothing."""
        aliases, owners, prototypes, weights = self._gallery.known()
        remembered, segments, segment_frames = self._memory.known()
        enrolment = self._memory.enrolment
        unnamed = self._nursery.voices()
        rows = [total for total, _ in unnamed] + [self._segment.total]
        counts = [frames for _, frames in unnamed] + [self._segment.frames]
        return KnownVoices(
            table=VoiceTable.of(
                np.concatenate([prototypes, np.array(rows), segments, enrolment.totals]),
                np.concatenate(
                    [weights, np.array(counts, np.float32), segment_frames, enrolment.frames]
                ),
            ),
            aliases=tuple(aliases),
            prototype_speakers=tuple(owners),
            unnamed=len(unnamed),
            segment_speaker=self._segment.speaker,
            remembered_speakers=tuple(remembered),
            path_totals=(),
            last_final_state=NOBODY_KNOWN,
            seconds_to_recluster=0.0,
            enrolled_speakers=enrolment.speakers,
        )

    def resume(self, known: KnownVoices, scale: float) -> None:
        """Goes on with what another one knew.

        Args:
            known: In the same embedding space.
            scale: Frames for each one of the other's.
        """
        totals = known.table.totals(scale)
        frames = np.array(known.table.frames, np.float32) * np.float32(scale)
        named = len(known.prototype_speakers)
        at = named + known.unnamed
        heard = at + 1 + len(known.remembered_speakers)
        self._gallery.resume(
            known.aliases, known.prototype_speakers, totals[:named], frames[:named]
        )
        self._nursery.resume((totals[row], round(float(frames[row]))) for row in range(named, at))
        self._segment = _Segment(known.segment_speaker, totals[at], round(float(frames[at])))
        self._memory.resume(
            known.remembered_speakers, totals[at + 1 : heard], frames[at + 1 : heard]
        )
        self._memory.enrolment = Enrolment(known.enrolled_speakers, totals[heard:], frames[heard:])

    def begin(self, voices: Sequence[tuple[FloatArray, float]], enrolled: int) -> None:
        """Begins with speakers who were found again.

        Args:
            voices: Sums of unit embeddings, (dim,), and their frames, by the speakers' numbers.
            enrolled: So many of them, the first, were enrolled; what was found stands for that.
        """
        numbers = range(len(voices))
        totals = np.zeros((len(voices), self.dim), np.float32)
        for number, (total, _) in enumerate(voices):
            totals[number] = total
        weights = np.array([frames for _, frames in voices], np.float32)
        self._gallery.resume(numbers, numbers, totals, weights)
        self._memory.resume(numbers[enrolled:], totals[enrolled:], weights[enrolled:])
        self._memory.enrolment = Enrolment(
            tuple(numbers[:enrolled]), totals[:enrolled], weights[:enrolled]
        )

    @property
    def size(self) -> int:
        """Speakers so far, those merged into another included."""
        return self._gallery.size

    @property
    def enrolled(self) -> int:
        """How many of them were enrolled."""
        return self._memory.enrolment.size

    @property
    def is_full(self) -> bool:
        """Whether there can be no further speaker."""
        return self._gallery.size >= self._gallery.maximum_speakers

    def live(self) -> list[int]:
        """Speakers that have not been merged into another."""
        return self._gallery.live()

    def resolve(self, speaker: int) -> int:
        """The speaker that this one has been merged into, or itself."""
        return self._gallery.resolve(speaker)

    def prototypes(self, speaker: int) -> tuple[Prototype, ...]:
        """The vectors that stand for a speaker."""
        return self._gallery.prototypes(speaker, self._frame_seconds)

    def scores(self, embedding: FloatArray) -> FloatArray:
        """Cosine with each speaker's nearest prototype: (frames, dim) to (frames, speakers)."""
        return self._gallery.scores(embedding)

    def hear(self, label: int, embedding: FloatArray) -> None:
        """Takes a stretch of final frames of one label: those in which one voice alone speaks.

        Args:
            label: A speaker, a voice without a name, or silence.
            embedding: Unit vectors, (frames, dim).
        """
        segment = self._segment
        if label == SILENCE:
            if segment.speaker == UNNAMED:  # who speaks after a pause may be somebody else
                self.close()
            return
        # What has no name yet is remembered at once: a second of it makes a speaker.
        longest = SHORTEST_SEGMENT_SECONDS if segment.speaker == UNNAMED else SEGMENT_SECONDS
        if label != segment.speaker or segment.frames >= self._frames_in(longest):
            self.close()
            segment.speaker = label
        segment.total = segment.total + embedding.sum(axis=0)
        segment.frames += len(embedding)

    def close(self) -> None:
        """Learns the segment at hand."""
        segment = self._segment
        if segment.frames >= self._frames_in(SHORTEST_SEGMENT_SECONDS):
            if segment.speaker >= 0:
                speaker = self._gallery.resolve(segment.speaker)
                self._gallery.learn(speaker, segment.total, segment.frames)
                self._memory.add(speaker, segment.total, segment.frames)
            elif segment.speaker == UNNAMED:
                self._nursery.remember(segment.total, segment.frames)
        segment.total = np.zeros_like(segment.total)
        segment.frames = 0

    def may_bear(self, frames: int) -> bool:
        """Whether so many frames of somebody without a name may make a speaker."""
        return frames >= self._frames_in(SHORTEST_SEGMENT_SECONDS) and not self.is_full

    def bear(self, embedding: FloatArray, threshold: float) -> bool:
        """Makes a speaker of the voice heard last, if nobody is known by it and it was enough.

        It is asked where `may_bear` says so.

        Args:
            embedding: Unit vectors of the frames that are nobody's, (frames, dim), in their order;
                there may be an earlier voice among them that has no name either.
            threshold: Cosine from which a voice is a known one.
        """
        latest = self._frames_in(SHORTEST_SEGMENT_SECONDS)
        seed = unit(embedding[-latest:].sum(axis=0))  # (dim,)
        alike = embedding @ seed >= threshold  # (frames,)
        total = embedding[alike].sum(axis=0)  # (dim,)
        known, known_frames = self._nursery.recall(total)
        total, frames = total + known, int(alike.sum()) + known_frames
        scores = self._gallery.scores(unit(total)[None])
        if frames < self._frames_in(NEW_SPEAKER_SECONDS) or (scores >= threshold).any():
            return False
        self._nursery.forget(total)
        self._gallery.add(total, frames)
        return True

    def correct(self, minimum_speakers: int) -> tuple[list[tuple[int, int]], bool]:
        """Looks at all that was heard as a whole.

        Returns:
            Pairs (source, target) of speakers found to be one, of whom so many are left at least,
            and whether anybody is known otherwise than before.
        """
        correction = self._memory.correct(
            self._same_speaker_threshold,
            range(self._gallery.size, self._gallery.maximum_speakers),
            self._frames_in(SPLIT_SECONDS),
        )
        merges = []
        for source, target in correction.merges:
            if len(self._gallery.live()) > max(minimum_speakers, 1):
                self._gallery.merge(source, target)
                self._memory.rename(source, target)
                merges.append((source, target))
        for speaker, voices in correction.voices.items():
            self._gallery.replace(speaker, voices)
        for total, frames in correction.newcomers.values():
            self._gallery.add(total, frames)
        return merges, bool(correction.voices)

    def _frames_in(self, seconds: float) -> int:
        return round(seconds / self._frame_seconds)
