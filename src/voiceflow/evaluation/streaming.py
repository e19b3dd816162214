"""How good a system is while it listens.

All measures of a recording share one map from labels to true speakers, that of what is said in the
end (`Scorer.mapping`): a map of its own for each delay or age would forgive labels that change.
Who is listening keeps one map, too. They are taken on a grid of 10 ms (see `grid`) over the whole
recording, overlap scored, without collar, and add up over recordings. Delays are audio alone: how
long a system computes is not in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from voiceflow.evaluation.adding import Additive
from voiceflow.evaluation.grid import FRAME_SECONDS, BoolArray, frame_at, labels_of, on_grid
from voiceflow.evaluation.labelling import LabelChanges, LabelTimes, label_changes, label_times
from voiceflow.evaluation.spoken import Spoken, united
from voiceflow.evaluation.telling import Telling, known_on_grid
from voiceflow.pipeline.turns import UNKNOWN

FINAL: Final = math.inf
"""The delay after which all is said."""
DELAYS_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, FINAL)
AGES_SECONDS: Final = (0.0, 30.0, 60.0, 120.0)
"""Where each age of a stream begins; it ends where the next one does."""
ABSENCES_SECONDS: Final = (30.0, 120.0)


@dataclass(frozen=True, slots=True)
class Errors(Additive):
    """Seconds of speaker time: where two speak, both count.

    In a frame with `r` true and `h` found speakers of whom `c` are right by the map, `max(0, r-h)`
    are missed, `max(0, h-r)` are false alarms and `min(r, h) - c` are confused (NIST RT-09
    evaluation plan, section 6.1).
    """

    reference_seconds: float = 0.0
    missed_seconds: float = 0.0
    false_alarm_seconds: float = 0.0
    confusion_seconds: float = 0.0

    @property
    def error_seconds(self) -> float:
        """All three."""
        return self.missed_seconds + self.false_alarm_seconds + self.confusion_seconds

    @property
    def der_percent(self) -> float:
        """Of reference speech; NaN without any."""
        return self.percent(self.error_seconds)

    def percent(self, seconds: float) -> float:
        """So many seconds of error in percent of reference speech; NaN without any."""
        return 100.0 * seconds / self.reference_seconds if self.reference_seconds else math.nan


@dataclass(frozen=True, slots=True)
class Speakers(Additive):
    """How many speakers there are and were found, `UNKNOWN` not counted.

    Attributes:
        true: Who speak in the reference.
        found: Who are there in the end.
        invented: Of those found, the ones that the map gives to nobody.
        miscounted: By how many `found` differs from `true`, summed over recordings.
    """

    true: int = 0
    found: int = 0
    invented: int = 0
    miscounted: int = 0


@dataclass(frozen=True, slots=True)
class Reentry(Additive):
    """How well speakers are known again in their first turn after a silence of theirs.

    Attributes:
        turns: First turns after the silence; the first turn of all is none.
        seconds: Of those turns.
        recalled_seconds: What of it carries, in the end, the label of their speaker.
    """

    turns: int = 0
    seconds: float = 0.0
    recalled_seconds: float = 0.0

    @property
    def recall_percent(self) -> float:
        """NaN where nobody came back."""
        return 100.0 * self.recalled_seconds / self.seconds if self.seconds else math.nan


@dataclass(frozen=True, slots=True)
class Streaming(Additive):
    """All measures of a recording, or of several: they add up, `Streaming()` is none.

    Attributes:
        by_delay: What is known so long after the audio, for each of `DELAYS_SECONDS`.
        by_age: What is said in the end, for each of `AGES_SECONDS`.
        label_times: How soon labels are there.
        label_changes: How often they change.
        speakers: How many were found.
        reentries: For each of `ABSENCES_SECONDS`; who is silent for longer is in both.
    """

    by_delay: Mapping[float, Errors] = field(default_factory=dict)
    by_age: Mapping[float, Errors] = field(default_factory=dict)
    label_times: LabelTimes = field(default_factory=LabelTimes)
    label_changes: LabelChanges = field(default_factory=LabelChanges)
    speakers: Speakers = field(default_factory=Speakers)
    reentries: Mapping[float, Reentry] = field(default_factory=dict)


def measure(
    reference: Sequence[Spoken],
    tellings: Sequence[Telling],
    seconds: float,
    mapping: Mapping[str, str],
) -> Streaming:
    """The measures of one recording.

    Args:
        reference: Who speaks when.
        tellings: In order.
        seconds: Of the recording; what is past it does not count.
        mapping: The true speaker for each label that has one: `Scorer.mapping` of what is said in
            the end.
    """
    frames, labels = frame_at(seconds), labels_of(tellings)
    speakers = sorted({one.speaker for one in reference})
    truth = on_grid(reference, speakers, frames)
    right = np.array(
        [mapping.get(label) == speaker for label in labels for speaker in speakers], np.bool_
    ).reshape(len(labels), len(speakers))
    known = {delay: known_on_grid(tellings, labels, frames, delay) for delay in DELAYS_SECONDS}
    ages = pairwise([*AGES_SECONDS, seconds])
    return Streaming(
        by_delay={delay: _errors(truth, said, right) for delay, said in known.items()},
        by_age={
            start: _errors(truth[part], known[FINAL][part], right)
            for start, end in ages
            for part in [slice(frame_at(start), frame_at(end))]
        },
        label_times=label_times(reference, tellings, seconds, mapping),
        label_changes=label_changes(reference, tellings, seconds),
        speakers=_speakers(truth, known[FINAL], labels, mapping),
        reentries={
            absence: _reentry(reference, known[FINAL], speakers, right, absence)
            for absence in ABSENCES_SECONDS
        },
    )


def _errors(truth: BoolArray, said: BoolArray, right: BoolArray) -> Errors:
    """Of (frames, speakers) and (frames, labels), by the map, (labels, speakers)."""
    true, found = truth.sum(axis=1), said.sum(axis=1)
    correct = (truth & (said @ right)).sum(axis=1)
    parts = (
        true,
        np.maximum(true - found, 0),
        np.maximum(found - true, 0),
        np.minimum(true, found) - correct,
    )
    return Errors(*(float(part.sum()) * FRAME_SECONDS for part in parts))


def _speakers(
    truth: BoolArray, said: BoolArray, labels: Sequence[str], mapping: Mapping[str, str]
) -> Speakers:
    true = int(truth.any(axis=0).sum())
    found = [  # a label may be gone in the end
        label for number, label in enumerate(labels) if label != UNKNOWN and said[:, number].any()
    ]
    invented = sum(label not in mapping for label in found)
    return Speakers(true, len(found), invented, abs(len(found) - true))


def _reentry(
    reference: Sequence[Spoken],
    said: BoolArray,
    speakers: Sequence[str],
    right: BoolArray,
    absence_seconds: float,
) -> Reentry:
    reentry = Reentry()
    recalled = said @ right  # (frames, speakers)
    last_end: dict[str, float] = {}
    for turn in united(reference):
        absent = turn.start_seconds - last_end.get(turn.speaker, math.inf)
        last_end[turn.speaker] = turn.end_seconds
        part = recalled[frame_at(turn.start_seconds) : frame_at(turn.end_seconds)]
        if absent >= absence_seconds and len(part):
            seconds = float(part[:, speakers.index(turn.speaker)].sum()) * FRAME_SECONDS
            reentry += Reentry(1, len(part) * FRAME_SECONDS, seconds)
    return reentry
