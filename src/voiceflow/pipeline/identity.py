"""Who speaks: gives the frames of one stream to speakers that it comes to know.

Everything is bounded: the frames that may still change, the speakers, the voices not yet named, the
segments kept for re-clustering. Nothing depends on wall time or on other streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import OperatingPoint
from voiceflow.pipeline.activity import RANKS, Voices
from voiceflow.pipeline.births import Nursery
from voiceflow.pipeline.enrolment import EnrolledSpeaker, Enrolment
from voiceflow.pipeline.gallery import Gallery
from voiceflow.pipeline.labels import SILENCE, UNNAMED, Labels, runs
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.path import NOBODY_KNOWN, SpeakerPath
from voiceflow.pipeline.recluster import SegmentMemory
from voiceflow.pipeline.snapshot import KnownVoices, VoiceTable
from voiceflow.pipeline.turns import Prototype
from voiceflow.pipeline.vectors import unit

NEW_SPEAKER_SECONDS = 1.0
"""Clean speech of one voice before it gets a name."""

RECLUSTER_SECONDS = 15.0
"""Audio between two looks at the stream as a whole."""

SEGMENT_SECONDS = 2.0
"""Longest piece of speech that is kept as one segment."""

SHORTEST_SEGMENT_SECONDS = 0.4
"""Shorter speech says too little of a voice to learn from."""

OVERLAP_WEIGHT = 0.5
"""How far the loudest voice's embedding is believed while another one speaks."""

FULL_GALLERY_MARGIN = 0.15
"""How much further a voice may be from every speaker when no new one can be made."""

EAGER_MARGIN = 0.1
"""How much closer to a speaker a voice may be and still be new, while speakers are missing."""

CONFIDENCE_SLOPE = 8.0
"""Of the logistic function from a margin in cosine to a confidence."""


@dataclass(frozen=True, slots=True)
class Named:
    """Labels of the frames that may still change, (frames,) each."""

    first: Labels
    second: Labels


@dataclass(slots=True)
class _Segment:
    speaker: int
    total: FloatArray = field(repr=False)  # (dim,)
    frames: int


class Identity:
    """Labels frames as they come, and learns from those that are final.

    Args:
        point: Thresholds of the model.
        dim: Length of an embedding.
        frame_seconds: Length of a frame.
        minimum_speakers: How many there are at least, 0 if not known.
        maximum_speakers: How many there can be, those who are enrolled included.
        enrolled: Speakers who are known from the first frame on, by the numbers from 0 on.
    """

    def __init__(
        self,
        point: OperatingPoint,
        dim: int,
        frame_seconds: float,
        minimum_speakers: int,
        maximum_speakers: int,
        enrolled: Sequence[EnrolledSpeaker] = (),
    ) -> None:
        self._point = point
        self._frame_seconds = frame_seconds
        self._minimum_speakers = minimum_speakers
        self._gallery = Gallery(maximum_speakers, dim)
        self._path = SpeakerPath(switch_cost=point.smoothing_seconds / frame_seconds)
        self._lag_frames = self._frames_in(point.voice_lag_seconds)
        self._unsettled_frames = 0  # the newest, described by the last vector there is
        self._nursery = Nursery(point.same_speaker_threshold)
        enrolment = Enrolment.of(enrolled, dim, frame_seconds)
        self._memory = SegmentMemory(dim, enrolment)
        self._heard = self._voices = Voices(
            np.zeros((0, RANKS), np.float32), np.zeros((0, RANKS, dim), np.float32)
        )
        self._named: Named | None = None
        self._states = np.zeros(0, np.intp)
        self._segment = _Segment(SILENCE, np.zeros(dim, np.float32), 0)
        self._last_final_state = NOBODY_KNOWN
        self._final_frames = 0
        self._next_recluster_frame = self._frames_in(RECLUSTER_SECONDS)
        if enrolment.size:
            numbers = range(enrolment.size)
            self._gallery.resume(numbers, enrolment.speakers, enrolment.totals, enrolment.frames)
            self._restart_path()

    def adopt(self, point: OperatingPoint) -> None:
        """Goes on with the frames of a model with other thresholds in the same embedding space."""
        self._point = point
        self._path.adopt(point.smoothing_seconds / self._frame_seconds)
        self._lag_frames = self._frames_in(point.voice_lag_seconds)
        self._nursery.adopt(point.same_speaker_threshold)

    def known(self) -> KnownVoices:
        """What is known so far."""
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
            path_totals=tuple(self._path.totals().tolist()),
            last_final_state=self._last_final_state,
            next_recluster_seconds=self._next_recluster_frame * self._frame_seconds,
            enrolled_speakers=enrolment.speakers,
        )

    def resume(self, known: KnownVoices, final_frames: int, scale: float) -> None:
        """Goes on with what another one knew.

        Args:
            known: In the same embedding space.
            final_frames: Frames of the stream before the next that is given.
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
        self._path.resume(np.array(known.path_totals, np.float32) * np.float32(scale))
        self._last_final_state = known.last_final_state
        self._final_frames = final_frames
        self._next_recluster_frame = self._frames_in(known.next_recluster_seconds)

    def begin(
        self,
        voices: Sequence[tuple[FloatArray, float]],
        enrolled: int,
        last: int,
        final_frames: int,
    ) -> None:
        """Begins in the midst of a stream, with speakers who were found again.

        Args:
            voices: Sums of unit embeddings, (dim,), and their frames, by the speakers' numbers.
            enrolled: So many of them, the first, were enrolled; what was found stands for that.
            last: Number of the speaker of the last final frame, or a label that is none.
            final_frames: Frames of the stream before the next that is given.
        """
        numbers = range(len(voices))
        totals = np.zeros((len(voices), self._segment.total.size), np.float32)
        for number, (total, _) in enumerate(voices):
            totals[number] = total
        weights = np.array([frames for _, frames in voices], np.float32)
        self._gallery.resume(numbers, numbers, totals, weights)
        self._memory.resume(numbers[enrolled:], totals[enrolled:], weights[enrolled:])
        self._memory.enrolment = Enrolment(
            tuple(numbers[:enrolled]), totals[:enrolled], weights[:enrolled]
        )
        self._last_final_state = max(last, UNNAMED) + 1
        self._path.restart(self._gallery.size + 1, self._last_final_state)
        self._final_frames = final_frames
        self._next_recluster_frame = final_frames + self._frames_in(RECLUSTER_SECONDS)

    @property
    def held_frames(self) -> int:
        """Frames that may still change."""
        return len(self._voices.activity)

    @property
    def born_speakers(self) -> int:
        """Speakers so far, those merged into another included."""
        return self._gallery.size

    def extend(self, voices: Voices) -> None:
        """Takes the next frames; a voice that has been heard for long enough becomes a speaker."""
        settled = self.held_frames - self._unsettled_frames
        self._named = None
        self._heard = Voices(
            np.concatenate([self._heard.activity, voices.activity]),
            np.concatenate([self._heard.embedding, voices.embedding]),
        )
        self._voices = self._heard.described_later(self._lag_frames)
        self._path.retract(self._unsettled_frames)
        self._unsettled_frames = min(self._lag_frames, self.held_frames)
        self._follow(self._voices.since(settled))
        self._bear()

    def labels(self) -> Named:
        """Labels of all frames that may still change, as seen now."""
        if self._named is None:
            self._named = self._name_frames()
        return self._named

    def confidence(self, start: int, end: int) -> float:
        """Of the first labels of a span of frames: the logistic margin to the next best, 0 to 1."""
        states = self._states[start:end]
        scores = self._scores(self._voices.embedding[start:end, 0])  # (frames, states)
        rows = np.arange(len(states))
        chosen = scores[rows, states]
        scores[rows, states] = -2.0
        others = scores.max(axis=1) if scores.shape[1] > 1 else np.full_like(chosen, -1.0)
        margin = CONFIDENCE_SLOPE * (chosen - others)
        return float((1.0 / (1.0 + np.exp(-margin))).mean())

    def _name_frames(self) -> Named:
        spoken, overlapped = self._masks(self._voices)
        first = np.where(spoken, self._states - 1, SILENCE)
        return Named(first, self._second_voices(first, overlapped))

    def commit(self, frames: int) -> list[tuple[int, int]]:
        """Makes the oldest frames final and learns from them.

        Returns:
            Pairs (source, target) of speakers found to be one.
        """
        named = self.labels()
        clean = self._clean(self._voices)
        for start, end in runs(named.first[:frames]):
            self._learn(int(named.first[start]), start, end, clean)
        if frames:
            self._last_final_state = int(self._states[frames - 1])
        self._named = None
        self._heard = self._heard.since(frames)
        self._voices = self._voices.since(frames)
        self._unsettled_frames = min(self._unsettled_frames, self.held_frames)
        self._path.forget(frames)
        self._states = self._states[frames:]
        self._final_frames += frames
        if self._final_frames < self._next_recluster_frame:
            return []
        self._next_recluster_frame += self._frames_in(RECLUSTER_SECONDS)
        return self._recluster()

    def finish(self) -> None:
        """Learns the rest of what is final: nothing comes after it."""
        self._close_segment()

    def live_speakers(self) -> list[int]:
        """Speakers that have not been merged into another."""
        return self._gallery.live()

    def prototypes(self, speaker: int) -> tuple[Prototype, ...]:
        """The vectors that stand for a speaker."""
        return self._gallery.prototypes(speaker, self._frame_seconds)

    def _frames_in(self, seconds: float) -> int:
        return round(seconds / self._frame_seconds)

    def _masks(self, voices: Voices) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        spoken = voices.activity[:, 0] > self._point.activity_threshold
        return spoken, spoken & (voices.activity[:, 1] > self._point.overlap_threshold)

    def _clean(self, voices: Voices) -> NDArray[np.bool_]:
        """Frames where exactly one voice speaks."""
        spoken, overlapped = self._masks(voices)
        return spoken & ~overlapped

    def _new_speaker_threshold(self) -> float:
        threshold = self._point.new_speaker_threshold
        if self._gallery.size >= self._gallery.maximum_speakers:
            return threshold - FULL_GALLERY_MARGIN
        if len(self._gallery.live()) < self._minimum_speakers:
            return threshold + EAGER_MARGIN
        return threshold

    def _scores(self, embedding: FloatArray) -> FloatArray:
        """Score of each path state, (frames, states)."""
        nobody = np.full((len(embedding), 1), self._new_speaker_threshold(), np.float32)
        return np.concatenate([nobody, self._gallery.scores(embedding)], axis=1)

    def _follow(self, voices: Voices) -> None:
        spoken, overlapped = self._masks(voices)
        weight = np.where(overlapped, np.float32(OVERLAP_WEIGHT), np.float32(1.0))
        self._path.extend(self._scores(voices.embedding[:, 0]) * weight[:, None], spoken)
        self._states = self._path.states()

    def _follow_anew(self) -> None:
        """Searches all held frames again: there are other speakers than before."""
        self._restart_path()
        self._follow(self._voices)

    def _restart_path(self) -> None:
        states = self._gallery.size + 1
        if self._memory.enrolment.size and not self._final_frames:
            # Who is known before a word is said may have the first one, as likely as a stranger.
            self._path.resume(np.zeros(states, np.float32))
            return
        state = self._last_final_state
        if state != NOBODY_KNOWN:
            state = self._gallery.resolve(state - 1) + 1
        self._path.restart(states, state)

    def _bear(self) -> None:
        """Makes a speaker of a voice that nobody is known by, once there is enough of it."""
        if self._gallery.size >= self._gallery.maximum_speakers:
            return
        clean = self._clean(self._voices)
        unnamed = self._voices.embedding[clean & (self._states == NOBODY_KNOWN), 0]
        latest = self._frames_in(SHORTEST_SEGMENT_SECONDS)
        if len(unnamed) < latest:
            return
        # The voice heard last, without an earlier one that has no name either.
        seed = unit(unnamed[-latest:].sum(axis=0))  # (dim,)
        alike = unnamed @ seed >= self._new_speaker_threshold()  # (frames,)
        fresh = int(alike.sum())
        total = unnamed[alike].sum(axis=0)  # (dim,)
        known, known_frames = self._nursery.recall(total)
        total, frames = total + known, fresh + known_frames
        if frames < self._frames_in(NEW_SPEAKER_SECONDS) or not self._is_new(total):
            return
        self._nursery.forget(total)
        self._gallery.add(total, frames)
        self._follow_anew()

    def _is_new(self, total: FloatArray) -> bool:
        scores = self._gallery.scores(unit(total)[None])
        return not scores.size or bool(scores.max() < self._new_speaker_threshold())

    def _second_voices(self, first: Labels, overlapped: NDArray[np.bool_]) -> Labels:
        """Who speaks besides the loudest voice: the best of the others over each overlap."""
        second = np.full(len(first), SILENCE)
        if not overlapped.any():
            return second
        for start, end in runs(np.where(overlapped, first, SILENCE)):
            if not overlapped[start]:
                continue
            total = self._voices.embedding[start:end, 1].sum(axis=0, keepdims=True)  # (1, dim)
            scores = self._gallery.scores(total / (end - start))[0]  # (speakers,)
            if first[start] >= 0:
                scores[first[start]] = -1.0
            named = scores.size and scores.max() >= self._new_speaker_threshold()
            second[start:end] = scores.argmax() if named else UNNAMED
        return second

    def _learn(self, label: int, start: int, end: int, clean: NDArray[np.bool_]) -> None:
        """Adds final frames to the segment at hand, or closes it and begins the next."""
        segment = self._segment
        if label == SILENCE:
            if segment.speaker == UNNAMED:  # who speaks after a pause may be somebody else
                self._close_segment()
            return
        # What has no name yet is remembered at once: a second of it makes a speaker.
        longest = SHORTEST_SEGMENT_SECONDS if segment.speaker == UNNAMED else SEGMENT_SECONDS
        if label != segment.speaker or segment.frames >= self._frames_in(longest):
            self._close_segment()
            segment.speaker = label
        own = clean[start:end]
        segment.total = segment.total + self._voices.embedding[start:end, 0][own].sum(axis=0)
        segment.frames += int(own.sum())

    def _close_segment(self) -> None:
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

    def _recluster(self) -> list[tuple[int, int]]:
        correction = self._memory.correct(self._point.same_speaker_threshold)
        merges = []
        for source, target in correction.merges:
            if len(self._gallery.live()) > max(self._minimum_speakers, 1):
                self._gallery.merge(source, target)
                self._memory.rename(source, target)
                merges.append((source, target))
        for speaker, voices in correction.voices.items():
            self._gallery.replace(speaker, voices)
        if correction.voices:
            self._follow_anew()
        return merges
