"""What a generation does is counted once, bounded, and told as a registry takes it."""

from __future__ import annotations

import pytest

from voiceflow.catalog.channels import Role
from voiceflow.pipeline.turns import (
    UNKNOWN,
    HopResult,
    Region,
    SpeakerMerged,
    SpeechEvent,
    SpeechEventKind,
    Turn,
)
from voiceflow_inference.batcher import BatchRun, Urgency
from voiceflow_inference.serving.evidence import Flicker, Pair
from voiceflow_inference.serving.tally import MAXIMUM_PAIRS, Tally
from voiceflow_registry.pods.outcomes import quantile
from voiceflow_registry.pods.reports import check_outcomes

VERSION = "models/diarizer/versions/1.0.0"
MINUTE_SAMPLES = 60 * 16_000


def batch(
    hops: int,
    *,
    failed: int = 0,
    non_finite: int = 0,
    latencies: tuple[float, ...] = (),
    hung: bool = False,
) -> BatchRun:
    """A batch of live hops."""
    return BatchRun(hops, failed, non_finite, 0.01, Urgency.LIVE, latencies, hung)


def hop(*regions: Region, turns: int = 0, merged: int = 0) -> HopResult:
    """What a hop has made final."""
    return HopResult(
        regions,
        tuple(Turn("S1", 0, 1, 1.0, final=True) for _ in range(turns)),
        (),
        (
            *(SpeakerMerged("S2", "S1", 0) for _ in range(merged)),
            SpeechEvent(SpeechEventKind.SPEECH_STARTED, 0, 0),
        ),
        0,
        0,
    )


def region(speakers: str, minutes: float = 1.0) -> Region:
    """A region of so many minutes."""
    return Region(0, round(minutes * MINUTE_SAMPLES), tuple(speakers.split()))


def test_hops_are_counted_by_what_became_of_them() -> None:
    """Hops that are not finite failed, too: their streams got nothing."""
    tally = Tally()
    tally.add_batch(batch(4, failed=1))
    tally.add_batch(batch(3, non_finite=2))
    told = tally.outcomes(VERSION, Role.CANARY)
    evidence = tally.evidence()
    assert (told.hops, told.failed_hops, told.non_finite_hops) == (7, 3, 2)
    assert (evidence.hops, evidence.failed_hops, evidence.non_finite_hops) == (7, 3, 2)
    assert not evidence.hung
    tally.add_batch(batch(1, failed=1, hung=True))
    tally.add_batch(batch(1))
    assert tally.evidence().hung


def test_latencies_are_told_as_a_histogram() -> None:
    """From a millisecond to eight seconds; a quantile is found again within half an octave."""
    tally = Tally()
    tally.add_batch(batch(100, latencies=(0.003,) * 98 + (0.2, 100.0)))
    told = tally.outcomes(VERSION, Role.PRIMARY).compute_latency_seconds
    assert sum(told.counts) == 100
    assert told.counts[-1] == 1
    assert told.sum == pytest.approx(98 * 0.003 + 100.2)
    assert quantile(told, 0.5) == pytest.approx(0.003, rel=0.5)


def test_a_stream_counts_where_it_is() -> None:
    """A stream that moves is one on either side; its changes count where they happened."""
    old, new = Tally(), Tally()
    there = old.stream_began()
    there.heard(hop(region("S1"), region("S2 S1", 0.5), region("")), label_changes=3)
    there.ended(failed=True)
    there.ended(failed=True)
    here = new.stream_began(label_changes=3)
    here.heard(hop(region("S1 S3"), region(UNKNOWN), turns=2, merged=1), label_changes=5)

    told = old.outcomes(VERSION, Role.PRIMARY)
    assert (told.streams, told.failed_streams, told.speakers, told.label_changes) == (1, 1, 2, 3)
    assert told.speech_seconds == 90
    told = new.outcomes(VERSION, Role.PRIMARY)
    assert (told.streams, told.failed_streams, told.speakers, told.label_changes) == (1, 0, 2, 2)
    assert (told.turns, told.speakers_merged, told.speech_seconds) == (2, 1, 120)


def test_a_speaker_is_counted_once_a_stream() -> None:
    """However often it speaks; somebody unknown is no speaker."""
    tally = Tally()
    for _ in range(2):
        stream = tally.stream_began()
        for _ in range(3):
            stream.heard(hop(region("S1"), region(f"S2 {UNKNOWN}")), label_changes=0)
    assert tally.outcomes(VERSION, Role.PRIMARY).speakers == 4


def test_flicker_has_streams_as_units_also_while_they_live() -> None:
    """Streams that have ended are kept as sums; those without speech say nothing."""
    tally = Tally()
    live, gone, silent = (tally.stream_began() for _ in range(3))
    live.heard(hop(region("S1", 2.0)), label_changes=1)
    gone.heard(hop(region("S1", 4.0)), label_changes=3)
    silent.heard(hop(region("", 4.0)), label_changes=0)
    expected = Flicker(2, 4, 6.0, 10, 14.0, 20.0)
    assert tally.evidence().flicker == expected
    gone.ended(failed=False)
    silent.ended(failed=False)
    assert tally.evidence().flicker == expected


def test_pairs_are_counted_up_to_a_number_and_then_anew() -> None:
    """Bounded, and none where another base has come."""
    tally = Tally()
    for number in range(MAXIMUM_PAIRS):
        tally.pair(Pair(float(number), 1.0))
    assert len(tally.evidence().pairs) == MAXIMUM_PAIRS
    tally.pair(Pair(7.0, 1.0))
    assert tally.evidence().pairs == (Pair(7.0, 1.0),)
    tally.forget_pairs()
    assert tally.evidence().pairs == ()


def test_scores_add_up() -> None:
    """With their squares, for their spread."""
    tally = Tally()
    for value in (1.0, 2.0, -4.0):
        tally.stream_began().score(value)
    told = tally.outcomes(VERSION, Role.PRIMARY)
    assert (told.score_count, told.score_sum, told.score_sum_of_squares) == (3, -1.0, 21.0)


@pytest.mark.parametrize("score", [1e300, -1e300, 1e15, 1e6])
def test_no_score_makes_a_report_that_a_registry_refuses(score: float) -> None:
    """A client names any number that it likes; the pod's reports must go on."""
    tally = Tally()
    for _ in range(5000):
        tally.stream_began().score(score)
    check_outcomes([tally.outcomes(VERSION, Role.PRIMARY)])


def test_outcomes_are_as_a_registry_takes_them() -> None:
    """Parts are never more than their wholes, whatever streams did elsewhere."""
    tally = Tally()
    stream = tally.stream_began()
    stream.heard(hop(merged=2), label_changes=0)  # speakers that it had on another generation
    tally.add_batch(batch(3, failed=1, non_finite=2, latencies=(0.0, 0.5)))
    tally.compared(100, 7)
    told = tally.outcomes(VERSION, Role.SHADOW)
    check_outcomes([told])
    assert (told.compared_frames, told.differing_frames) == (100, 7)
    assert (told.version, told.role) == (VERSION, Role.SHADOW)
