"""How soon a label is there, and how often it changes."""

from __future__ import annotations

import math

import pytest

from tests.unit.pipeline.synthetic import conversation, manifest, stream
from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.evaluation import Spoken, spoken_in
from voiceflow.evaluation.labelling import (
    LabelChanges,
    label_changes,
    label_times,
    never,
    percentile,
)
from voiceflow.evaluation.telling import Telling
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.turns import UNKNOWN

ANN = [Spoken("ann", 1.0, 4.0)]
IS_ANN = {"S1": "ann"}


def hearing(*said: tuple[str, float, float], at: float, since: float = 0.0) -> Telling:
    """A telling of some turns."""
    return Telling(at, since, tuple(Spoken(*one) for one in said))


def changes(*tellings: Telling, seconds: float = 4.0) -> LabelChanges:
    """In a recording in which Ann speaks for three seconds."""
    return label_changes(ANN, tellings, seconds)


def test_a_label_is_there_when_a_fifth_of_a_second_of_the_turn_has_it() -> None:
    """Told with 1.2 s covered, 0.2 s after the turn began: 0.1 s of it had not been enough."""
    told = [
        hearing(("S1", 1.0, 1.1), at=1.1),
        hearing(("S1", 1.0, 1.2), at=1.2),
        hearing(("S1", 1.0, 4.0), at=4.0),
    ]
    times = label_times(ANN, told, 4.0, IS_ANN)
    assert times.first_seconds == times.correct_seconds
    assert times.correct_seconds == pytest.approx([0.2])


def test_anybodys_label_is_a_first_one_and_only_the_right_one_is_correct() -> None:
    """UNKNOWN at first, then another speaker, at last the right one, of the turn's later part."""
    told = [
        hearing((UNKNOWN, 1.0, 1.5), at=1.5),
        hearing(("S2", 1.0, 2.0), at=2.0),
        hearing(("S2", 1.0, 2.5), ("S1", 2.5, 3.0), at=3.0),
    ]
    times = label_times(ANN, told, 4.0, IS_ANN | {"S2": "bob"})
    assert times.first_seconds == (0.5,)
    assert times.correct_seconds == (2.0,)


def test_a_label_that_is_taken_back_was_there() -> None:
    """It was told; that it was taken back is counted among the changes."""
    told = [hearing(("S1", 1.0, 2.0), at=2.0), hearing(("S2", 1.0, 3.0), at=3.0)]
    assert label_times(ANN, told, 4.0, IS_ANN).correct_seconds == (1.0,)


def test_a_turn_that_is_never_labelled_is_counted_apart() -> None:
    """Infinite: it has no part in the percentiles, and is not forgotten."""
    reference = [*ANN, Spoken("bob", 5.0, 6.0), Spoken("bob", 7.0, 8.0)]
    told = [hearing(("S1", 1.0, 4.0), ("S1", 5.0, 6.0), at=9.0)]
    times = label_times(reference, told, 9.0, IS_ANN)
    assert times.first_seconds == (8.0, 4.0, math.inf)
    assert times.correct_seconds == (8.0, math.inf, math.inf)
    assert (never(times.first_seconds), never(times.correct_seconds)) == (1, 2)
    assert percentile(times.first_seconds, 50) == 6.0
    assert math.isnan(percentile((math.inf,), 50))


def test_a_short_turn_needs_a_label_all_over() -> None:
    """Of a tenth of a second, a fifth cannot be labelled."""
    reference = [Spoken("ann", 1.0, 1.1)]
    half, whole = hearing(("S1", 1.0, 1.05), at=2.0), hearing(("S1", 1.0, 1.1), at=3.0)
    assert label_times(reference, [half], 4.0, IS_ANN).first_seconds == (math.inf,)
    assert label_times(reference, [half, whole], 4.0, IS_ANN).first_seconds == (2.0,)


def test_stretches_that_touch_are_one_turn_and_what_is_past_the_end_is_none() -> None:
    """How a reference cuts one turn makes no difference, nor what it lists after the recording."""
    cut = [Spoken("ann", 1.0, 2.0), Spoken("ann", 2.0, 4.0), Spoken("ann", 8.0, 9.0)]
    told = [hearing(("S1", 1.0, 4.0), at=4.0)]
    assert label_times(cut, told, 4.0, IS_ANN) == label_times(ANN, told, 4.0, IS_ANN)


def test_a_turn_is_not_labelled_before_any_of_it_was_heard() -> None:
    """A guess at what comes counts from the telling on that has heard the turn begin."""
    guess = hearing(("S1", 0.0, 4.0), at=1.0)
    later = hearing(at=2.0, since=4.0)
    assert label_times(ANN, [guess], 4.0, IS_ANN).correct_seconds == (math.inf,)
    assert label_times(ANN, [guess, later], 4.0, IS_ANN).correct_seconds == (1.0,)


def test_a_name_in_place_of_another_is_a_change() -> None:
    """A run of frames that change alike is one; two speakers' runs apart are two."""
    before = hearing(("S1", 1.0, 2.0), ("S1", 2.5, 3.0), at=3.0)
    after = hearing(("S2", 1.0, 2.0), ("S1", 2.5, 3.0), at=4.0)
    both = hearing(("S2", 1.0, 2.0), ("S3", 2.5, 3.0), at=4.0)
    assert changes(before, after) == LabelChanges(replaced=1, speech_seconds=3.0)
    assert changes(before, both).replaced == 2
    assert changes(before, after).per_minute == 20.0


def test_a_name_that_becomes_unknown_is_a_change_too() -> None:
    """It was somebody and is nobody known now: a guess was taken back."""
    told = [hearing(("S1", 1.0, 2.0), at=2.0), hearing((UNKNOWN, 1.0, 2.0), at=3.0)]
    assert changes(*told) == LabelChanges(replaced=1, speech_seconds=3.0)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([UNKNOWN], ["S1"], LabelChanges(named=1)),
        (["S1"], [], LabelChanges(withdrawn=1)),
        ([UNKNOWN], [], LabelChanges(withdrawn=1)),
        (["S1", "S2"], ["S1"], LabelChanges(withdrawn=1)),
        ([], ["S1"], LabelChanges(added=1)),
        (["S1"], ["S1", "S2"], LabelChanges(added=1)),
        (["S1", "S2"], ["S1", "S3"], LabelChanges(replaced=1)),
        (["S1", UNKNOWN], ["S2", UNKNOWN], LabelChanges(replaced=1)),
        (["S1"], ["S1"], LabelChanges()),
        ([], [], LabelChanges()),
    ],
)
def test_other_changes_are_told_apart(
    before: list[str], after: list[str], expected: LabelChanges
) -> None:
    """By what is lost and what comes in its place, overlap included."""
    told = [
        Telling(at, 0.0, tuple(Spoken(label, 1.0, 2.0) for label in labels))
        for at, labels in ((2.0, before), (3.0, after))
    ]
    assert label_changes([], told, 4.0) == expected


def test_audio_that_is_told_for_the_first_time_does_not_change() -> None:
    """Neither new audio, nor a guess at audio that had not been heard when it was made."""
    told = [hearing(("S1", 0.0, 4.0), at=2.0), hearing(("S2", 2.0, 3.0), at=3.0, since=2.0)]
    assert changes(*told) == LabelChanges(speech_seconds=3.0)


def test_audio_that_was_passed_over_in_silence_was_told() -> None:
    """What lies between the end of one telling's audio and the start of the next was told empty."""
    told = [
        hearing(("S1", 0.0, 1.0), at=1.0),
        hearing(("S1", 2.0, 3.0), at=3.0, since=2.0),
        hearing(("S1", 1.0, 3.0), at=3.0, since=1.0),
    ]
    assert changes(*told) == LabelChanges(added=1, speech_seconds=3.0)


def test_a_guess_that_was_left_to_stand_was_told() -> None:
    """Audio from 1 s to 2 s was S1's by a guess, and still when it was heard; S2's is a change."""
    told = [
        hearing(("S1", 0.0, 4.0), at=1.0),
        hearing(("S1", 2.0, 3.0), at=3.0, since=2.0),
        hearing(("S2", 1.0, 2.0), ("S1", 2.0, 3.0), at=3.0, since=1.0),
    ]
    assert changes(*told) == LabelChanges(replaced=1, speech_seconds=3.0)


def test_changes_in_no_speech_have_no_rate() -> None:
    """There is no minute of speech to count them in."""
    assert math.isnan(LabelChanges(replaced=1).per_minute)


def test_changes_are_counted_at_every_telling() -> None:
    """There and back again is two."""
    first, other = (("S1", 1.0, 2.0),), (("S2", 1.0, 2.0),)
    told = [hearing(*first, at=2.0), hearing(*other, at=3.0), hearing(*first, at=3.0)]
    assert changes(*told).replaced == 2


def test_changes_of_our_own_streams_are_those_that_they_count_themselves() -> None:
    """Names in place of names, as `StreamDiarizer.label_changes` has them without any telling."""
    script: list[tuple[float, tuple[int, ...]]] = [(3.0, (1,)), (3.0, (2,)), (2.0, (1,))]
    script[2:2] = [(0.5, (1,)), (0.6, (2,))] * 10
    diarizer = StreamDiarizer(manifest(), provisional_turns=True)
    told, final_until = [], 0
    for result in stream(conversation(script), diarizer, hop_frames=2):
        provisional = [
            Spoken(
                turn.speaker,
                max(turn.start_samples, result.final_until_samples) / SAMPLE_RATE_HERTZ,
                turn.end_samples / SAMPLE_RATE_HERTZ,
            )
            for turn in result.turns_provisional
        ]
        told.append(
            Telling(
                result.covered_samples / SAMPLE_RATE_HERTZ,
                final_until / SAMPLE_RATE_HERTZ,
                (*spoken_in(result.final_regions), *provisional),
            )
        )
        final_until = result.final_until_samples
    assert label_changes([], told, 19.0).replaced == diarizer.label_changes > 0
