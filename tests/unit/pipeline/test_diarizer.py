"""Turns of one stream: what becomes final, when, and that nothing is lost or told twice."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.synthetic import (
    FRAME_SAMPLES,
    HOP_FRAMES,
    LIKE_1,
    LOOK_AHEAD_FRAMES,
    conversation,
    labels_at,
    manifest,
    random_frames,
    stream,
)
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.identity import RECLUSTER_SECONDS
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.turns import (
    UNKNOWN,
    HopResult,
    SpeakerMerged,
    SpeechEvent,
    SpeechEventKind,
)

DIALOGUE: list[tuple[float, tuple[int, ...]]] = [
    (1.0, ()),
    (4.0, (1,)),
    (0.5, ()),
    (4.0, (2,)),
    (1.0, (2, 1)),
    (3.0, (1,)),
    (2.0, ()),
]


def regions_of(results: list[HopResult]) -> list[tuple[int, int, tuple[str, ...]]]:
    """Final regions with equal neighbours joined."""
    pieces = [region for result in results for region in result.final_regions]
    joined = []
    for speakers, group in itertools.groupby(pieces, key=lambda region: region.speakers):
        spans = list(group)
        joined.append((spans[0].start_samples, spans[-1].end_samples, speakers))
    return joined


def assert_partition(results: list[HopResult], total_samples: int) -> None:
    """Regions are half-open, gapless, and end where the audio ends, at every hop."""
    at = 0
    for result in results:
        for region in result.final_regions:
            assert region.start_samples == at
            assert region.end_samples > at
            assert len(set(region.speakers)) == len(region.speakers) <= 2
            at = region.end_samples
        assert result.final_until_samples == at
        assert at <= result.covered_samples <= total_samples
    assert at == total_samples


def test_two_voices_become_two_speakers_and_keep_their_labels() -> None:
    """Each voice has one label, in order of appearance, found again after the other spoke."""
    results = stream(conversation(DIALOGUE), StreamDiarizer(manifest()))
    assert labels_at(results, 0.5) == ()
    assert labels_at(results, 3.0) == ("S1",)
    assert labels_at(results, 8.0) == ("S2",)
    assert labels_at(results, 12.5) == ("S1",)


def test_overlap_has_two_speakers() -> None:
    """While two voices speak at once the region names both."""
    results = stream(conversation(DIALOGUE), StreamDiarizer(manifest()))
    assert labels_at(results, 10.0) == ("S1", "S2")


def test_a_voice_too_short_to_name_is_unknown_and_makes_no_speaker() -> None:
    """Half a second of a voice is no speaker: conservative birth."""
    results = stream(
        conversation([(4.0, (1,)), (0.6, ()), (0.5, (2,)), (4.0, ()), (2.0, (1,))]),
        StreamDiarizer(manifest()),
    )
    assert labels_at(results, 4.85) == (UNKNOWN,)
    assert {name for *_, names in regions_of(results) for name in names} == {"S1", UNKNOWN}


def test_a_voice_too_short_to_be_new_is_given_to_whom_it_is_like() -> None:
    """With less confidence than who is known: most of a second that is a little like one of two."""
    results = stream(
        conversation([(4.0, (2,)), (4.0, (1,)), (1.0, ()), (0.8, (LIKE_1,)), (4.0, ())]),
        StreamDiarizer(manifest()),
    )
    assert labels_at(results, 9.25) == ("S2",)
    known, short = (
        turn for result in results for turn in result.turns_final if turn.speaker == "S2"
    )
    assert short.confidence < 0.5 < known.confidence


def test_a_guess_teaches_nothing() -> None:
    """A speaker's voice stays what it was, and the next such piece makes somebody new."""
    script: list[tuple[float, tuple[int, ...]]] = [(4.0, (1,)), (1.0, ())]
    pieces: list[tuple[float, tuple[int, ...]]] = [(0.8, (LIKE_1,)), (3.0, ())]
    guessed, alone = StreamDiarizer(manifest()), StreamDiarizer(manifest())
    results = stream(conversation([*script, *pieces * 2]), guessed)
    assert labels_at(results, 5.4) == ("S1",)
    assert labels_at(results, 9.2) == ("S2",)
    stream(conversation(script), alone)
    (own,), (before,) = (diarizer.summary()[0].prototypes for diarizer in (guessed, alone))
    assert own.speech_seconds == before.speech_seconds
    np.testing.assert_allclose(own.values, before.values, atol=1e-6)


def test_who_is_not_clearly_heard_beside_another_is_who_is_most_like() -> None:
    """A second voice that nobody is known by is not the loudest voice's, but the next most like."""
    script: list[tuple[float, tuple[int, ...]]] = [(4.0, (1,)), (4.0, (2,)), (1.0, (2, LIKE_1))]
    results = stream(conversation([*script, (4.0, (2,))]), StreamDiarizer(manifest()))
    assert labels_at(results, 8.5) == ("S1", "S2")
    unlike = conversation([*script[:2], (1.0, (2, 13)), (4.0, (1,))])
    assert labels_at(stream(unlike, StreamDiarizer(manifest())), 8.5) == ("S2", UNKNOWN)


def test_a_voice_heard_in_short_pieces_is_named_once_they_add_up() -> None:
    """Pieces below a second, seconds apart, are remembered until they make a speaker."""
    pieces: list[tuple[float, tuple[int, ...]]] = [(0.6, (2,)), (3.0, ())]
    results = stream(
        conversation([(4.0, (1,)), (1.0, ()), *pieces * 4]), StreamDiarizer(manifest())
    )
    assert labels_at(results, 5.3) == (UNKNOWN,)
    assert labels_at(results, 5.3 + 3 * 3.6) == ("S2",)


def test_two_voices_without_names_are_not_taken_for_one() -> None:
    """A short voice before a new speaker leaves no trace in the new speaker's label."""
    results = stream(
        conversation(
            [(0.8, (1,)), (0.3, ()), (1.6, (2,)), (3.0, ()), (3.0, (1,)), (3.0, (2,)), (3.0, ())]
        ),
        StreamDiarizer(manifest()),
    )
    assert labels_at(results, 2.0) == ("S1",)
    assert labels_at(results, 8.0) == ("S2",)
    assert labels_at(results, 10.0) == ("S1",)
    assert labels_at(results, 0.4) in {("S2",), (UNKNOWN,)}


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(
        st.tuples(
            st.floats(0.2, 1.6),
            st.one_of(
                st.just(()), st.tuples(st.integers(0, 5)), st.sampled_from([(0, 1), (2, 3), (4, 0)])
            ),
        ),
        min_size=4,
        max_size=14,
    ),
    flush=st.booleans(),
)
def test_labels_are_given_in_order_of_appearance(
    script: list[tuple[float, tuple[int, ...]]], flush: bool
) -> None:
    """Numbers have no gap: a speaker of whom no frame is left to name takes none."""
    diarizer = StreamDiarizer(manifest(), provisional_turns=True)
    results = stream(conversation(script), diarizer, flush=flush)
    seen: dict[str, None] = {}
    for result in results:
        turns = sorted(result.turns_provisional, key=lambda turn: turn.start_samples)
        regions = [name for region in result.final_regions for name in region.speakers]
        seen |= dict.fromkeys([*regions, *(turn.speaker for turn in turns)])
    numbers = [int(name[1:]) for name in seen if name != UNKNOWN]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_a_voice_is_found_again_after_minutes() -> None:
    """Re-entry after two minutes of another speaker keeps the old label."""
    results = stream(
        conversation([(3.0, (1,)), (120.0, (2,)), (3.0, (1,))]), StreamDiarizer(manifest())
    )
    assert labels_at(results, 124.5) == ("S1",)


def test_no_more_speakers_than_the_maximum() -> None:
    """A voice past the maximum gets no label of its own."""
    script: list[tuple[float, tuple[int, ...]]] = [(3.0, (number,)) for number in range(5)]
    results = stream(conversation(script), StreamDiarizer(manifest(), maximum_speakers=2))
    names = {name for *_, names in regions_of(results) for name in names}
    assert names <= {"S1", "S2", UNKNOWN}


def test_a_short_pause_within_a_turn_is_part_of_it() -> None:
    """Silence under the minimum pause between two stretches of one speaker is filled."""
    results = stream(
        conversation([(3.0, (1,)), (0.2, ()), (3.0, (1,)), (3.0, ())]), StreamDiarizer(manifest())
    )
    turns = [turn for result in results for turn in result.turns_final]
    assert [(turn.speaker, turn.start_samples, turn.end_samples) for turn in turns] == [
        ("S1", 0, round(6.2 * 16_000 / FRAME_SAMPLES) * FRAME_SAMPLES)
    ]
    assert turns[0].confidence > 0.9


def test_nothing_changes_later_than_the_revision_horizon() -> None:
    """After each hop everything older than two seconds is final."""
    for result in stream(conversation(DIALOGUE), StreamDiarizer(manifest())):
        assert result.covered_samples - result.final_until_samples <= 2 * 16_000


def test_final_turns_are_the_runs_of_the_final_regions() -> None:
    """Turns and regions tell the same: every speaker's samples, once."""
    results = stream(conversation(DIALOGUE), StreamDiarizer(manifest()))
    from_regions: dict[str, int] = {}
    for start, end, names in regions_of(results):
        for name in names:
            from_regions[name] = from_regions.get(name, 0) + end - start
    from_turns: dict[str, int] = {}
    for turn in (turn for result in results for turn in result.turns_final):
        length = turn.end_samples - turn.start_samples
        from_turns[turn.speaker] = from_turns.get(turn.speaker, 0) + length
        assert turn.final
    assert from_turns == from_regions


def test_speech_and_overlap_events_come_in_pairs_at_their_places() -> None:
    """Speech starts and ends, and overlap does, where the script says."""
    results = stream(conversation(DIALOGUE), StreamDiarizer(manifest()))
    events = [
        event for result in results for event in result.events if isinstance(event, SpeechEvent)
    ]
    told = [(event.kind, round(event.at_samples / 16_000, 1)) for event in events]
    assert told == [
        (SpeechEventKind.SPEECH_STARTED, 1.0),
        (SpeechEventKind.SPEECH_ENDED, 5.0),
        (SpeechEventKind.SPEECH_STARTED, 5.5),
        (SpeechEventKind.SPEAKER_CHANGED, 5.5),
        (SpeechEventKind.OVERLAP_STARTED, 9.5),
        (SpeechEventKind.OVERLAP_ENDED, 10.5),
        (SpeechEventKind.SPEAKER_CHANGED, 10.5),
        (SpeechEventKind.SPEECH_ENDED, 13.5),
    ]
    assert all(event.noticed_at_samples >= event.at_samples for event in events)


def test_changes_of_speaker_are_told_to_a_client_that_flushes() -> None:
    """Each of them once, though nothing is held back for half a second."""
    script: list[tuple[float, tuple[int, ...]]] = [(3.0, (1,)), (3.0, (2,)), (3.0, (1,))]
    results = stream(conversation(script), StreamDiarizer(manifest()), flush=True)
    changes = [
        event.speaker
        for result in results
        for event in result.events
        if isinstance(event, SpeechEvent) and event.kind is SpeechEventKind.SPEAKER_CHANGED
    ]
    assert changes == ["S2", "S1"]


def test_what_goes_on_at_the_end_of_the_audio_ends_there() -> None:
    """Speech and overlap that reach the end have their events."""
    results = stream(conversation([(3.0, (1,)), (3.0, (1, 2))]), StreamDiarizer(manifest()))
    last = [event.kind for event in results[-1].events if isinstance(event, SpeechEvent)]
    assert SpeechEventKind.OVERLAP_ENDED in last
    kinds = [
        event.kind
        for result in results
        for event in result.events
        if isinstance(event, SpeechEvent)
    ]
    assert kinds.count(SpeechEventKind.SPEECH_STARTED) == kinds.count(SpeechEventKind.SPEECH_ENDED)


def test_all_speech_is_looked_at_again_when_there_is_more_of_it() -> None:
    """Silence brings the next look no nearer; speech does, and then it is far away again."""
    script = [(3.0, (1,)), (20.0, ()), (3.0, (1,)), (5.0, ())]
    away = []
    for parts in range(1, len(script) + 1):
        diarizer = StreamDiarizer(manifest())
        stream(conversation(script[:parts]), diarizer)
        away.append(diarizer.snapshot(16_000).voices.seconds_to_recluster)
    spoken = np.array([3.0, 3.0, 6.0, 6.0])
    expected = RECLUSTER_SECONDS - spoken % RECLUSTER_SECONDS
    assert away == pytest.approx(expected.tolist(), abs=0.2)


def test_all_speech_is_looked_at_once_however_much_of_it_becomes_final() -> None:
    """What a long horizon has held back asks for one look, not for several after each other."""
    diarizer = StreamDiarizer(manifest(), horizon_seconds=20.0)
    frames = conversation([(10.0, (1,)), (5.0, ())])
    for first in range(0, len(frames.speech), HOP_FRAMES):
        hop = slice(first, first + HOP_FRAMES)
        diarizer.push(Frames(frames.speech[hop], frames.activity[hop], frames.embedding[hop]))
    diarizer.flush()
    away = diarizer.snapshot(16_000).voices.seconds_to_recluster
    assert away == pytest.approx(RECLUSTER_SECONDS - 10.0 % RECLUSTER_SECONDS, abs=0.4)


def test_two_labels_of_one_voice_are_announced_as_merged() -> None:
    """A voice that changed and came back half-way is one person, told with SpeakerMerged."""
    frames = conversation([(40.0, (1,))])
    drift = conversation([(40.0, (2,))])
    share = np.ones(len(frames.speech), np.float32)
    share[100:] = 0.25  # at first unlike the voice that it was
    share[300:] = 0.62  # then so much between the two that they cannot be told apart
    mixed = share[:, None, None] * frames.embedding + (1 - share)[:, None, None] * drift.embedding
    mixed /= np.linalg.norm(mixed, axis=2, keepdims=True)
    diarizer = StreamDiarizer(manifest())
    results = stream(Frames(frames.speech, frames.activity, mixed), diarizer)
    merges = [
        event for result in results for event in result.events if isinstance(event, SpeakerMerged)
    ]
    assert [(merge.from_speaker, merge.to_speaker) for merge in merges] == [("S2", "S1")]
    assert diarizer.merges() == tuple(merges)
    assert labels_at(results, 39.0) == ("S1",)


def alike(seconds: float, cosine: float, *, seed: int) -> Frames:
    """Somebody whose voice is that of number 1 but for so much of number 2's."""
    one, two = (conversation([(seconds, (number,))], seed=seed) for number in (1, 2))
    mixed = cosine * one.embedding + np.sqrt(1 - cosine**2) * two.embedding
    mixed /= np.linalg.norm(mixed, axis=2, keepdims=True)
    return Frames(one.speech, one.activity, mixed.astype(np.float32))


def joined(parts: list[Frames]) -> Frames:
    """One after another."""
    names = ("speech", "activity", "embedding")
    return Frames(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


STRICT = manifest(
    operating_point=manifest().operating_point.model_copy(update={"same_speaker_threshold": 0.75})
)
TAKEN_FOR_ANOTHER = ((8.0, 1.0), (6.0, 0.5), (5.0, 1.0), (5.0, 0.5))


def test_a_voice_that_was_taken_for_a_like_one_becomes_a_speaker_of_its_own() -> None:
    """Near enough to the first voice not to be new at once; together they are told apart."""
    frames = joined([alike(*turn, seed=seed) for seed, turn in enumerate(TAKEN_FOR_ANOTHER)])
    results = stream(frames, StreamDiarizer(STRICT))
    assert labels_at(results, 7.0) == labels_at(results, 10.0) == ("S1",)
    assert {labels_at(results, 17.0), labels_at(results, 22.0)} == {("S1",), ("S2",)}


def test_a_voice_that_was_taken_for_a_like_one_needs_a_place() -> None:
    """No more speakers than may be."""
    frames = joined([alike(*turn, seed=seed) for seed, turn in enumerate(TAKEN_FOR_ANOTHER)])
    results = stream(frames, StreamDiarizer(STRICT, maximum_speakers=1))
    assert {labels_at(results, seconds) for seconds in (7.0, 10.0, 17.0, 22.0)} == {("S1",)}


def test_a_flush_makes_final_all_that_is_known() -> None:
    """After a flush only the look-ahead is still open, and the partition goes on afterwards."""
    frames = conversation([(6.0, (1,))])
    diarizer = StreamDiarizer(manifest())
    first = diarizer.push(
        Frames(frames.speech[:100], frames.activity[:100], frames.embedding[:100])
    )
    flushed = diarizer.flush()
    assert flushed.final_until_samples == (100 - LOOK_AHEAD_FRAMES) * FRAME_SAMPLES
    rest = diarizer.push(Frames(frames.speech[100:], frames.activity[100:], frames.embedding[100:]))
    diarizer.end_at(rest.covered_samples)
    last = diarizer.push(random_frames(np.random.default_rng(0), LOOK_AHEAD_FRAMES))
    assert_partition([first, flushed, rest, last, diarizer.finish()], rest.covered_samples)


def test_provisional_turns_reach_past_what_is_final() -> None:
    """Asked for, they say what is now seen of the last two seconds; else there are none."""
    frames = conversation(DIALOGUE)
    asked = stream(frames, StreamDiarizer(manifest(), provisional_turns=True))
    plain = stream(frames, StreamDiarizer(manifest()))
    seen = [result for result in asked if result.turns_provisional]
    assert seen
    for result in seen:
        for turn in result.turns_provisional:
            assert not turn.final
            assert turn.end_samples > result.final_until_samples
    assert regions_of(asked) == regions_of(plain)
    assert not any(result.turns_provisional for result in plain)


def test_the_summary_adds_up() -> None:
    """Talk time is that of the regions, and every named speaker has a voiceprint."""
    diarizer = StreamDiarizer(manifest())
    results = stream(conversation(DIALOGUE), diarizer)
    talk = {speaker.speaker: speaker for speaker in diarizer.summary()}
    assert set(talk) == {"S1", "S2"}
    for name, speaker in talk.items():
        spans = [(start, end) for start, end, names in regions_of(results) if name in names]
        assert speaker.talk_samples == sum(end - start for start, end in spans)
        assert np.linalg.norm(speaker.prototypes[0].values) == pytest.approx(1.0, abs=1e-5)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(1, 40), max_size=12),
    tracks=st.integers(1, 3),
    cut_off=st.integers(0, FRAME_SAMPLES - 1),
    flushes=st.sets(st.integers(0, 12)),
)
def test_final_regions_partition_the_audio_for_any_frames(
    seed: int, cuts: list[int], tracks: int, cut_off: int, flushes: set[int]
) -> None:
    """Whatever a model says and wherever hops end, no sample is missing or told twice."""
    generator = np.random.default_rng(seed)
    diarizer = StreamDiarizer(manifest(tracks=tracks))
    total = max(0, sum(cuts) * FRAME_SAMPLES - cut_off) if cuts else 0
    results = []
    for number, count in enumerate(cuts):
        if number == len(cuts) - 1:
            diarizer.end_at(total)
        results.append(diarizer.push(random_frames(generator, count, tracks)))
        if number in flushes:
            results.append(diarizer.flush())
    diarizer.end_at(total)
    results.append(diarizer.push(random_frames(generator, LOOK_AHEAD_FRAMES, tracks)))
    results.append(diarizer.finish())
    assert_partition(results, total)


def test_an_hour_keeps_memory_constant() -> None:
    """What a stream holds in the second half of an hour of babble is no more than in the first.

    But for the regions of the last two minutes, which are now a few more and now a few less.
    """
    generator = np.random.default_rng(7)
    diarizer = StreamDiarizer(manifest())
    sizes = []
    for _ in range(20):
        for _ in range(3 * 60 * 25 // 45):
            diarizer.push(random_frames(generator, 45))
        sizes.append(len(pickle.dumps(diarizer)))
    assert np.median(sizes[10:]) <= np.median(sizes[:10]) * 1.05


def test_hearing_and_telling_are_pushing() -> None:
    """The halves, one after the other, are the whole."""
    whole, halves = (StreamDiarizer(manifest(), provisional_turns=True) for _ in range(2))
    generator = np.random.default_rng(3)
    for _ in range(20):
        frames = random_frames(generator, 45)
        assert halves.tell(halves.hear(frames)) == whole.push(frames)
    assert halves.flush() == whole.flush()
