"""Who speaks: gives the frames of one stream to speakers that it comes to know.

The frames that may still change are bounded, and so is what is known of the speakers. Nothing
depends on wall time or on other streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import and_, ne

import numpy as np

from voiceflow.artifact import OperatingPoint
from voiceflow.pipeline.acquaintance import Acquaintance
from voiceflow.pipeline.activity import HeldVoices, Voices
from voiceflow.pipeline.labels import SILENCE, UNNAMED, Labels, runs
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.path import NOBODY_KNOWN, SpeakerPath
from voiceflow.pipeline.snapshot import KnownVoices
from voiceflow.pipeline.turns import Prototype
from voiceflow.pipeline.vectors import unit

RECLUSTER_SECONDS = 4.0
"""Final speech between two looks at the stream as a whole."""

FULL_GALLERY_MARGIN = 0.15
"""How much further a voice may be from every speaker when no new one can be made."""

EAGER_MARGIN = 0.1
"""How much closer to a speaker a voice may be and still be new, while speakers are missing."""

LEAST_LIKENESS = 0.0
"""Cosine from which a voice too short to be somebody new is given to whom it is most like."""

CONFIDENCE_SLOPE = 8.0
"""Of the logistic function from a margin in cosine to a confidence."""


@dataclass(frozen=True, slots=True)
class Named:
    """Labels of the frames that may still change, one a frame each."""

    first: Labels
    second: Labels


class Identity:
    """Labels frames as they come, and learns from those that are final.

    Args:
        point: Thresholds of the model.
        speakers: What is known of them before the first frame: who was enrolled, or nobody.
        frame_seconds: Length of a frame.
        minimum_speakers: How many there are at least, 0 if not known.
    """

    def __init__(
        self,
        point: OperatingPoint,
        speakers: Acquaintance,
        frame_seconds: float,
        minimum_speakers: int,
    ) -> None:
        self._point = point
        self._thresholds = _thresholds(point)
        self._frame_seconds = frame_seconds
        self._minimum_speakers = minimum_speakers
        self._speakers = speakers
        self._path = SpeakerPath(switch_cost=point.smoothing_seconds / frame_seconds)
        self._lag_frames = self._frames_in(point.voice_lag_seconds)
        self._unsettled_frames = 0  # the newest, described by the last vector there is
        self._held = HeldVoices(speakers.dim)
        # Of each held frame: whether one voice speaks at least, whether two do, whether just one.
        self._spoken: list[bool] = []
        self._overlapped: list[bool] = []
        self._clean: list[bool] = []
        self._named: Named | None = None
        self._states: list[int] = []  # of the path through them
        self._told_states: list[int] = []  # as they are told: nobody's may be somebody's
        self._last_final_state = NOBODY_KNOWN
        self._final_frames = 0
        self._frames_to_recluster = self._frames_in(RECLUSTER_SECONDS)
        if self._speakers.enrolled:
            self._restart_path()

    def adopt(self, point: OperatingPoint) -> None:
        """Goes on with the frames of a model with other thresholds in the same embedding space."""
        self._point = point
        self._thresholds = _thresholds(point)
        self._path.adopt(point.smoothing_seconds / self._frame_seconds)
        self._lag_frames = self._frames_in(point.voice_lag_seconds)
        self._speakers.adopt(point)
        self._spoken, self._overlapped, self._clean = self._masks(self._held.activity)

    def known(self) -> KnownVoices:
        """What is known so far."""
        return replace(
            self._speakers.known(),
            path_totals=tuple(self._path.totals().tolist()),
            last_final_state=self._last_final_state,
            seconds_to_recluster=self._frames_to_recluster * self._frame_seconds,
        )

    def resume(self, known: KnownVoices, final_frames: int, scale: float) -> None:
        """Goes on with what another one knew.

        Args:
            known: In the same embedding space.
            final_frames: Frames of the stream before the next that is given.
            scale: Frames for each one of the other's.
        """
        self._speakers.resume(known, scale)
        self._path.resume(np.array(known.path_totals, np.float32) * np.float32(scale))
        self._last_final_state = known.last_final_state
        self._final_frames = final_frames
        self._frames_to_recluster = self._frames_in(known.seconds_to_recluster)

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
        self._speakers.begin(voices, enrolled)
        self._last_final_state = max(last, UNNAMED) + 1
        self._path.restart(self._speakers.size + 1, self._last_final_state)
        self._final_frames = final_frames
        self._frames_to_recluster = self._frames_in(RECLUSTER_SECONDS)

    @property
    def held_frames(self) -> int:
        """Frames that may still change."""
        return len(self._held)

    @property
    def born_speakers(self) -> int:
        """Speakers so far, those merged into another included."""
        return self._speakers.size

    def extend(self, voices: Voices) -> None:
        """Takes the next frames; a voice that has been heard for long enough becomes a speaker."""
        settled = self.held_frames - self._unsettled_frames
        self._named = None
        self._held.extend(voices)
        self._held.lag_frames = self._lag_frames
        spoken, overlapped, clean = self._masks(voices.activity)
        self._spoken += spoken
        self._overlapped += overlapped
        self._clean += clean
        self._path.retract(self._unsettled_frames)
        self._unsettled_frames = min(self._lag_frames, self.held_frames)
        self._follow(settled)
        self._bear()

    def labels(self) -> Named:
        """Labels of all frames that may still change, as seen now."""
        if self._named is None:
            self._named = self._name_frames()
        return self._named

    def confidence(self, start: int, end: int) -> float:
        """Of the first labels of a span of frames: the logistic margin to the next best, 0 to 1."""
        states = self._told_states[start:end]
        scores = self._scores(self._held.loudest(start, end))  # (frames, states)
        rows = np.arange(len(states))
        chosen = scores[rows, states]
        scores[rows, states] = -2.0
        others = np.maximum.reduce(scores, axis=1) if scores.shape[1] > 1 else np.float32(-1.0)
        certain = 1.0 / (1.0 + np.exp(CONFIDENCE_SLOPE * (others - chosen)))
        return float(np.add.reduce(certain) / len(states))

    def _name_frames(self) -> Named:
        self._told_states = self._states.copy()
        if NOBODY_KNOWN in self._states:
            self._guess()
        first = [
            state - 1 if spoken else SILENCE
            for state, spoken in zip(self._told_states, self._spoken, strict=True)
        ]
        return Named(first, self._second_voices(first))

    def commit(self, frames: int) -> list[tuple[int, int]]:
        """Makes the oldest frames final and learns from them.

        Returns:
            Pairs (source, target) of speakers found to be one.
        """
        for start, end in runs(zip(self._states[:frames], self._spoken[:frames], strict=True)):
            label = self._states[start] - 1 if self._spoken[start] else SILENCE
            own, clean = self._held.loudest(start, end), self._clean[start:end]
            self._speakers.hear(label, own if all(clean) else own[clean])
        if frames:
            self._last_final_state = self._states[frames - 1]
        self._named = None
        self._held.forget(frames)
        self._unsettled_frames = min(self._unsettled_frames, self.held_frames)
        self._path.forget(frames)
        self._frames_to_recluster -= self._spoken[:frames].count(True)
        for of_frames in (self._states, self._spoken, self._overlapped, self._clean):
            del of_frames[:frames]
        self._final_frames += frames
        if self._frames_to_recluster > 0:
            return []
        interval, overdue = self._frames_in(RECLUSTER_SECONDS), -self._frames_to_recluster
        self._frames_to_recluster = interval - overdue % interval
        merges, otherwise = self._speakers.correct(self._minimum_speakers)
        if otherwise:
            self._follow_anew()
        return merges

    def finish(self) -> None:
        """Learns the rest of what is final: nothing comes after it."""
        self._speakers.close()

    def live_speakers(self) -> list[int]:
        """Speakers that have not been merged into another."""
        return self._speakers.live()

    def prototypes(self, speaker: int) -> tuple[Prototype, ...]:
        """The vectors that stand for a speaker."""
        return self._speakers.prototypes(speaker)

    def _frames_in(self, seconds: float) -> int:
        return round(seconds / self._frame_seconds)

    def _masks(self, activity: FloatArray) -> tuple[list[bool], list[bool], list[bool]]:
        one, two = (activity > self._thresholds).T.tolist()
        overlapped = list(map(and_, one, two))
        return one, overlapped, list(map(ne, one, overlapped))

    def _new_speaker_threshold(self) -> float:
        threshold = self._point.new_speaker_threshold
        if self._speakers.is_full:
            return threshold - FULL_GALLERY_MARGIN
        if self._minimum_speakers and len(self._speakers.live()) < self._minimum_speakers:
            return threshold + EAGER_MARGIN
        return threshold

    def _scores(self, embedding: FloatArray) -> FloatArray:
        """Score of each path state, (frames, states)."""
        scores = np.empty((len(embedding), 1 + self._speakers.size), np.float32)
        scores[:, 0] = self._new_speaker_threshold()
        scores[:, 1:] = self._speakers.scores(embedding)
        return scores

    def _follow(self, start: int) -> None:
        """Goes on with the held frames from there on."""
        spoken = self._spoken[start:]
        heard = self._scores(self._held.loudest(start, self.held_frames)) if any(spoken) else None
        self._path.extend(heard, spoken)
        self._states = self._path.states()

    def _follow_anew(self) -> None:
        """Searches all held frames again: there are other speakers than before."""
        self._restart_path()
        self._follow(0)

    def _restart_path(self) -> None:
        states = self._speakers.size + 1
        if self._speakers.enrolled and not self._final_frames:
            # Who is known before a word is said may have the first one, as likely as a stranger.
            self._path.resume(np.zeros(states, np.float32))
            return
        state = self._last_final_state
        if state != NOBODY_KNOWN:
            state = self._speakers.resolve(state - 1) + 1
        self._path.restart(states, state)

    def _bear(self) -> None:
        """Makes a speaker of a voice that nobody is known by, once there is enough of it."""
        if not self._speakers.may_bear(self._states.count(NOBODY_KNOWN)):
            return
        unnamed = [
            frame
            for frame, (state, clean) in enumerate(zip(self._states, self._clean, strict=True))
            if state == NOBODY_KNOWN and clean
        ]
        if not self._speakers.may_bear(len(unnamed)):
            return
        heard = self._held.loudest(0, self.held_frames)[unnamed]
        if self._speakers.bear(heard, self._new_speaker_threshold()):
            self._follow_anew()

    def _guess(self) -> None:
        """Tells of stretches that are nobody's as of those whom they are most like."""
        for start, end in runs(self._states):
            if self._states[start] == NOBODY_KNOWN:
                voice = self._held.loudest(start, end)[self._spoken[start:end]].sum(axis=0)
                self._told_states[start:end] = [self._most_like(voice) + 1] * (end - start)

    def _most_like(self, total: FloatArray, other_than: int = UNNAMED) -> int:
        """The speaker whom a sum of embeddings, (dim,), is most like; `UNNAMED`: like nobody.

        Nobody is called by the name of somebody enrolled who is not known by the voice.
        """
        if not self._speakers.size:
            return UNNAMED
        scores = self._speakers.scores(unit(total)[None])[0]  # (speakers,)
        enrolled = scores[: self._speakers.enrolled]
        enrolled[enrolled < self._new_speaker_threshold()] = -1.0
        if other_than >= 0:
            scores[other_than] = -1.0
        best = int(scores.argmax())
        return best if scores[best] > LEAST_LIKENESS else UNNAMED

    def _second_voices(self, first: Labels) -> Labels:
        """Who speaks besides the loudest voice: the best of the others over each overlap."""
        second = [SILENCE] * len(first)
        if not any(self._overlapped):
            return second
        for start, end in runs(zip(self._overlapped, first, strict=True)):
            if not self._overlapped[start]:
                continue
            total = self._held.second(start, end).sum(axis=0)  # (dim,)
            second[start:end] = [self._most_like(total, other_than=first[start])] * (end - start)
        return second


def _thresholds(point: OperatingPoint) -> FloatArray:
    """Above which there is one voice, and above which a second, (2,)."""
    return np.array([point.activity_threshold, point.overlap_threshold], np.float32)
