"""When somebody speaks: ranked tracks, and edges that are told once."""

from __future__ import annotations

from dataclasses import dataclass

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
    embedding: FloatArray

    def since(self, frame: int) -> Voices:
        """The voices from a frame on."""
        return Voices(self.activity[frame:], self.embedding[frame:])


def rank_tracks(frames: Frames) -> Voices:
    """Orders the tracks of every frame by activity and keeps the first two.

    A track is never an identity, so tracks may change ranks from frame to frame; a model with one
    track gets a second rank that is never active.
    """
    activity, embedding = frames.activity, frames.embedding
    if activity.shape[1] == 1:
        return Voices(np.pad(activity, ((0, 0), (0, 1))), np.repeat(embedding, RANKS, axis=1))
    if activity.shape[1] == RANKS and (activity[:, 0] >= activity[:, 1]).all():
        return Voices(activity, embedding)
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


class EdgeDetector:
    """Reports when a probability has risen or fallen for long enough to be believed.

    Args:
        threshold: Above it a frame counts as active.
        rise_frames: Active frames in a row that make an onset.
        fall_frames: Inactive frames in a row that make an end.
    """

    def __init__(self, threshold: float, rise_frames: int, fall_frames: int) -> None:
        self._threshold = threshold
        self._needed = {True: rise_frames, False: fall_frames}
        self._against = 0
        self._frame = 0
        self.active = False

    def push(self, probability: FloatArray) -> list[Edge]:
        """Takes the next frames, (frames,); an edge lies where the run that proves it began."""
        edges = []
        for value in probability.tolist():
            self._frame += 1
            rising = value > self._threshold
            self._against = self._against + 1 if rising != self.active else 0
            if self._against == self._needed[not self.active]:
                self.active = rising
                edges.append(Edge(rising, self._frame - self._against))
                self._against = 0
        return edges
