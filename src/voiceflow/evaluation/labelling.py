"""How soon a label is there, and how often it changes, as a listener of a live stream sees it.

Both look at what is told at each moment, whether it may still change or not, and count in audio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from voiceflow.evaluation.adding import Additive
from voiceflow.evaluation.grid import (
    FRAME_SECONDS,
    BoolArray,
    anybody,
    frame_at,
    labels_of,
    on_grid,
    replay,
    runs,
)
from voiceflow.evaluation.spoken import Spoken, united
from voiceflow.evaluation.telling import Telling
from voiceflow.pipeline.turns import UNKNOWN

LABELLED_SECONDS: Final = 0.2
"""So much of a turn, or all of a shorter one, has a label before the turn counts as labelled."""


@dataclass(frozen=True, slots=True)
class LabelTimes(Additive):
    """How long after the start of each true turn its label is there; infinite: it never is.

    A turn (one speaker's stretches that touch are one) is labelled with the first telling after
    which `LABELLED_SECONDS` of its time carry a label, wherever in the turn: without foresight, the
    least that is possible is 0.2 s. The first label may be anybody's, `UNKNOWN` and whoever else
    speaks then included; the correct one is that which the recording's map gives to the turn's
    speaker. A label that is there for one telling only has been there: what is taken back is in
    `LabelChanges`.

    Attributes:
        first_seconds: For each turn.
        correct_seconds: For each turn.
    """

    first_seconds: tuple[float, ...] = ()
    correct_seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelChanges(Additive):
    """How often audio that was told of before is told of otherwise.

    One change is a run of adjacent frames, of the audio that was covered by the telling before,
    that change in the same way at one telling; audio told for the first time does not change.

    Attributes:
        replaced: A name is gone and another label (`UNKNOWN` is one) is there in its place.
        named: `UNKNOWN` has become a name.
        withdrawn: A label is gone and none is there in its place.
        added: A label is there where nobody, or somebody who is there still, was heard before.
        speech_seconds: Of the reference, in which anybody speaks.
    """

    replaced: int = 0
    named: int = 0
    withdrawn: int = 0
    added: int = 0
    speech_seconds: float = 0.0

    @property
    def per_minute(self) -> float:
        """Changes of a name to another label in a minute of true speech; NaN without speech."""
        return 60.0 * self.replaced / self.speech_seconds if self.speech_seconds else math.nan


def percentile(times_seconds: Sequence[float], percent: float) -> float:
    """Of the finite times, linear between neighbours; NaN where there is none."""
    finite = [time for time in times_seconds if math.isfinite(time)]
    return float(np.percentile(finite, percent)) if finite else math.nan


def never(times_seconds: Sequence[float]) -> int:
    """How many are infinite."""
    return sum(math.isinf(time) for time in times_seconds)


def label_times(
    reference: Sequence[Spoken],
    tellings: Sequence[Telling],
    seconds: float,
    mapping: Mapping[str, str],
) -> LabelTimes:
    """Of every true turn that has at least a frame in a recording of so many seconds.

    Args:
        reference: Who speaks when.
        tellings: In order.
        seconds: Of the recording; what is past it does not count.
        mapping: The true speaker for each found one that has one.
    """
    labels, frames = labels_of(tellings), frame_at(seconds)
    column_of = {mapping[label]: n for n, label in enumerate(labels) if label in mapping}
    turns = [
        _Turn(turn.start_seconds, start, end, column_of.get(turn.speaker))
        for turn in united(reference)
        if (start := frame_at(turn.start_seconds))
        < (end := min(frame_at(turn.end_seconds), frames))
    ]
    heard = 0
    for telling, said in replay(tellings, labels, frames):
        changed = min(frame_at(telling.from_seconds), heard)
        heard = frame_at(telling.covered_seconds)
        for turn in turns:
            if turn.start_frame < heard and turn.end_frame > changed:
                turn.look(said, telling.covered_seconds)
    return LabelTimes(
        tuple(turn.first_seconds for turn in turns), tuple(turn.correct_seconds for turn in turns)
    )


def label_changes(
    reference: Sequence[Spoken], tellings: Sequence[Telling], seconds: float
) -> LabelChanges:
    """Of a recording of so many seconds; no map of speakers is needed."""
    labels, frames = labels_of(tellings), frame_at(seconds)
    speakers = sorted({one.speaker for one in reference})
    speech_frames = anybody(on_grid(reference, speakers, frames)).sum()
    named = np.array([label != UNKNOWN for label in labels], np.bool_)
    changes = LabelChanges(speech_seconds=float(speech_frames) * FRAME_SECONDS)
    told = np.zeros((frames, len(labels)), np.bool_)
    heard = 0  # frames that were told of
    for telling, said in replay(tellings, labels, frames):
        first = min(frame_at(telling.from_seconds), heard)
        changes += _changes(told[first:heard], said[first:heard], named)
        heard = min(frame_at(telling.covered_seconds), frames)
        told[first:heard] = said[first:heard]
    return changes


@dataclass(slots=True)
class _Turn:
    """A true turn, and when it was labelled.

    Attributes:
        column: Of the label that is right; None: no label is.
    """

    start_seconds: float
    start_frame: int
    end_frame: int
    column: int | None
    first_seconds: float = math.inf
    correct_seconds: float = math.inf

    def look(self, said: BoolArray, covered_seconds: float) -> None:
        """Looks at what is said after a telling, (frames, labels)."""
        if math.isfinite(self.correct_seconds):
            return  # then a first label was there, too
        own = said[self.start_frame : self.end_frame]
        needed = min(len(own), frame_at(LABELLED_SECONDS))
        after = covered_seconds - self.start_seconds
        if anybody(own).sum() >= needed:
            self.first_seconds = min(self.first_seconds, after)
        if self.column is not None and own[:, self.column].sum() >= needed:
            self.correct_seconds = after


def _changes(before: BoolArray, after: BoolArray, named: BoolArray) -> LabelChanges:
    """How the same frames, (frames, labels), have changed; `named` labels are names, (labels,)."""
    lost, gained = before & ~after, after & ~before
    lost_name, lost_any, gained_any = anybody(lost[:, named]), anybody(lost), anybody(gained)
    return LabelChanges(
        replaced=len(runs(lost_name & gained_any)),
        named=len(runs(lost_any & ~lost_name & gained_any)),
        withdrawn=len(runs(lost_any & ~gained_any)),
        added=len(runs(gained_any & ~lost_any)),
    )
