"""End of speech: how soon it is noticed, and how often a pause is taken for it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from voiceflow.evaluation import Spoken
from voiceflow.evaluation.endpoint import (
    Endings,
    OperatingPoint,
    SpeechTrace,
    end_events,
    endings,
    pareto_front,
    trade_off,
)
from voiceflow.evaluation.silences import silences_in

REFERENCE = [
    Spoken("ann", 1.0, 3.0),  # then a pause of 0.4 s
    Spoken("ann", 3.4, 5.0),  # an end at 5.0
    Spoken("bob", 6.0, 8.0),  # an end at 8.0
]
SILENCES = silences_in(REFERENCE, 10.0)


def trace(*speech: tuple[float, float], seconds: float = 10.0, hop_frames: int = 1) -> SpeechTrace:
    """Frames of 20 ms with probability 0.9 in speech and 0.1 out of it, told hop by hop."""
    middles = (np.arange(round(seconds / 0.02)) + 0.5) * 0.02
    active = np.logical_or.reduce([(start < middles) & (middles < end) for start, end in speech])
    hops = np.arange(len(middles)) // hop_frames
    told = ((hops + 1) * hop_frames * 0.02).astype(np.float64)
    return SpeechTrace(0.02, np.where(active, 0.9, 0.1).astype(np.float32), told)


def test_an_end_is_told_when_the_wait_is_over() -> None:
    """Speech to 3.0 s and a wait of 0.2 s: told with 3.2 s heard."""
    events = end_events(trace((1.0, 3.0), (4.0, 5.0)), 0.5, 0.2)
    assert events == pytest.approx([3.2, 5.2])


def test_an_end_is_told_with_the_hop_that_shows_it() -> None:
    """With hops of 80 ms, 3.2 s is the end of the fortieth: with 240 ms, the end of a later one."""
    assert end_events(trace((1.0, 3.0), hop_frames=4), 0.5, 0.2) == pytest.approx([3.2])
    assert end_events(trace((1.0, 3.0), hop_frames=12), 0.5, 0.2) == pytest.approx([3.36])


def test_a_wait_is_of_whole_frames_and_at_least_one() -> None:
    """Frames of 20 ms: a wait of 0.05 s is two of them, one of 1 ms is one."""
    assert end_events(trace((1.0, 3.0)), 0.5, 0.05) == pytest.approx([3.04])
    assert end_events(trace((1.0, 3.0)), 0.5, 0.001) == pytest.approx([3.02])


def test_silence_is_at_or_under_the_threshold() -> None:
    """Above the probabilities of speech nobody is ever heard; under those of silence, always."""
    assert end_events(trace((1.0, 3.0)), 0.95, 0.2) == []
    assert end_events(trace((1.0, 3.0)), 0.05, 0.2) == []


def test_a_click_is_no_speech_that_could_end() -> None:
    """The product's own detector wants 80 ms of speech before it believes in it."""
    assert end_events(trace((1.0, 1.06)), 0.5, 0.2) == []


def test_events_are_worth_what_the_silence_is_in_which_they_are_told() -> None:
    """One in a pause, one in speech, one 0.2 s after an end, none at the other end."""
    found = endings([3.3, 4.0, 5.2], SILENCES)
    assert found.latencies_seconds == pytest.approx([0.2, math.inf])
    assert (found.pauses, found.cut_ins) == (1, 1)
    assert (found.events, found.events_in_speech) == (3, 1)
    assert found.speech_seconds == pytest.approx(5.6)
    assert found.missed == 1
    assert found.missed_percent == 50.0
    assert found.cut_in_percent == 100.0
    assert found.false_percent == pytest.approx(200 / 3)
    assert found.cut_ins_in_speech_per_minute == pytest.approx(60 / 5.6)


def test_an_event_shortly_before_a_silence_belongs_to_it() -> None:
    """References are not exact to the frame: 0.25 s early it notices an end, or cuts in."""
    early = endings([2.8, 4.75, 7.7], SILENCES)
    assert early.latencies_seconds == pytest.approx([-0.25, math.inf])
    assert (early.cut_ins, early.events_in_speech) == (1, 1)


def test_an_event_told_when_another_speaks_is_no_end_noticed() -> None:
    """Ann's end at 5.0 s is over when Bob begins: an event from then on is in his speech."""
    late = endings([6.0], SILENCES)
    assert late.latencies_seconds == (math.inf, math.inf)
    assert late.events_in_speech == 1


def test_an_event_told_with_the_last_audio_belongs_to_the_silence_there() -> None:
    """All has been heard by then, and nobody speaks any more."""
    assert endings([10.0], SILENCES).latencies_seconds == (math.inf, 2.0)
    cut = silences_in([Spoken("ann", 1.0, 10.0)], 10.0)
    assert endings([10.0], cut) == Endings(events=1, speech_seconds=9.0)


def test_only_the_first_event_of_a_silence_counts() -> None:
    """An agent that has begun to speak does not begin once more."""
    assert endings([5.6, 5.2, 5.9], SILENCES).latencies_seconds[0] == pytest.approx(0.2)


def test_events_before_the_first_word_or_between_two_speakers_are_worth_nothing() -> None:
    """There is nobody to cut off, nor has anybody ended who is waited for."""
    silences = silences_in([Spoken("ann", 1.0, 3.0), Spoken("bob", 3.4, 9.9)], 10.0)
    found = endings([0.5, 3.2, 9.95], silences)
    assert found.latencies_seconds == ()
    assert (found.pauses, found.cut_ins, found.events_in_speech, found.events) == (0, 0, 0, 3)


def test_a_missed_end_is_infinitely_late() -> None:
    """Who misses two ends of four is at the median as fast as the other two, and never at 95 %."""
    found = Endings(latencies_seconds=(0.1, math.inf, 0.3, math.inf))
    assert found.latency_seconds(50) == 0.3
    assert found.latency_seconds(25) == 0.1
    assert found.latency_seconds(95) == math.inf


def test_shares_of_nothing_are_no_numbers() -> None:
    """No end, no pause, no event, no speech."""
    nothing = Endings()
    assert math.isnan(nothing.latency_seconds(50))
    assert math.isnan(nothing.missed_percent)
    assert math.isnan(nothing.cut_in_percent)
    assert math.isnan(nothing.false_percent)
    assert math.isnan(nothing.cut_ins_in_speech_per_minute)


def test_the_trade_off_is_every_pair_over_all_recordings() -> None:
    """A wait of 0.2 s cuts in, one of 0.44 s does not and is later; both recordings count."""
    heard = [
        (trace((1.0, 3.0), (3.4, 5.0), (6.0, 8.0)), REFERENCE, 10.0),
        (trace((1.0, 3.0)), [Spoken("cy", 1.0, 3.0)], 10.0),
    ]
    points = trade_off(heard, thresholds=(0.5, 0.95), waits_seconds=(0.2, 0.44))
    pairs = [(point.threshold, point.wait_seconds) for point in points]
    assert pairs == [(0.5, 0.2), (0.5, 0.44), (0.95, 0.2), (0.95, 0.44)]
    fast, slow, deaf, _ = (point.endings for point in points)
    assert fast.latencies_seconds == pytest.approx([0.2] * 3)
    assert slow.latencies_seconds == pytest.approx([0.44] * 3)
    assert (fast.cut_ins, slow.cut_ins, fast.pauses) == (1, 0, 1)
    assert deaf.missed == 3
    assert pareto_front(points) == points[:2]


def point(latency_seconds: float, cut_ins: int) -> OperatingPoint:
    """With one end and a hundred pauses."""
    return OperatingPoint(0.5, 0.2, Endings((latency_seconds,), 100, cut_ins))


def test_the_front_holds_what_no_other_beats() -> None:
    """Neither later with as many cut-ins, nor with more of them as late; misses have no place."""
    best = [point(0.1, 50), point(0.2, 20), point(0.4, 5)]
    worse = [point(0.2, 30), point(0.3, 20), point(0.5, 10), point(math.inf, 0)]
    unknown = OperatingPoint(0.5, 0.2, Endings((0.05,)))
    assert pareto_front([*worse, unknown, *reversed(best)]) == best
