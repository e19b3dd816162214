"""Tracks are ordered frame by frame, each with its vector."""

from __future__ import annotations

import numpy as np
import pytest

from voiceflow.pipeline.activity import rank_tracks
from voiceflow.pipeline.model import FloatArray, Frames


def frames_of(activity: list[list[float]]) -> Frames:
    """Vectors that say which frame and track they are of: (frame, track)."""
    array: FloatArray = np.array(activity, np.float32)
    embedding = np.array(list(np.ndindex(array.shape)), np.float32).reshape(*array.shape, 2)
    return Frames(array[:, 0], array, embedding)


@pytest.mark.parametrize(
    ("activity", "tracks"),
    [
        ([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], [[0, 1], [1, 0], [0, 1]]),
        ([[0.9, 0.1], [0.8, 0.2]], [[0, 1], [0, 1]]),
        ([[0.1, 0.9, 0.5], [0.3, 0.3, 0.4]], [[1, 2], [2, 0]]),
    ],
)
def test_the_louder_track_comes_first(activity: list[list[float]], tracks: list[list[int]]) -> None:
    """In each frame by itself; of equal ones the first; no more than two are kept."""
    ranked = rank_tracks(frames_of(activity))
    expected = [[row[track] for track in kept] for row, kept in zip(activity, tracks, strict=True)]
    assert ranked.activity.tolist() == np.array(expected, np.float32).tolist()
    assert ranked.embedding[:, :, 1].tolist() == tracks
    assert ranked.embedding[:, :, 0].tolist() == [[frame] * 2 for frame in range(len(tracks))]


def test_one_track_has_a_second_rank_that_is_never_active() -> None:
    """Whoever reads two ranks may do so of every model."""
    ranked = rank_tracks(frames_of([[0.9], [0.2]]))
    assert ranked.activity[:, 1].tolist() == [0.0, 0.0]
