"""Two scorers that share nothing say the same of the same turns."""

from __future__ import annotations

import random

import pytest

from voiceflow.evaluation import Score, Scorer, Spoken

pytest.importorskip("spyder", reason="the second scorer is built where there is a C++ compiler")

from benchmarks.second_scorer import SecondScorer

SECONDS = 60.0
SAMPLES = 960_000
PARTS = ("der_percent", "missed_percent", "false_alarm_percent", "confusion_percent")
AGREE_PERCENT = 0.05


def made_up(rng: random.Random, speakers: int, prefix: str) -> list[Spoken]:
    """A conversation with much overlap, its times to the tenth of a millisecond."""
    turns = []
    for number in range(speakers):
        at = rng.uniform(0, 5)
        while at < SECONDS:
            end = min(at + rng.uniform(0.1, 4), SECONDS)
            turns.append(Spoken(f"{prefix}{number}", round(at, 4), round(end, 4)))
            at = end + rng.uniform(0.05, 2 * speakers)
    return turns


def blurred(rng: random.Random, turns: list[Spoken]) -> list[Spoken]:
    """Nearly the same turns: edges moved, some lost, so that one speaker's may overlap."""
    kept = [turn for turn in turns if rng.random() < 0.9]
    return [
        Spoken(
            turn.speaker.lower(),
            max(0.0, turn.start_seconds - rng.uniform(-0.05, 0.3)),
            turn.end_seconds + rng.uniform(0.0, 0.3),
        )
        for turn in kept
    ]


def differences(one: Score, other: Score) -> list[float]:
    """By which the rates differ, in points; the scored speech must be the same."""
    assert one.reference_seconds == pytest.approx(other.reference_seconds)
    return [abs(getattr(one, part) - getattr(other, part)) for part in PARTS]


@pytest.mark.parametrize("collar_total_seconds", [0.0, 0.5])
def test_the_scorers_agree_on_overlapping_speech(collar_total_seconds: float) -> None:
    """On every made-up recording, guessed well or badly, and on all of them together."""
    rng = random.Random(5)
    first, second = Scorer(collar_total_seconds), SecondScorer(collar_total_seconds)
    for number in range(20):
        reference = made_up(rng, rng.randint(1, 4), "A")
        guess = made_up(rng, rng.randint(1, 5), "S") if number % 2 else blurred(rng, reference)
        recording = (f"{number}", reference, guess, SAMPLES)
        assert max(differences(first.add(*recording), second.add(*recording))) < AGREE_PERCENT
    assert max(differences(first.pooled(), second.pooled())) < AGREE_PERCENT
    assert first.pooled().confusion_percent > 1.0


@pytest.mark.parametrize("collar_total_seconds", [0.0, 0.5])
@pytest.mark.parametrize(
    "found",
    [
        [],
        [Spoken("S1", 0.0, 10.0)],
        [Spoken("S1", 1.0, 4.0), Spoken("S1", 2.0, 9.0)],
        [Spoken("S1", 0.0, 100.0), Spoken("S2", 3.0, 100.0)],
    ],
    ids=["nothing", "one", "twice-at-once", "past-the-end"],
)
def test_the_scorers_agree_at_the_edges(found: list[Spoken], collar_total_seconds: float) -> None:
    """Nobody found, one speaker said twice, speech past the end of the recording."""
    reference = [Spoken("A", 0.0, 4.0), Spoken("A", 4.0, 6.0), Spoken("B", 5.0, 12.0)]
    scores = [
        scorer.add("", reference, found, 160_000)
        for scorer in (Scorer(collar_total_seconds), SecondScorer(collar_total_seconds))
    ]
    assert max(differences(*scores)) < AGREE_PERCENT


def test_what_a_collar_leaves_nothing_of_has_no_rate() -> None:
    """Nor has a pool of nothing else; with something else it counts for nothing."""
    scorer = SecondScorer(0.5)
    short = scorer.add("short", [Spoken("A", 1.0, 1.2)], [], SAMPLES)
    assert short.reference_seconds == 0
    assert short.der_percent != short.der_percent  # NaN
    assert scorer.pooled().der_percent != scorer.pooled().der_percent
    scorer.add("long", [Spoken("A", 1.0, 11.0)], [], SAMPLES)
    assert scorer.pooled().missed_percent == pytest.approx(100.0)
