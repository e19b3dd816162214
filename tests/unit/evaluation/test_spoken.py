"""Stretches of speech."""

from __future__ import annotations

from voiceflow.evaluation import Spoken, spoken_in, united
from voiceflow.pipeline.turns import Region


def test_stretches_of_one_speaker_that_overlap_or_touch_are_one() -> None:
    """Whichever ends last, in any order; touching is to within half a sample."""
    spoken = [
        Spoken("ann", 2.0, 3.0),
        Spoken("ann", 0.0, 1.5),
        Spoken("ann", 0.5, 1.0),
        Spoken("ann", 1.50003, 2.0),
        Spoken("bob", 1.0, 2.5),
    ]
    assert united(spoken) == [Spoken("ann", 0.0, 3.0), Spoken("bob", 1.0, 2.5)]


def test_a_sample_between_two_stretches_keeps_them_apart() -> None:
    """1/16000 s of silence is silence."""
    spoken = [Spoken("ann", 0.0, 1.0), Spoken("ann", 1.0 + 1 / 16_000, 2.0)]
    assert united(spoken) == spoken


def test_empty_stretches_are_left_out() -> None:
    """They say nothing, and their speaker is none."""
    assert united([Spoken("ann", 1.0, 1.0), Spoken("bob", 2.0, 1.0)]) == []


def test_a_partition_says_who_speaks_in_it() -> None:
    """Regions that go on with a speaker are one stretch of theirs."""
    regions = [
        Region(0, 16_000, ("S1",)),
        Region(16_000, 24_000, ("S1", "S2")),
        Region(24_000, 32_000, ()),
        Region(32_000, 48_000, ("S2",)),
    ]
    assert spoken_in(regions) == [
        Spoken("S1", 0.0, 1.5),
        Spoken("S2", 1.0, 1.5),
        Spoken("S2", 2.0, 3.0),
    ]
