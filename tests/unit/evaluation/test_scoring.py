"""Error rates of whole recordings."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from voiceflow import evaluation
from voiceflow.errors import NotAllowedNow
from voiceflow.evaluation import Scorer, Spoken, spoken_in
from voiceflow.pipeline.turns import UNKNOWN, Region

REFERENCE = [Spoken("ann", 0.0, 4.0), Spoken("bob", 4.0, 8.0)]
SECOND = 16_000


def test_the_parts_of_an_error_are_told_apart() -> None:
    """Half of Ann missed, half of Bob taken for Ann, a second of silence called speech."""
    found = [
        Region(0, 2 * SECOND, ("S1",)),
        Region(4 * SECOND, 6 * SECOND, ("S1",)),
        Region(6 * SECOND, 8 * SECOND, ("S2",)),
        Region(8 * SECOND, 9 * SECOND, ("S2",)),
    ]
    score = Scorer().add("talk", REFERENCE, found, 10 * SECOND)
    assert (score.missed_percent, score.confusion_percent) == (25.0, 25.0)
    assert score.false_alarm_percent == 12.5
    assert score.der_percent == 62.5
    assert score.speakers == "2/2"


def test_rates_are_pooled_over_reference_speech() -> None:
    """A recording counts by how much is spoken in it, not as one of several."""
    scorer = Scorer()
    scorer.add(
        "right",
        REFERENCE,
        [Region(0, 4 * SECOND, ("S1",)), Region(4 * SECOND, 8 * SECOND, ("S2",))],
        8 * SECOND,
    )
    scorer.add("missed", [Spoken("ann", 0.0, 2.0)], [], 2 * SECOND)
    assert scorer.pooled().der_percent == pytest.approx(20.0)
    assert scorer.pooled().reference_seconds == pytest.approx(10.0)


def test_overlap_is_scored_without_a_collar() -> None:
    """Whoever speaks at the same time counts twice, up to the very edge."""
    both = [Spoken("ann", 0.0, 1.0), Spoken("bob", 0.0, 1.0)]
    score = Scorer().add("talk", both, [Region(0, SECOND, ("S1",))], SECOND)
    assert score.der_percent == 50.0


def test_a_speaker_who_is_listed_twice_at_a_time_speaks_once() -> None:
    """Overlapping and touching stretches of one speaker are one, in reference and hypothesis."""
    twice = [Spoken("ann", 0.0, 1.0), Spoken("ann", 0.5, 2.0), Spoken("ann", 2.0, 4.0)]
    score = Scorer().add("talk", twice, [Spoken("S1", 0.0, 3.0), Spoken("S1", 1.0, 4.0)], 64_000)
    assert (score.reference_seconds, score.der_percent) == (4.0, 0.0)


def test_the_stretches_of_any_system_score_as_regions_do() -> None:
    """A hypothesis that was read from RTTM and the pipeline's own regions are one to the scorer."""
    regions = [Region(0, 2 * SECOND, ("S1", "S2")), Region(2 * SECOND, 5 * SECOND, ("S2",))]
    scores = [
        Scorer().add("talk", REFERENCE, found, 8 * SECOND)
        for found in (regions, spoken_in(regions))
    ]
    assert scores[0] == scores[1]


def test_what_is_past_the_end_of_the_recording_is_not_scored() -> None:
    """The whole recording is evaluated, and nothing else."""
    score = Scorer().add("talk", REFERENCE, [Spoken("S1", 0.0, 9.0)], 4 * SECOND)
    assert (score.reference_seconds, score.der_percent) == (4.0, 0.0)


def test_a_collar_is_given_by_its_total_width() -> None:
    """Half a second in all: errors to a quarter of a second from a true edge do not count."""
    reference = [Spoken("ann", 1.0, 5.0)]
    found = [Spoken("S1", 1.25, 4.5)]
    assert Scorer().add("talk", reference, found, 6 * SECOND).der_percent == 18.75
    nist = Scorer(collar_total_seconds=0.5).add("talk", reference, found, 6 * SECOND)
    assert nist.reference_seconds == pytest.approx(3.5)
    assert nist.missed_percent == pytest.approx(100 * 0.25 / 3.5)


def test_overlap_is_scored_with_a_collar_too() -> None:
    """A second voice that is not found is missed, whatever the collar."""
    both = [Spoken("ann", 0.0, 4.0), Spoken("bob", 0.0, 4.0)]
    score = Scorer(0.5).add("talk", both, [Region(0, 4 * SECOND, ("S1",))], 4 * SECOND)
    assert score.der_percent == pytest.approx(50.0)


def test_jer_counts_every_speaker_alike() -> None:
    """Bob's one second weighs as much as Ann's nine: he is not found, she is."""
    reference = [Spoken("ann", 0.0, 9.0), Spoken("bob", 9.0, 10.0)]
    scorer = Scorer()
    score = scorer.add("talk", reference, [Spoken("S1", 0.0, 9.0)], 10 * SECOND)
    assert (score.der_percent, score.jer_percent) == (10.0, 50.0)
    scorer.add("more", [Spoken("ann", 0.0, 1.0)], [Spoken("S1", 0.0, 1.0)], SECOND)
    assert scorer.pooled().jer_percent == pytest.approx(100 / 3)


def test_the_map_of_speakers_leaves_the_least_confusion() -> None:
    """S2 is mapped to Bob though Ann speaks longer under it: S1 is worth more as Ann."""
    reference = [Spoken("ann", 0.0, 6.0), Spoken("bob", 6.0, 7.0)]
    found = [Spoken("S1", 0.0, 4.0), Spoken("S2", 4.0, 7.0), Spoken("S3", 8.0, 9.0)]
    scorer = Scorer()
    assert scorer.mapping(reference, found, 9 * SECOND) == {"S1": "ann", "S2": "bob"}
    assert math.isnan(scorer.pooled().der_percent)


def test_unknown_is_scored_and_is_no_speaker() -> None:
    """It is a label like any other to the rates, and claims to be nobody in the count."""
    found = [Spoken("S1", 0.0, 4.0), Spoken(UNKNOWN, 4.0, 8.0)]
    score = Scorer().add("talk", REFERENCE, found, 8 * SECOND)
    assert (score.der_percent, score.speakers) == (0.0, "1/2")


def test_the_seconds_of_error_add_up_to_the_pooled_rate() -> None:
    """What is resampled for an interval is what is pooled."""
    scorer = Scorer()
    scores = [
        scorer.add("one", REFERENCE, [Spoken("S1", 0.0, 4.5)], 8 * SECOND),
        scorer.add("two", [Spoken("ann", 0.0, 1.0)], [], SECOND),
    ]
    seconds = sum(score.error_seconds for score in scores)
    pooled = scorer.pooled()
    assert 100 * seconds / pooled.reference_seconds == pytest.approx(pooled.der_percent)


def test_rates_of_nothing_are_no_numbers() -> None:
    """A collar may leave no speech to score: that is neither 0 % nor 100 %."""
    score = Scorer(0.5).add("talk", [Spoken("ann", 1.0, 1.4)], [], 2 * SECOND)
    assert (score.reference_seconds, score.error_seconds) == (0.0, 0.0)
    assert math.isnan(score.der_percent)
    assert math.isnan(score.jer_percent)
    assert math.isnan(score.rounded().der_percent)


def test_a_missing_scorer_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyannote.metrics comes with an extra, and the message says which."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(NotAllowedNow, match=r"voiceflow\[registry\]") as refused:
        Scorer()
    assert refused.value.reason == "SCORER_MISSING"


def test_scoring_is_imported_only_where_it_is_used() -> None:
    """Importing the package brings no pyannote: a sandboxed process need not load it."""
    for path in Path(evaluation.__file__).parent.glob("*.py"):
        source = path.read_text("utf-8")
        assert "import pyannote" not in source
        assert "from pyannote" not in source
