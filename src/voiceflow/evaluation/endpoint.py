"""How soon the end of speech is noticed, and how often a pause is taken for it.

A voice agent that answers when it hears that speech has ended wants to hear so soon, and not while
somebody only takes breath. A system tells speech probabilities; the product's own detector
(`pipeline.activity.EdgeDetector`) turns them into events: speech has ended when all frames of a
`wait` lie at or under a threshold. Every pair of threshold and wait is one point of the trade-off.

What an event is worth depends on the moment at which it was told, in audio (computing time is not
in it), and on the silences of the reference (see `silences`):

- the first event told in an *end* of speech notices it, so long after the silence began. Without
  one the end is missed, which counts as noticed infinitely late: nobody gets faster by missing
  what is hard.
- an event told in a *pause* of a speaker who goes on is a false cut-in.
- an event told while somebody speaks cuts in, too, and is counted apart: references that close
  short pauses (under 0.3 s, say) hide in their speech what is a pause to the ear.
- an event told in any other silence counts for nothing, nor does a further one in the same silence.

References are not exact to the frame: an event told at most 0.25 s (the collar that NIST gives on
either side) before a silence begins belongs to that silence; its latency is negative then.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceflow.evaluation.adding import Additive
from voiceflow.evaluation.silences import Silence, SilenceKind, silences_in
from voiceflow.evaluation.spoken import Spoken
from voiceflow.pipeline.activity import EdgeDetector
from voiceflow.pipeline.edges import SPEECH_ONSET_SECONDS
from voiceflow.pipeline.model import FloatArray

EARLY_SECONDS: Final = 0.25
THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WAITS_SECONDS: Final = tuple(step * 0.04 for step in range(1, 26))


@dataclass(frozen=True, slots=True)
class SpeechTrace:
    """The speech probabilities of one recording, frame after frame from its start.

    Attributes:
        frame_seconds: Length of a frame.
        speech: That anybody speaks, (frames,).
        covered_seconds: Audio that had been heard when each frame was told, (frames,).
    """

    frame_seconds: float
    speech: FloatArray = field(repr=False)
    covered_seconds: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endings(Additive):
    """What the events of a recording, or of several, were worth; `Endings()` is of none.

    Attributes:
        latencies_seconds: From each end to its event; infinite where it was missed.
        pauses: Of a speaker who goes on.
        cut_ins: Pauses in which an event was told.
        events: All that were told.
        events_in_speech: Those that were told while somebody spoke.
        speech_seconds: In which anybody speaks.
    """

    latencies_seconds: tuple[float, ...] = ()
    pauses: int = 0
    cut_ins: int = 0
    events: int = 0
    events_in_speech: int = 0
    speech_seconds: float = 0.0

    def latency_seconds(self, percent: float) -> float:
        """The latency that so many percent of the ends do not exceed; NaN without ends.

        The nearest rank, so that missed ends, which are infinitely late, have their place.
        """
        ranked = sorted(self.latencies_seconds)
        return ranked[max(math.ceil(percent / 100 * len(ranked)), 1) - 1] if ranked else math.nan

    @property
    def missed(self) -> int:
        """Ends without an event."""
        return sum(map(math.isinf, self.latencies_seconds))

    @property
    def missed_percent(self) -> float:
        """Of the ends; NaN without any."""
        return _percent(self.missed, len(self.latencies_seconds))

    @property
    def cut_in_percent(self) -> float:
        """The share of pauses under 0.5 s that were taken for an end; NaN without pauses."""
        return _percent(self.cut_ins, self.pauses)

    @property
    def false_percent(self) -> float:
        """The share of events that cut in, in a pause or in speech; NaN without events."""
        return _percent(self.cut_ins + self.events_in_speech, self.events)

    @property
    def cut_ins_in_speech_per_minute(self) -> float:
        """Events told while somebody spoke, in a minute of speech; NaN without speech."""
        return _percent(self.events_in_speech, self.speech_seconds) * 0.6


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One point of the trade-off.

    Attributes:
        threshold: At or under it a frame is silent.
        wait_seconds: So long a silence is believed, in whole frames.
        endings: What its events were worth.
    """

    threshold: float
    wait_seconds: float
    endings: Endings


def end_events(trace: SpeechTrace, threshold: float, wait_seconds: float) -> list[float]:
    """When the ends of speech are told, in seconds of audio heard by then.

    Speech that goes on to the end of the recording is not told to have ended.

    Args:
        trace: Of one recording.
        threshold: At or under it a frame is silent.
        wait_seconds: So long a silence is believed; it is rounded to whole frames, at least one.
    """
    rise, fall = (
        max(1, round(seconds / trace.frame_seconds))
        for seconds in (SPEECH_ONSET_SECONDS, wait_seconds)
    )
    edges = EdgeDetector(threshold, rise, fall).push(trace.speech)
    # An edge lies where the silence began; it was proved by the frame with which the wait was over.
    return [float(trace.covered_seconds[e.frame + fall - 1]) for e in edges if not e.rising]


def endings(events: Iterable[float], silences: Sequence[Silence]) -> Endings:
    """What events are worth.

    Args:
        events: When each was told, in seconds of audio heard by then.
        silences: Of the recording, as `silences_in` gives them.
    """
    starts = [silence.start_seconds for silence in silences]
    first_events: dict[int, float] = {}
    told = in_speech = 0
    for event in sorted(events):
        told += 1
        number = bisect_right(starts, event) - 1
        if number < len(starts) - 1 and event >= silences[number].end_seconds:  # somebody speaks
            number += 1
            if event < starts[number] - EARLY_SECONDS:
                in_speech += 1
                continue
        first_events.setdefault(number, event)
    silent = sum(silence.end_seconds - silence.start_seconds for silence in silences)
    return Endings(
        tuple(
            first_events.get(number, math.inf) - silence.start_seconds
            for number, silence in enumerate(silences)
            if silence.kind is SilenceKind.END
        ),
        pauses=sum(silence.kind is SilenceKind.PAUSE for silence in silences),
        cut_ins=sum(silences[number].kind is SilenceKind.PAUSE for number in first_events),
        events=told,
        events_in_speech=in_speech,
        speech_seconds=silences[-1].end_seconds - silent,
    )


def trade_off(
    recordings: Sequence[tuple[SpeechTrace, Sequence[Spoken], float]],
    thresholds: Sequence[float] = THRESHOLDS,
    waits_seconds: Sequence[float] = WAITS_SECONDS,
) -> list[OperatingPoint]:
    """Every pair of threshold and wait, over all recordings.

    Args:
        recordings: Of each: what was told, who speaks when, and how many seconds it has.
        thresholds: To try.
        waits_seconds: To try.
    """
    heard = [(trace, silences_in(reference, seconds)) for trace, reference, seconds in recordings]
    points = []
    for threshold, wait in product(thresholds, waits_seconds):
        judged = (
            endings(end_events(trace, threshold, wait), silences) for trace, silences in heard
        )
        points.append(OperatingPoint(threshold, wait, sum(judged, Endings())))
    return points


def pareto_front(points: Iterable[OperatingPoint], percent: float = 50.0) -> list[OperatingPoint]:
    """The points that no other beats, by latency, with fewer false cut-ins the later they are.

    Args:
        points: To choose from; those without a finite latency or without pauses have no place.
        percent: Of the ends, whose latency counts.
    """
    placed = [
        (point.endings.latency_seconds(percent), point.endings.cut_in_percent, point)
        for point in points
    ]
    placed = [place for place in placed if math.isfinite(place[0] + place[1])]
    front: list[OperatingPoint] = []
    fewest = math.inf
    for _, cut_ins, point in sorted(placed, key=lambda place: place[:2]):
        if cut_ins < fewest:
            front.append(point)
            fewest = cut_ins
    return front


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else math.nan
