"""Silences of a reference, and which of them end somebody's speech."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.evaluation import Spoken
from voiceflow.evaluation.silences import Silence, SilenceKind, silences_in

END, PAUSE, NEITHER = SilenceKind.END, SilenceKind.PAUSE, SilenceKind.NEITHER


def kinds(*spoken: Spoken, seconds: float = 10.0) -> list[SilenceKind]:
    """Of the silences after the first word."""
    return [silence.kind for silence in silences_in(spoken, seconds)[1:]]


def test_every_silence_is_found_with_the_one_before_the_first_word() -> None:
    """They and the speech of all make up the recording."""
    spoken = [Spoken("ann", 1.0, 2.0), Spoken("bob", 1.5, 3.0), Spoken("ann", 5.0, 6.0)]
    assert silences_in(spoken, 10.0) == [
        Silence(0.0, 1.0, NEITHER),
        Silence(3.0, 5.0, END),
        Silence(6.0, 10.0, END),
    ]


def test_half_a_second_is_an_end_whoever_speaks_next() -> None:
    """The speaker who goes on or another one; written as 0.5 s, whatever its last bits say."""
    assert kinds(Spoken("ann", 0.0, 0.9), Spoken("ann", 1.4, 9.9)) == [END, NEITHER]
    assert kinds(Spoken("ann", 0.0, 1.0), Spoken("bob", 1.5, 9.9)) == [END, NEITHER]


def test_a_short_silence_of_a_speaker_who_goes_on_is_a_pause() -> None:
    """Another speaker's turn after it is none."""
    assert kinds(Spoken("ann", 0.0, 1.0), Spoken("ann", 1.4, 9.9)) == [PAUSE, NEITHER]
    assert kinds(Spoken("ann", 0.0, 1.0), Spoken("bob", 1.4, 9.9)) == [NEITHER, NEITHER]


def test_somebody_elses_last_word_does_not_end_a_pause() -> None:
    """Ann is silent for 0.4 s in all; Bob's word reaches into it."""
    spoken = [Spoken("ann", 0.0, 1.0), Spoken("bob", 0.5, 1.1), Spoken("ann", 1.4, 9.9)]
    assert kinds(*spoken) == [PAUSE, NEITHER]


def test_a_silence_that_the_recording_cuts_short_is_not_known_to_be_an_end() -> None:
    """What would come after it nobody knows; half a second of it is enough."""
    assert kinds(Spoken("ann", 0.0, 9.7)) == [NEITHER]
    assert kinds(Spoken("ann", 0.0, 9.5)) == [END]
    assert kinds(Spoken("ann", 0.0, 12.0)) == [NEITHER]


def test_a_recording_without_speech_is_one_silence_that_ends_nothing() -> None:
    """Also where the reference names speech after its end."""
    assert silences_in([], 10.0) == [Silence(0.0, 10.0, NEITHER)]
    assert silences_in([Spoken("ann", 11.0, 12.0)], 10.0) == [Silence(0.0, 10.0, NEITHER)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 999), st.integers(1, 300))))
def test_silence_is_where_nobody_speaks(values: list[tuple[str, int, int]]) -> None:
    """Frame by frame; and silences are in order and apart."""
    spoken = [Spoken(who, at / 100, (at + length) / 100) for who, at, length in values]
    silences = silences_in(spoken, 10.0)
    for frame in range(1000):
        moment = (frame + 0.5) / 100
        speaks = any(one.start_seconds <= moment < one.end_seconds for one in spoken)
        assert speaks != any(one.start_seconds <= moment < one.end_seconds for one in silences)
    edges = [edge for one in silences for edge in (one.start_seconds, one.end_seconds)]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (0.0, 10.0)
