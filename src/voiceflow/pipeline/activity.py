"""When somebody speaks: ranked tracks, and edges that are told once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from voiceflow.pipeline.model import FloatArray, Frames

RANKS = 2
"""Voices of one frame that can be told: a final region has at most two speakers."""


@dataclass(frozen=True, slots=True)
class Voices:
    """The two loudest voices of each frame.

    Attributes:
        activity: (frames, 2), first rank first.
        embedding: (frames, 2, dim).
    """

    activity: FloatArray
    embedding: FloatArray = field(repr=False)

    def until(self, frame: int) -> Voices:
        """The voices before a frame."""
        return Voices(self.activity[:frame], self.embedding[:frame])

    def since(self, frame: int) -> Voices:
        """The voices from a frame on."""
        return Voices(self.activity[frame:], self.embedding[frame:])


class HeldVoices:
    """The voices of the frames that may still change, in arrays that move seldom.

    Args:
        dim: Length of an embedding.

    Attributes:
        lag_frames: The loudest voice of a frame is described by the vector so many frames later,
            or by the last one there is.
    """

    def __init__(self, dim: int) -> None:
        self._room = Voices(np.zeros((0, RANKS), np.float32), np.zeros((0, RANKS, dim), np.float32))
        self._first = self._end = 0
        self.lag_frames = 0

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def activity(self) -> FloatArray:
        """(frames, 2), first rank first."""
        return self._room.activity[self._first : self._end]

    def extend(self, voices: Voices) -> None:
        """Takes the next frames."""
        new = len(voices.activity)
        if self._end + new > len(self._room.activity):
            self._move(len(self) + new)
        span = slice(self._end, self._end + new)
        self._room.activity[span] = voices.activity
        self._room.embedding[span] = voices.embedding
        self._end += new

    def forget(self, frames: int) -> None:
        """Drops the oldest frames."""
        self._first += frames

    def loudest(self, start: int, end: int) -> FloatArray:
        """What describes the loudest voice of a span of frames: (frames, dim)."""
        vectors = self._room.embedding[self._first : self._end, 0]
        settled = len(self) - self.lag_frames
        if end <= settled or not self.lag_frames:
            return vectors[start + self.lag_frames : end + self.lag_frames]
        missing = end - max(start, settled)
        return np.concatenate(
            [vectors[start + self.lag_frames :], np.repeat(vectors[-1:], missing, axis=0)]
        )

    def second(self, start: int, end: int) -> FloatArray:
        """What describes the second voice of a span of frames: (frames, dim)."""
        return self._room.embedding[self._first + start : self._first + end, 1]

    def _move(self, frames: int) -> None:
        """Makes room for so many frames, and for half as many to come."""
        old, held = self._room, len(self)
        if frames > len(old.activity):
            room = frames + frames // 2
            self._room = Voices(
                np.empty((room, RANKS), np.float32),
                np.empty((room, *old.embedding.shape[1:]), np.float32),
            )
        for new, kept in (
            (self._room.activity, old.activity),
            (self._room.embedding, old.embedding),
        ):
            # Flat, what overlaps is copied in place.
            new[:held].reshape(-1)[:] = kept[self._first : self._end].reshape(-1)
        self._first, self._end = 0, held


def rank_tracks(frames: Frames) -> Voices:
    """Orders the tracks of every frame by activity and keeps the first two.

    A track is never an identity, so tracks may change ranks from frame to frame; a model with one
    track gets a second rank that is never active.
    """
    activity, embedding = frames.activity, frames.embedding
    if activity.shape[1] == 1:
        return Voices(np.pad(activity, ((0, 0), (0, 1))), np.repeat(embedding, RANKS, axis=1))
    if activity.shape[1] == RANKS:
        swapped = activity[:, 1] > activity[:, 0]  # (frames,)
        if not any(swapped.tolist()):
            return Voices(activity, embedding)
        return Voices(
            np.where(swapped[:, None], activity[:, ::-1], activity),
            np.where(swapped[:, None, None], embedding[:, ::-1], embedding),
        )
    order = np.argsort(-activity, axis=1, kind="stable")[:, :RANKS]  # (frames, 2)
    return Voices(
        np.take_along_axis(activity, order, axis=1),
        np.take_along_axis(embedding, order[:, :, None], axis=1),
    )


@dataclass(frozen=True, slots=True)
class Edge:
    """An onset (`rising`) or end of activity at a frame."""

    rising: bool
    frame: int


@dataclass(frozen=True, slots=True)
class EdgeState:
    """What an edge detector knows.

    Attributes:
        at_samples: End of what it has heard.
        active: What it takes for true.
        against_samples: How long the audio before has said otherwise.
    """

    at_samples: int
    active: bool
    against_samples: int


class EdgeDetector:
    """Reports when a probability has risen or fallen for long enough to be believed.

    Args:
        threshold: Above it a frame counts as active.
        rise_frames: Active frames in a row that make an onset.
        fall_frames: Inactive frames in a row that make an end.

    Attributes:
        active: What it takes for true.
    """

    def __init__(self, threshold: float, rise_frames: int, fall_frames: int) -> None:
        self._threshold = threshold
        self._needed = {True: rise_frames, False: fall_frames}
        self._skip_frames = 0
        self._against_frames = 0
        self._heard_frames = 0
        self.active = False

    def adopt(self, threshold: float, fall_frames: int) -> None:
        """Other numbers hold for the frames that come."""
        self._threshold = threshold
        self._needed[False] = fall_frames

    def state(self, frame_samples: int) -> EdgeState:
        """What it knows, of frames of so many samples."""
        return EdgeState(
            self._heard_frames * frame_samples, self.active, self._against_frames * frame_samples
        )

    def resume(self, state: EdgeState, frame_samples: int, first_frame: int) -> None:
        """Goes on where another detector was.

        Args:
            state: Of the other one.
            frame_samples: Of the frames that come.
            first_frame: Where they begin; those that the other one has heard are skipped.
        """
        self.active = state.active
        self._against_frames = state.against_samples // frame_samples
        self._heard_frames = state.at_samples // frame_samples
        self._skip_frames = max(0, self._heard_frames - first_frame)

    def push(self, probability: FloatArray) -> list[Edge]:
        """Takes the next frames, (frames,); an edge lies where the run that proves it began."""
        edges: list[Edge] = []
        if self._skip_frames:
            skipped = min(self._skip_frames, len(probability))
            self._skip_frames -= skipped
            probability = probability[skipped:]
        rises = [value > self._threshold for value in probability.tolist()]
        if rises.count(self.active) == len(rises):
            self._heard_frames += len(rises)
            if rises:
                self._against_frames = 0
            return edges
        for rising in rises:
            self._heard_frames += 1
            self._against_frames = self._against_frames + 1 if rising != self.active else 0
            # At least: with another frame length a run may come over the mark.
            if self._against_frames >= self._needed[not self.active]:
                self.active = rising
                edges.append(Edge(rising, self._heard_frames - self._against_frames))
                self._against_frames = 0
        return edges
