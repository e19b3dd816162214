"""Labels of frames: runs of them, and the pauses and bursts that are too short to tell."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SILENCE = -2
UNNAMED = -1
"""A voice that is nobody's; speaker `k` of the gallery has label `k`."""

LOST = -3
"""A speaker of before, in a stream that was resumed with other vectors, who was not found again."""

Labels = NDArray[np.intp]


def runs(*labels: Labels) -> list[tuple[int, int]]:
    """Half-open spans, in order, over which each of the arrays, (frames,), keeps its label."""
    frames = len(labels[0])
    if not frames:
        return []
    changes = np.zeros(frames - 1, np.bool_)
    for array in labels:
        changes |= array[1:] != array[:-1]
    return list(pairwise([0, *(np.flatnonzero(changes) + 1).tolist(), frames]))


def tidy(
    labels: Labels, before: int, minimum_pause_frames: int, minimum_turn_frames: int
) -> Labels:
    """Fills short pauses within a turn and drops short bursts between pauses.

    What touches the end may still grow and stays; what began before the first frame is as it was.

    Args:
        labels: (frames,) of the loudest voice.
        before: The label of the final frame before the first.
        minimum_pause_frames: Shorter silence between two stretches of one speaker is speech.
        minimum_turn_frames: Shorter speech between two silences is silence.
    """
    tidied = labels.copy()
    for start, end in runs(np.where(labels == SILENCE, SILENCE, UNNAMED)):
        left = before if start == 0 else int(labels[start - 1])
        if end == len(labels):
            break
        if labels[start] != SILENCE:
            if left == SILENCE and end - start < minimum_turn_frames:
                tidied[start:end] = SILENCE
        elif left == labels[end] and left != SILENCE and end - start < minimum_pause_frames:
            tidied[start:end] = left
    return tidied


def drop_short_runs(labels: Labels, before: int, minimum_frames: int) -> Labels:
    """Silences runs of one label that are shorter than a minimum, except at the edges."""
    kept = labels.copy()
    if (labels == SILENCE).all():
        return kept
    for start, end in runs(labels):
        begins_here = start > 0 or before == SILENCE
        if begins_here and end < len(labels) and end - start < minimum_frames:
            kept[start:end] = SILENCE
    return kept
