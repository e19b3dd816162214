"""What is said after each half second, of the windows' labels and of where speech is."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.peers.diart.settings import (
    MAX_SPEAKERS,
    SAMPLE_RATE_HERTZ,
    STEP_SECONDS,
    Settings,
)

GRID_HERTZ: Final = 100
"""Labels are put together in steps of 10 ms."""
GRID_SAMPLES: Final = SAMPLE_RATE_HERTZ // GRID_HERTZ
NOBODY: Final = -1

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Speech without a pause, and when it was told.

    Attributes:
        start_samples: Of the speech.
        end_samples: Of the speech; that of the recording, if that ended first.
        started_samples: Audio heard when its start was told.
        ended_samples: Audio heard when its end was told; none, if it was not.
    """

    start_samples: int
    end_samples: int
    started_samples: int
    ended_samples: int | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's stretch of speech, in seconds."""

    speaker: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Telling:
    """What is said after so much audio; it replaces what was said before of `from_seconds` on."""

    covered_seconds: float
    from_seconds: float
    turns: tuple[Turn, ...]


def step_samples(samples: int) -> list[int]:
    """The audio heard at each step: every half second, and at the end."""
    step = round(STEP_SECONDS * SAMPLE_RATE_HERTZ)
    ends = list(range(step, samples + 1, step))
    return ends if ends and ends[-1] == samples else [*ends, samples]


def tellings(
    labels: Labels, spoken: Sequence[Stretch], samples: int, settings: Settings
) -> list[Telling]:
    """What is said at each step.

    A step tells anew all that has changed: the labels of the last `latency_seconds`, and the pauses
    that were taken for speech until they had lasted long enough.

    Args:
        labels: (steps,), of the windows.
        spoken: In order.
        samples: Of the recording.
        settings: Window, latency.
    """
    votes = _Votes(labels, samples, settings)
    step_length = round(STEP_SECONDS * SAMPLE_RATE_HERTZ)
    back = math.ceil(settings.latency_seconds / STEP_SECONDS + 1) * step_length
    told = []
    before = 0
    for step, heard in enumerate(step_samples(samples)):
        ended = [s.end_samples for s in spoken if before < (s.ended_samples or 0) <= heard]
        start = max(0, min([heard - back, *ended])) // GRID_SAMPLES
        said = _said(votes.until(step, start), _speech(spoken, heard)[start:])
        turns = tuple(_turns(said, start, heard))
        told.append(Telling(heard / SAMPLE_RATE_HERTZ, start / GRID_HERTZ, turns))
        before = heard
    return told


def final_turns(told: Sequence[Telling]) -> list[Turn]:
    """What stands after the last telling; turns that were cut where one began are whole again."""
    standing: list[Turn] = []
    for telling in told:
        before = [
            replace(turn, end_seconds=min(turn.end_seconds, telling.from_seconds))
            for turn in standing
            if turn.start_seconds < telling.from_seconds
        ]
        standing = before + list(telling.turns)
    whole: list[Turn] = []
    for turn in standing:
        last = whole[-1] if whole else None
        if last and last.speaker == turn.speaker and last.end_seconds == turn.start_seconds:
            whole[-1] = replace(last, end_seconds=turn.end_seconds)
        else:
            whole.append(turn)
    return whole


def rttm(name: str, turns: Sequence[Turn]) -> str:
    """A line for each turn; white space in the name becomes `_`."""
    field = "_".join(name.split())
    return "".join(
        f"SPEAKER {field} 1 {turn.start_seconds:.7f} {turn.end_seconds - turn.start_seconds:.7f}"
        f" <NA> <NA> {turn.speaker} <NA> <NA>\n"
        for turn in turns
    )


def json_lines(told: Sequence[Telling]) -> str:
    """A line for each telling."""
    return "".join(
        json.dumps(
            {
                "covered_seconds": telling.covered_seconds,
                "from_seconds": telling.from_seconds,
                "turns": [[t.speaker, t.start_seconds, t.end_seconds] for t in telling.turns],
            }
        )
        + "\n"
        for telling in told
    )


class _Votes:
    """The label of each 10 ms: windows that cover it vote, weighted by a Hamming window each.

    That is what diart's `DelayedAggregation` does with one local speaker a window, whose scores
    are the speaker's activity; here for every step, so that what is known sooner is told sooner.
    """

    def __init__(self, labels: Labels, samples: int, settings: Settings) -> None:
        self._labels = labels
        self._ends = np.asarray(step_samples(samples))
        self._step = round(STEP_SECONDS * SAMPLE_RATE_HERTZ)
        self._window = round(settings.window_seconds * SAMPLE_RATE_HERTZ)
        self._later = round(settings.latency_seconds * SAMPLE_RATE_HERTZ)
        self._hamming = np.hamming(-(-self._window // GRID_SAMPLES) + 1)

    def until(self, last_step: int, start: int) -> Labels:
        """Labels of the grid from `start` on, by the windows up to a step."""
        heard = int(self._ends[last_step])
        at = np.arange(start, -(-heard // GRID_SAMPLES)) * GRID_SAMPLES + GRID_SAMPLES // 2
        first = at // self._step  # the first step whose window may hold it
        votes = np.zeros((len(at), MAX_SPEAKERS))
        for later in range(-(-self._window // self._step) + 1):
            step = np.minimum(first + later, last_step)
            end, who = self._ends[step], self._labels[step]
            place = at - (end - self._window)
            valid = (
                (first + later <= last_step)
                & (end - first * self._step <= self._later)
                & (place >= 0)
                & (place < self._window)
                & (who != NOBODY)
            )
            rows = np.flatnonzero(valid)
            votes[rows, who[rows]] += self._hamming[place[rows] // GRID_SAMPLES]
        return np.where(votes.any(axis=1), votes.argmax(axis=1), NOBODY)


def _speech(spoken: Sequence[Stretch], heard: int) -> npt.NDArray[np.bool_]:
    """Where speech is known to be after so much audio, on the grid."""
    mask = np.zeros(-(-heard // GRID_SAMPLES), np.bool_)
    for stretch in spoken:
        if stretch.started_samples > heard:
            break
        ended = stretch.ended_samples is not None and stretch.ended_samples <= heard
        end = stretch.end_samples if ended else heard
        mask[round(stretch.start_samples / GRID_SAMPLES) : round(end / GRID_SAMPLES)] = True
    return mask


def _said(votes: Labels, speech: npt.NDArray[np.bool_]) -> Labels:
    """The label of speech; where no window voted, as at an onset, the next in the same stretch."""
    said = np.where(speech, votes, NOBODY)
    for low, high in _runs(speech.astype(np.int64)):
        known = low + np.flatnonzero(said[low:high] != NOBODY)
        if len(known):
            following = np.searchsorted(known, np.arange(low, high))
            said[low:high] = said[known[np.minimum(following, len(known) - 1)]]
    return said


def _turns(said: Labels, start: int, heard: int) -> list[Turn]:
    """Runs of one label, from a place of the grid on; none goes on after what was heard."""
    end = heard / SAMPLE_RATE_HERTZ
    return [
        Turn(f"S{said[low] + 1}", (start + low) / GRID_HERTZ, min((start + high) / GRID_HERTZ, end))
        for low, high in _runs(said)
        if said[low] != NOBODY
    ]


def _runs(values: Labels) -> list[tuple[int, int]]:
    """Start and end of each run of equal values."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(low, high) for low, high in pairwise(edges) if high > low]
