"""Labels of frames: runs of them, and the pauses and bursts that are too short to tell.

A stream holds some fifty labels: a list of numbers is looked through sooner than an array.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

SILENCE = -2
UNNAMED = -1
"""A voice that is nobody's; speaker `k` of the gallery has label `k`."""

LOST = -3
"""A speaker of before, in a stream that was resumed with other vectors, who was not found again."""

Labels = list[int]


def runs(labels: Iterable[object]) -> list[tuple[int, int]]:
    """Half-open spans, in order, over which the labels of the frames stay the same."""
    spans, start = [], 0
    for _, run in groupby(labels):
        end = start + len(list(run))
        spans.append((start, end))
        start = end
    return spans


def tidy(
    labels: Labels, before: int, minimum_pause_frames: int, minimum_turn_frames: int
) -> Labels:
    """Fills short pauses within a turn and drops short bursts between pauses.

    What touches the end may still grow and stays; what began before the first frame is as it was.

    Args:
        labels: Of the loudest voice, one a frame.
        before: The label of the final frame before the first.
        minimum_pause_frames: Shorter silence between two stretches of one speaker is speech.
        minimum_turn_frames: Shorter speech between two silences is silence.
    """
    tidied = labels.copy()
    if SILENCE not in labels:
        return tidied
    for start, end in runs([label == SILENCE for label in labels]):
        left = before if start == 0 else labels[start - 1]
        if end == len(labels):
            break
        if labels[start] != SILENCE:
            if left == SILENCE and end - start < minimum_turn_frames:
                tidied[start:end] = [SILENCE] * (end - start)
        elif left == labels[end] and left != SILENCE and end - start < minimum_pause_frames:
            tidied[start:end] = [left] * (end - start)
    return tidied


def drop_short_runs(labels: Labels, before: int, minimum_frames: int) -> Labels:
    """Silences runs of one label that are shorter than a minimum, except at the edges."""
    kept = labels.copy()
    for start, end in runs(labels):
        begins_here = start > 0 or before == SILENCE
        if begins_here and end < len(labels) and end - start < minimum_frames:
            kept[start:end] = [SILENCE] * (end - start)
    return kept
