"""Time in steps of 10 ms, and what tellings say of each step.

Frame `i` stands for its middle, `(i + 0.5) * 0.01` s: a stretch holds the frames whose middle lies
in it. Rates over frames differ from those over exact times by what the edges are off, which goes
both ways and is under 5 ms each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from voiceflow.evaluation.spoken import Spoken, united

if TYPE_CHECKING:
    from voiceflow.evaluation.telling import Telling

FRAME_SECONDS: Final = 0.01

BoolArray = NDArray[np.bool_]


def frame_at(seconds: float) -> int:
    """The first frame whose middle is at or after a time."""
    # Rounded, so that a time which is a middle but for its last bit counts as one.
    return math.ceil(round(seconds * 100 - 0.5, 6)) if seconds > 0 else 0


def on_grid(spoken: Iterable[Spoken], labels: Sequence[str], frames: int) -> BoolArray:
    """Who speaks in each frame, (frames, labels); what is past the last frame is left out."""
    active = np.zeros((frames, len(labels)), np.bool_)
    column = {label: number for number, label in enumerate(labels)}
    for one in spoken:
        active[frame_at(one.start_seconds) : frame_at(one.end_seconds), column[one.speaker]] = True
    return active


def off_grid(active: BoolArray, labels: Sequence[str]) -> list[Spoken]:
    """The stretches of (frames, labels), with edges on multiples of 10 ms."""
    spoken = [
        Spoken(label, start / 100, end / 100)
        for number, label in enumerate(labels)
        for start, end in runs(active[:, number])
    ]
    return united(spoken)


def anybody(active: BoolArray) -> BoolArray:
    """Whether any column of (frames, labels) is true, (frames,)."""
    spoken: BoolArray = np.logical_or.reduce(active, axis=1)
    return spoken


def runs(active: BoolArray) -> list[tuple[int, int]]:
    """Half-open spans of true frames, (frames,), in order."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def labels_of(tellings: Iterable[Telling]) -> list[str]:
    """All labels that are ever told, sorted."""
    return sorted({turn.speaker for telling in tellings for turn in telling.turns})


def replay(
    tellings: Iterable[Telling], labels: Sequence[str], frames: int
) -> Iterator[tuple[Telling, BoolArray]]:
    """What is said of every frame after each telling.

    Yields:
        The telling and (frames, labels): one array, which the next telling changes.
    """
    said = np.zeros((frames, len(labels)), np.bool_)
    column = {label: number for number, label in enumerate(labels)}
    last = 0  # no frame from here on is said anything of
    for telling in tellings:
        first = frame_at(telling.from_seconds)
        said[first:last] = False
        for turn in telling.turns:
            start = max(first, frame_at(turn.start_seconds))
            end = frame_at(turn.end_seconds)
            said[start:end, column[turn.speaker]] = True
            last = max(last, end)
        yield telling, said
