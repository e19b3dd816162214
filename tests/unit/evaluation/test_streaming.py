"""The streaming measures of recordings, and their sum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.evaluation import Scorer, Spoken
from voiceflow.evaluation.streaming import FINAL, Errors, Reentry, Speakers, Streaming, measure
from voiceflow.evaluation.telling import Telling, final
from voiceflow.pipeline.turns import UNKNOWN

REFERENCE = [Spoken("ann", 0.0, 4.0), Spoken("bob", 4.0, 8.0)]
MAPPING = {"S1": "ann", "S2": "bob"}


def at_once(*said: Spoken, seconds: float = 10.0) -> list[Telling]:
    """All told at the end, as a system does that hears the whole recording first."""
    return [Telling(seconds, 0.0, said)]


def at_the_end(reference: list[Spoken], *said: Spoken, seconds: float = 10.0) -> Errors:
    """Errors of what is said in the end, with the map of the tests."""
    return measure(reference, at_once(*said, seconds=seconds), seconds, MAPPING).by_delay[FINAL]


def test_the_parts_of_an_error_are_told_apart() -> None:
    """A second of Ann missed, one of Bob taken for her, one of silence called speech."""
    errors = at_the_end(
        REFERENCE, Spoken("S1", 1.0, 5.0), Spoken("S2", 5.0, 9.0), Spoken("S2", 3.0, 3.5)
    )
    assert errors.reference_seconds == 8.0
    assert errors.missed_seconds == 1.0
    assert errors.false_alarm_seconds == 1.5
    assert errors.confusion_seconds == 1.0
    assert errors.der_percent == pytest.approx(43.75)


def test_overlap_is_scored() -> None:
    """Who speaks at the same time counts for both, and each can be missed or confused alone."""
    reference = [Spoken("ann", 0.0, 4.0), Spoken("bob", 0.0, 4.0)]
    errors = at_the_end(reference, Spoken("S1", 0.0, 4.0), Spoken("S3", 0.0, 1.0))
    assert (errors.reference_seconds, errors.missed_seconds) == (8.0, 3.0)
    assert (errors.confusion_seconds, errors.false_alarm_seconds) == (1.0, 0.0)


def test_later_words_count_for_longer_delays_only() -> None:
    """Told wrong after one second and put right after three: half of it is right by then."""
    reference = [Spoken("ann", 0.0, 4.0)]
    told = [
        Telling(1.0, 0.0, (Spoken("S2", 0.0, 1.0),)),
        Telling(2.0, 1.0, (Spoken("S2", 1.0, 2.0),)),
        Telling(4.0, 0.0, (Spoken("S1", 0.0, 4.0),)),
    ]
    measures = measure(reference, told, 4.0, {"S1": "ann"}).by_delay
    # After half a second: 0.5-1 and 1.5-2 are known as S2, 3.5-4 as S1, the rest is not known.
    assert measures[0.5].missed_seconds == 2.5
    assert measures[0.5].confusion_seconds == 1.0
    # After two seconds: of 2-4 all is told; before, what the first two said stands till t + 2 = 4.
    assert measures[2.0].missed_seconds == 0.0
    assert measures[2.0].confusion_seconds == 2.0
    assert measures[5.0].error_seconds == measures[FINAL].error_seconds == 0.0


def test_one_map_holds_at_every_delay() -> None:
    """A label that is Bob's in the end was wrong when it was Ann's, though it was consistent."""
    reference = [Spoken("ann", 0.0, 2.0), Spoken("bob", 2.0, 8.0)]
    told = [
        Telling(2.0, 0.0, (Spoken("S1", 0.0, 2.0),)),
        Telling(8.0, 0.0, (Spoken("S2", 0.0, 2.0), Spoken("S1", 2.0, 8.0))),
    ]
    mapping = Scorer().mapping(reference, final(told), 8 * 16_000)
    assert mapping == {"S1": "bob", "S2": "ann"}
    by_delay = measure(reference, told, 8.0, mapping).by_delay
    assert by_delay[2.0].confusion_seconds == 2.0
    assert by_delay[FINAL].error_seconds == 0.0


def test_the_age_of_a_stream_is_where_in_the_audio_it_is() -> None:
    """What is wrong between 60 s and 120 s shows there; ages that are not reached hold nothing."""
    reference = [Spoken("ann", 0.0, 100.0)]
    told = at_once(Spoken("S1", 0.0, 20.0), Spoken("S1", 30.0, 75.0), seconds=100.0)
    ages = measure(reference, told, 100.0, {"S1": "ann"}).by_age
    assert list(ages) == [0.0, 30.0, 60.0, 120.0]
    assert [round(errors.reference_seconds, 6) for errors in ages.values()] == [30, 30, 40, 0]
    assert [round(errors.missed_seconds, 6) for errors in ages.values()] == [10, 0, 25, 0]
    assert math.isnan(ages[120.0].der_percent)


def test_the_last_age_has_no_end() -> None:
    """All that is older than two minutes."""
    told = at_once(Spoken("S1", 0.0, 100.0), seconds=300.0)
    ages = measure([Spoken("ann", 130.0, 290.0)], told, 300.0, {}).by_age
    assert ages[120.0].missed_seconds == pytest.approx(160.0)


def test_speakers_are_counted_as_they_are_in_the_end() -> None:
    """S3 is mapped to nobody, S4 was taken back, UNKNOWN claims to be nobody."""
    told = [
        Telling(5.0, 0.0, (Spoken("S4", 0.0, 5.0),)),
        Telling(
            10.0,
            0.0,
            (Spoken("S1", 0.0, 4.0), Spoken("S3", 4.0, 6.0), Spoken(UNKNOWN, 6.0, 8.0)),
        ),
    ]
    speakers = measure(REFERENCE, told, 10.0, {"S1": "ann", UNKNOWN: "bob"}).speakers
    assert speakers == Speakers(true=2, found=2, invented=1, miscounted=0)


def test_too_many_here_do_not_make_up_for_too_few_there() -> None:
    """Miscounts add up over recordings; only speakers whom nobody is are invented."""
    many = at_once(*(Spoken(f"S{n}", n, n + 1.0) for n in (1, 2, 4)))
    one = at_once(Spoken("S1", 0.0, 8.0))
    speakers = sum(
        (measure(REFERENCE, told, 10.0, MAPPING).speakers for told in (many, one)), Speakers()
    )
    assert speakers == Speakers(true=4, found=4, invented=1, miscounted=2)


def test_who_comes_back_is_known_again_or_not() -> None:
    """Of the first turn after the silence alone, what carries the speaker's own label."""
    reference = [
        Spoken("ann", 0.0, 5.0),
        Spoken("bob", 5.0, 34.0),
        Spoken("ann", 35.0, 39.0),  # after 30 s
        Spoken("ann", 40.0, 50.0),  # after one
        Spoken("ann", 170.0, 172.0),  # after 120
        Spoken("bob", 171.0, 172.0),  # after 137
    ]
    told = at_once(
        Spoken("S1", 0.0, 5.0),
        Spoken("S2", 5.0, 34.0),
        Spoken("S1", 35.0, 36.0),
        Spoken("S3", 36.0, 50.0),
        Spoken("S1", 170.5, 172.0),
        seconds=180.0,
    )
    reentries = measure(reference, told, 180.0, MAPPING).reentries
    assert reentries[30.0].turns == 3
    assert reentries[30.0].seconds == pytest.approx(7.0)
    assert reentries[30.0].recalled_seconds == pytest.approx(2.5)
    assert reentries[120.0].turns == 2
    assert reentries[120.0].recall_percent == pytest.approx(50.0)
    assert math.isnan(Reentry().recall_percent)


def test_what_is_past_the_end_of_the_recording_does_not_count() -> None:
    """Neither speech, nor somebody who comes back, nor a speaker."""
    beyond = [*REFERENCE, Spoken("ann", 40.0, 50.0), Spoken("cy", 40.0, 50.0)]
    told = at_once(Spoken("S1", 0.0, 4.0))
    assert measure(beyond, told, 10.0, MAPPING) == measure(REFERENCE, told, 10.0, MAPPING)


def test_how_a_reference_cuts_its_turns_makes_no_difference() -> None:
    """Pieces that touch or overlap, in any order, are one turn."""
    whole = [Spoken("ann", 0.0, 4.0), Spoken("bob", 4.0, 35.0), Spoken("ann", 40.0, 44.0)]
    pieces = [
        Spoken("ann", 42.0, 44.0),
        Spoken("ann", 40.0, 43.0),
        Spoken("bob", 4.0, 35.0),
        Spoken("ann", 0.0, 3.0),
        Spoken("ann", 3.0, 4.0),
    ]
    told = at_once(Spoken("S1", 0.0, 4.0), Spoken("S1", 42.5, 44.0), seconds=60.0)
    measures = measure(whole, told, 60.0, MAPPING)
    assert measures.reentries[30.0].recall_percent == pytest.approx(37.5)
    assert measure(pieces, told, 60.0, MAPPING) == measures


def test_measures_add_up_over_recordings() -> None:
    """Seconds and counts are added, so that rates are pooled and not averaged."""
    told = at_once(Spoken("S1", 0.0, 4.0))
    one = measure(REFERENCE, told, 10.0, MAPPING)
    two = measure([Spoken("ann", 0.0, 2.0)], told, 10.0, MAPPING)
    whole = sum((one, two), Streaming())
    assert whole.by_delay[FINAL].der_percent == pytest.approx(60.0)
    assert one.by_delay[FINAL].der_percent == 50.0
    assert two.by_delay[FINAL].der_percent == 100.0
    assert whole.by_age[0.0] == whole.by_delay[FINAL]
    assert whole.label_times.first_seconds == (10.0, math.inf, 10.0)
    assert whole.label_changes.speech_seconds == pytest.approx(10.0)
    assert whole.speakers.true == 3
    assert whole.reentries.keys() == one.reentries.keys()
    assert sum((one,), Streaming()) == one


def test_a_system_that_says_nothing_misses_everything() -> None:
    """No telling, no label, and no division by nothing."""
    measures = measure(REFERENCE, [], 10.0, {})
    assert all(errors.missed_seconds == 8.0 for errors in measures.by_delay.values())
    assert measures.speakers == Speakers(true=2, found=0, invented=0, miscounted=2)
    assert measures.label_changes.per_minute == 0.0


def talk(seed: int, seconds: float, speakers: int, *, dense: float) -> list[Spoken]:
    """Turns at random with overlap, edges anywhere between frames."""
    random = np.random.default_rng(seed)
    spoken = []
    for speaker in range(speakers):
        at = float(random.exponential(dense))
        while at < seconds:
            length = float(random.uniform(0.3, 4.0))
            spoken.append(Spoken(f"{speaker}", at, min(at + length, seconds)))
            at += length + float(random.exponential(dense))
    return spoken


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_grid_agrees_with_the_scorer(seed: int) -> None:
    """Minutes of turns with edges at any time: DER and its parts to 0.2 points."""
    seconds = 120.0
    reference = talk(seed, seconds, 3, dense=6.0)
    found = [*talk(seed + 1, seconds, 2, dense=4.0), Spoken("more", 30.0, 50.0)]
    found += [Spoken("own", one.start_seconds, one.end_seconds) for one in reference[::2]]
    told = at_once(*found, seconds=seconds)
    scorer = Scorer()
    samples = round(seconds * 16_000)
    score = scorer.add("talk", reference, found, samples)
    errors = measure(reference, told, seconds, scorer.mapping(reference, found, samples)).by_delay[
        FINAL
    ]
    for exact, rough in (
        (score.der_percent, errors.der_percent),
        (score.missed_percent, errors.percent(errors.missed_seconds)),
        (score.false_alarm_percent, errors.percent(errors.false_alarm_seconds)),
        (score.confusion_percent, errors.percent(errors.confusion_seconds)),
    ):
        assert rough == pytest.approx(exact, abs=0.2)
