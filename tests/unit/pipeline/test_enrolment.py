"""Who is enrolled is called by name from the first turn on, and nobody else ever is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.cutting import SCRIPTS, Cut, Script, told, turned
from tests.unit.pipeline.synthetic import (
    DIM,
    FRAME_SAMPLES,
    HOP_FRAMES,
    LIKE_1,
    conversation,
    labels_at,
    manifest,
    stream,
    voice,
)
from tests.unit.pipeline.test_diarizer import DIALOGUE, assert_partition, regions_of
from voiceflow.artifact import LatencyMode
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.enrolment import EnrolledSpeaker, Enrolment
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow.pipeline.naming import by_appearance, is_automatic
from voiceflow.pipeline.recluster import SegmentMemory
from voiceflow.pipeline.snapshot import context_samples
from voiceflow.pipeline.turns import UNKNOWN, HopResult, Prototype, SpeakerMerged
from voiceflow.pipeline.vectors import unit


def enrolled(name: str, *voices: FloatArray, speech_seconds: float = 5.0) -> EnrolledSpeaker:
    """Somebody with a prototype for each voice."""
    return EnrolledSpeaker(name, tuple(Prototype(one, speech_seconds) for one in voices))


def between(one: FloatArray, other: FloatArray, cosine: float) -> FloatArray:
    """A unit vector at this cosine from `one`, on the way to `other`."""
    across = other - one * (one @ other)
    across /= np.linalg.norm(across)
    mixed: FloatArray = (cosine * one + np.sqrt(1 - cosine**2) * across).astype(np.float32)
    return mixed


ANN = enrolled("Ann", voice(1))
BOB = enrolled("Bob", voice(2))


def names_of(results: list[HopResult]) -> set[str]:
    """Everybody in final regions."""
    return {name for *_, names in regions_of(results) for name in names}


@pytest.mark.parametrize("mode", LatencyMode)
def test_an_enrolled_speaker_has_the_name_from_the_first_frame_on(mode: LatencyMode) -> None:
    """In a turn too short for any other speaker to be found, and while it is provisional."""
    frames = conversation([(0.6, (2,)), (1.0, ()), (0.6, (1,)), (3.0, ())])
    diarizer = StreamDiarizer(manifest(), enrolled=[ANN, BOB], provisional_turns=True)
    hop = manifest().hop_samples[mode] // FRAME_SAMPLES
    results = stream(frames, diarizer, hop_frames=hop)
    spoken = [one for one in regions_of(results) if one[2]]
    assert [names for *_, names in spoken] == [("Bob",), ("Ann",)]
    assert (spoken[0][0], spoken[1][0]) == (0, 1.6 * 16_000)
    provisional = [turn.speaker for result in results for turn in result.turns_provisional]
    assert {*provisional} == {"Ann", "Bob"}


def test_the_first_frames_need_not_wait_for_more() -> None:
    """A client that flushes after every 40 ms is told the name with the first of them."""
    diarizer = StreamDiarizer(manifest(), enrolled=[ANN, BOB])
    results = stream(conversation([(2.0, (2,)), (3.0, ())]), diarizer, hop_frames=1, flush=True)
    assert [names for *_, names in regions_of(results)] == [("Bob",), ()]


@pytest.mark.parametrize("mode", LatencyMode)
def test_the_first_turn_keeps_its_name_when_a_stranger_is_found(mode: LatencyMode) -> None:
    """All that is not final is heard anew then, and the first word is still Ann's."""
    frames = conversation([(0.24, (1,)), (0.4, ()), (3.0, (5,))])
    hop = manifest().hop_samples[mode] // FRAME_SAMPLES
    results = stream(frames, StreamDiarizer(manifest(), enrolled=[ANN]), hop_frames=hop)
    assert [names for *_, names in regions_of(results)] == [("Ann",), (), ("S1",)]


def test_a_stranger_beside_an_enrolled_speaker_is_a_stranger() -> None:
    """Born after a second as always, and numbered as if nobody were enrolled."""
    script: Script = [(3.0, (1,)), (3.0, (5,)), (3.0, (2,)), (3.0, (6,)), (3.0, (1,))]
    diarizer = StreamDiarizer(manifest(), enrolled=[BOB, ANN])
    results = stream(conversation(script), diarizer)
    heard = [labels_at(results, seconds) for seconds in (1.5, 4.5, 7.5, 10.5, 13.5)]
    assert heard == [("Ann",), ("S1",), ("Bob",), ("S2",), ("Ann",)]


def test_nobody_is_called_by_a_name_whose_voice_is_not_known_by_it() -> None:
    """A short voice a little like an enrolled one is a stranger's, or like a stranger's."""
    script: Script = [(3.0, (1,)), (1.0, ()), (0.8, (LIKE_1,)), (3.0, ())]
    results = stream(conversation(script), StreamDiarizer(manifest(), enrolled=[ANN]))
    assert labels_at(results, 4.25) == (UNKNOWN,)
    results = stream(conversation(script), StreamDiarizer(manifest()))
    assert labels_at(results, 4.25) == ("S1",)


def test_who_does_not_speak_is_not_told_of() -> None:
    """Neither in regions nor in the summary, which lists names before numbers."""
    diarizer = StreamDiarizer(manifest(), enrolled=[enrolled("Zoe", voice(1)), BOB])
    results = stream(
        conversation([(3.0, (5,)), (3.0, (1,)), (0.6, ()), (0.5, (6,)), (3.0, ())]), diarizer
    )
    summary = diarizer.summary()
    assert [one.speaker for one in summary] == ["Zoe", "S1", UNKNOWN]
    assert names_of(results) == {"Zoe", "S1", UNKNOWN}
    assert float(summary[0].prototypes[0].values @ voice(1)) > 0.95
    assert summary[0].prototypes[0].speech_seconds > 5.0


def test_overlap_names_both() -> None:
    """Also a speaker who has only ever been heard beside another."""
    results = stream(
        conversation([(3.0, (1,)), (1.0, (1, 2)), (3.0, (1,))]),
        StreamDiarizer(manifest(), enrolled=[ANN, BOB]),
    )
    assert labels_at(results, 3.5) == ("Ann", "Bob")


def test_enrolled_speakers_count_towards_the_maximum() -> None:
    """Two are enrolled and three allowed: of two strangers one is found."""
    script: Script = [(3.0, (1,)), (3.0, (5,)), (3.0, (6,)), (3.0, (2,))]
    diarizer = StreamDiarizer(manifest(), enrolled=[ANN, BOB], maximum_speakers=3)
    results = stream(conversation(script), diarizer)
    assert names_of(results) == {"Ann", "S1", "Bob", UNKNOWN}


def test_a_voice_enrolled_in_two_rooms_is_known_in_both_for_ever() -> None:
    """Two prototypes far apart: neither is forgotten, whatever is spoken for a minute."""
    ann = enrolled("Ann", voice(1), voice(3))
    script: Script = [(2.0, (1,)), (2.0, (3,)), (60.0, (1,)), (3.0, (3,)), (3.0, (1,))]
    results = stream(conversation(script), StreamDiarizer(manifest(), enrolled=[ann]))
    assert names_of(results) == {"Ann"}


def test_two_enrolled_speakers_are_never_merged() -> None:
    """However alike they sound: here a voice half way between them."""
    half = between(voice(1), voice(2), 0.75)
    frames = conversation([(60.0, (1,))])
    noise = frames.embedding - voice(1)
    mixed = np.where(np.arange(1500)[:, None, None] % 400 < 200, half, voice(1)) + noise
    mixed /= np.linalg.norm(mixed, axis=2, keepdims=True)
    pair = [ANN, enrolled("Bob", between(voice(1), voice(2), 0.55))]
    diarizer = StreamDiarizer(manifest(), enrolled=pair)
    results = stream(Frames(frames.speech, frames.activity, mixed.astype(np.float32)), diarizer)
    assert names_of(results) == {"Ann", "Bob"}
    assert diarizer.merges() == ()


def drifting(*stretches: tuple[float, FloatArray], seed: int = 0) -> Frames:
    """One voice at a time, whatever it sounds like."""
    frames = conversation([(seconds, (0,)) for seconds, _ in stretches], seed=seed)
    counts = [round(seconds * 16_000 / FRAME_SAMPLES) for seconds, _ in stretches]
    rows = np.repeat([one for _, one in stretches], counts, axis=0)
    mixed = frames.embedding - voice(0) + rows[:, None]
    mixed /= np.linalg.norm(mixed, axis=2, keepdims=True)
    return Frames(frames.speech, frames.activity, mixed.astype(np.float32))


def test_a_stranger_who_turns_out_to_be_enrolled_is_announced() -> None:
    """Unlike the enrolled voice at first, then so like it that the two are one."""
    frames = drifting(
        (6.0, between(voice(1), voice(2), 0.35)), (40.0, between(voice(1), voice(2), 0.72))
    )
    diarizer = StreamDiarizer(manifest(), enrolled=[ANN])
    results = stream(frames, diarizer)
    merges = [
        event for result in results for event in result.events if isinstance(event, SpeakerMerged)
    ]
    assert [(merge.from_speaker, merge.to_speaker) for merge in merges] == [("S1", "Ann")]
    assert diarizer.merges() == tuple(merges)
    assert labels_at(results, 45.0) == ("Ann",)
    assert [one.speaker for one in diarizer.summary()] == ["Ann", "S1"]


def test_who_only_resembles_an_enrolled_speaker_does_not_take_over_the_name() -> None:
    """What was learnt of a voice taken for Ann's is let go again: as it drifts it is nobody's."""
    frames = drifting(
        (15.0, between(voice(1), voice(2), 0.52)),
        (15.0, between(voice(1), voice(2), 0.1)),
        (4.0, voice(1)),
    )
    results = stream(frames, StreamDiarizer(manifest(), enrolled=[ANN]))
    heard = [labels_at(results, seconds) for seconds in (3.0, 12.0, 25.0, 32.0)]
    assert heard == [("Ann",), ("S1",), ("S1",), ("Ann",)]


ENROLLED = [
    enrolled("Ann", voice(0)),
    enrolled("Bob", voice(2), voice(7)),
    enrolled("Eve", voice(9)),
]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    script=SCRIPTS,
    mode=st.sampled_from(LatencyMode),
    cuts=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3),
    flushes=st.sets(st.integers(1, 80), max_size=4),
)
def test_a_stream_that_is_cut_goes_on_with_those_who_are_enrolled(
    script: Script, mode: LatencyMode, cuts: list[float], flushes: set[int]
) -> None:
    """Again and again, nobody being enrolled anew: all that is told is the same."""
    frames = conversation(script)
    total = len(frames.speech)
    hops = total * FRAME_SAMPLES // manifest().hop_samples[mode]
    places = [Cut(hop, manifest()) for hop in sorted(round(cut * hops) for cut in cuts)]
    whole = told(frames, manifest(), mode, [], flushes=flushes, enrolled=ENROLLED)
    parts = told(frames, manifest(), mode, places, flushes=flushes, enrolled=ENROLLED)
    assert_partition(parts.results, total * FRAME_SAMPLES)
    assert parts.regions() == whole.regions()
    assert parts.turns() == whole.turns()
    assert parts.speech_events() == whole.speech_events()
    assert parts.merges == whole.merges
    assert [(one.speaker, one.talk_samples) for one in parts.speakers] == [
        (one.speaker, one.talk_samples) for one in whole.speakers
    ]


def test_what_was_enrolled_is_still_there_after_a_cut() -> None:
    """A look-alike has been learnt as Ann when the stream is cut; it is let go of all the same."""
    frames = drifting(
        (15.0, between(voice(1), voice(2), 0.52)),
        (15.0, between(voice(1), voice(2), 0.1)),
        (4.0, voice(1)),
    )
    mode = LatencyMode.DENSITY
    cuts = [Cut(round(seconds / 0.48), manifest()) for seconds in (1.0, 13.9, 31.2)]
    whole = told(frames, manifest(), mode, [], enrolled=[ANN])
    parts = told(frames, manifest(), mode, cuts, enrolled=[ANN])
    assert parts.regions() == whole.regions()
    assert parts.labels(850)[625] == ("S1",)


OTHER = manifest(embedding_space="synthetic-2")


def test_where_vectors_mean_something_else_who_spoke_keeps_the_name() -> None:
    """Bob and S1 are heard again; Ann is not, and then nobody is Ann any more."""
    script: Script = [(4.0, (1,)), (4.0, (5,)), (6.0, (2,)), (4.0, (1,)), (4.0, (5,)), (4.0, (2,))]
    cut = Cut(round(13.0 / 0.48), OTHER, turned())
    parts = told(
        conversation(script),
        manifest(),
        LatencyMode.DENSITY,
        [cut],
        context_seconds=7.0,
        enrolled=[ANN, BOB],
    )
    heard = [parts.labels(650)[round(seconds * 25)] for seconds in (2, 6, 11, 16, 20, 24)]
    assert heard == [("Ann",), ("S1",), ("Bob",), ("S2",), ("S1",), ("Bob",)]


def test_who_is_found_again_in_another_space_is_still_enrolled() -> None:
    """What was found stands for what was enrolled, by the first numbers; S1 is no more than S1."""
    frames = conversation([(4.0, (5,)), (4.0, (1,)), (4.0, (2,)), (4.0, (5,))])
    before = StreamDiarizer(manifest(), enrolled=[BOB, enrolled("Eve", voice(9)), ANN])
    before.push(frames)
    old = before.snapshot(context_samples(manifest(), 20.0))
    assert old.names == ("Bob", "Eve", "Ann", "S1")
    other = manifest(embedding_space="synthetic-2", look_ahead_frames=0)
    diarizer = StreamDiarizer.resumed(other, old, 0)
    heard = slice(0, old.at_samples // FRAME_SAMPLES)
    turned_round = (frames.embedding @ turned()).astype(np.float32)
    diarizer.push(Frames(frames.speech[heard], frames.activity[heard], turned_round[heard]))
    new = diarizer.snapshot(16_000)
    assert new.names == ("Bob", "Ann", "S1")
    assert new.enrolled_names == ("Bob", "Ann")
    assert new.voices.enrolled_speakers == (0, 1)
    assert new.voices.remembered_speakers == (2,)
    kept = new.voices.table.totals(1.0)[-2:]
    for total, number in zip(kept, (2, 1), strict=True):
        assert float(unit(total) @ (voice(number) @ turned())) > 0.95


def test_a_snapshot_says_who_is_enrolled() -> None:
    """By number, with the names of those who have not spoken yet; with nobody, nobody."""
    diarizer = StreamDiarizer(manifest(), enrolled=ENROLLED)
    diarizer.push(conversation([(4.0, (5,))]))
    snapshot = diarizer.snapshot(16_000)
    assert snapshot.voices.enrolled_speakers == (0, 1, 1, 2)
    assert snapshot.enrolled_names == ("Ann", "Bob", "Eve")
    assert snapshot.names == ("Ann", "Bob", "Eve", "S1")
    assert "Ann" not in repr(snapshot.voices)
    plain = StreamDiarizer(manifest()).snapshot(16_000)
    assert (plain.voices.enrolled_speakers, plain.enrolled_names) == ((), ())


def memory(
    *voices: tuple[int, FloatArray], segments: list[tuple[int, FloatArray]]
) -> SegmentMemory:
    """One in which voices are enrolled and segments of two seconds were heard."""
    totals = np.array([one for _, one in voices], np.float32) * 125
    enrolment = Enrolment(tuple(who for who, _ in voices), totals, np.full(len(voices), 125.0))
    known = SegmentMemory(DIM, enrolment)
    for who, one in segments:
        known.add(who, one * 50, 50.0)
    return known


NEW = range(3, 20)
"""Numbers of speakers who are not known yet."""


def test_a_voice_that_lies_with_two_enrolled_ones_is_merged_into_neither() -> None:
    """It stays who it is: a name is given to nobody by chance."""
    one = voice(1)
    two = between(one, voice(2), 0.8)
    stranger = between(one, two, 0.95)
    correction = memory((0, one), (1, two), segments=[(2, stranger)] * 3).correct(
        0.6, range(3, 20), 75.0
    )
    assert correction.merges == ()
    assert {*correction.voices} == {0, 1, 2}
    clear = memory((0, one), (1, voice(4)), segments=[(2, stranger)] * 3).correct(
        0.6, range(3, 20), 75.0
    )
    assert clear.merges == ((2, 0),)


def test_speech_counts_as_an_enrolled_voice_only_where_it_lies_with_it() -> None:
    """However much there is of anything else; each prototype has a cluster of its own."""
    heard = [(0, voice(1)), (0, voice(3))] + [(0, voice(8))] * 40
    known = memory((0, voice(1)), (0, voice(3)), segments=heard)
    correction = known.correct(0.6, NEW, 75.0)
    (voices,) = correction.voices.values()
    assert [frames for _, frames in voices] == [175.0, 175.0]
    for number in (1, 3):
        scores = [float(total @ voice(number)) for total, _ in voices]
        assert max(scores) == pytest.approx(175.0, rel=0.02)
    assert [(who, frames) for who, (_, frames) in correction.newcomers.items()] == [(3, 2000.0)]


def test_with_nothing_heard_there_is_nothing_to_correct() -> None:
    """Enrolled voices alone are no speech."""
    assert memory((0, voice(1)), (1, voice(2)), segments=[]).correct(0.6, NEW, 75.0).voices == {}


def test_prototypes_weigh_as_much_as_the_speech_behind_them_to_a_minute() -> None:
    """And at least a frame."""
    people = [
        enrolled("Ann", voice(1), voice(2), speech_seconds=4.0),
        enrolled("Bob", voice(3), speech_seconds=3600.0),
        enrolled("Eve", voice(4), speech_seconds=1e-9),
    ]
    enrolment = Enrolment.of(people, DIM, 0.04)
    assert enrolment.speakers == (0, 0, 1, 2)
    assert enrolment.frames.tolist() == [100.0, 100.0, 1500.0, 1.0]
    assert np.linalg.norm(enrolment.totals, axis=1) == pytest.approx(enrolment.frames)
    assert enrolment.size == 3
    assert Enrolment.of([], DIM, 0.04).size == 0


def test_what_is_learnt_of_a_short_recording_is_all_of_it() -> None:
    """The last seconds count, too: enrolment lives on a few."""
    diarizer = StreamDiarizer(manifest())
    stream(conversation([(3.2, (1,))]), diarizer)
    (speaker,) = diarizer.summary()
    (prototype,) = speaker.prototypes
    assert prototype.speech_seconds >= 3.2


@pytest.mark.parametrize(
    ("name", "automatic"),
    [
        ("S1", True),
        ("S007", True),
        ("UNKNOWN", True),
        ("S", False),
        ("S1a", False),
        ("s1", False),
        ("S 1", False),
        ("S²", False),
        ("S٣", False),
        ("Unknown", False),
        ("", False),
    ],
)
def test_automatic_labels_have_one_form(name: str, automatic: bool) -> None:
    """`S` and digits, or UNKNOWN."""
    assert is_automatic(name) is automatic


def test_labels_are_sorted_by_what_they_are() -> None:
    """Names, then numbers as numbers, then UNKNOWN."""
    ordered = ["Ann", "Sally", "Zoe", "ann", "S1", "S2", "S10", UNKNOWN]
    for shuffled in itertools.islice(itertools.permutations(ordered), 0, 40_320, 997):
        assert sorted(shuffled, key=by_appearance) == ordered


def test_a_hop_at_a_time_or_all_at_once_tell_the_same() -> None:
    """Enrolment leaves it a function of the frames alone."""
    frames = conversation(DIALOGUE)
    sizes = (1, 2, HOP_FRAMES, 37)
    outcomes = [
        regions_of(stream(frames, StreamDiarizer(manifest(), enrolled=[BOB]), hop_frames=size))
        for size in sizes
    ]
    assert all(outcome[-4:-1] == outcomes[0][-4:-1] for outcome in outcomes)
    assert all({"Bob", "S1"} == {n for *_, names in one for n in names} for one in outcomes)
