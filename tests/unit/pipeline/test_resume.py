"""A stream that is cut anywhere goes on elsewhere as if nothing had happened."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.cutting import SCRIPTS, Cut, Script, told, turned
from tests.unit.pipeline.synthetic import (
    FRAME_SAMPLES,
    LOOK_AHEAD_FRAMES,
    conversation,
    labels_at,
    manifest,
    random_frames,
)
from tests.unit.pipeline.test_diarizer import assert_partition
from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.snapshot import context_samples, start_samples
from voiceflow.pipeline.turns import UNKNOWN, SpeakerMerged, SpeechEvent, SpeechEventKind


# Not at random: what is held is scored again with all that was learnt until the cut, so a near tie,
# as between two who speak at once, may fall otherwise by some frames (ADR 10).
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    script=SCRIPTS,
    mode=st.sampled_from(LatencyMode),
    cuts=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3),
    flushes=st.sets(st.integers(1, 80), max_size=4),
)
def test_with_the_same_model_nothing_can_be_told_from_a_stream_that_was_not_cut(
    script: Script, mode: LatencyMode, cuts: list[float], flushes: set[int]
) -> None:
    """Cut anywhere, again and again: regions, labels, turns, events, talk times are the same."""
    frames = conversation(script)
    total = len(frames.speech)
    hops = total * FRAME_SAMPLES // manifest().hop_samples[mode]
    places = sorted(round(cut * hops) for cut in cuts)
    whole = told(frames, manifest(), mode, [], flushes=flushes)
    parts = told(
        frames, manifest(), mode, [Cut(hop, manifest()) for hop in places], flushes=flushes
    )
    assert_partition(parts.results, total * FRAME_SAMPLES)
    assert parts.regions() == whole.regions()
    assert parts.turns() == whole.turns()
    assert parts.speech_events() == whole.speech_events()
    assert [(one.speaker, one.talk_samples) for one in parts.speakers] == [
        (one.speaker, one.talk_samples) for one in whole.speakers
    ]


PIECES: Script = [(0.6, (2,)), (3.0, ())]


@pytest.mark.parametrize(
    ("script", "seconds"),
    [
        pytest.param([(4.0, (1,)), (1.0, ()), *PIECES * 4], 11.0, id="a voice without a name"),
        pytest.param([(4.0, (1,)), (0.72, (2,)), (5.0, ())], 6.3, id="a segment at hand"),
        pytest.param([(4.0, (1,)), (4.0, (2,)), (4.0, (1, 2)), (2.0, ())], 10.0, id="overlap"),
        pytest.param([(3.0, (1,)), (3.0, (2,)), (4.0, (1,))], 6.3, id="before a change"),
        pytest.param([(3.0, (1,)), (3.0, (2,)), (4.0, (1,))], 6.9, id="after a change"),
        pytest.param([(4.0, (1,)), (0.28, ()), (4.0, (1,))], 6.24, id="a pause within a turn"),
        pytest.param([(4.0, (1,)), (0.5, (2,)), *[(3.0, (1,)), (3.0, (2,))] * 6], 21.0, id="long"),
    ],
)
@pytest.mark.parametrize("mode", LatencyMode)
def test_what_was_going_on_at_the_cut_goes_on(
    script: Script, seconds: float, mode: LatencyMode
) -> None:
    """Each kind of thing that a stream has in hand."""
    frames = conversation(script)
    whole = told(frames, manifest(), mode, [])
    parts = told(frames, manifest(), mode, [Cut(after(seconds, mode), manifest())])
    assert parts.regions() == whole.regions()
    assert parts.turns() == whole.turns()
    assert parts.speech_events() == whole.speech_events()


@settings(max_examples=60, deadline=None)
@given(
    script=SCRIPTS,
    mode=st.sampled_from(LatencyMode),
    cut=st.floats(0.0, 1.0),
    context_seconds=st.floats(1.0, 20.0),
)
def test_where_vectors_mean_something_else_speakers_are_found_again_or_their_labels_are_nobodys(
    script: Script, mode: LatencyMode, cut: float, context_seconds: float
) -> None:
    """Who spoke alone in the audio that is heard again keeps the label; no label changes owner.

    Unless it was told there of two voices: then it means both, whatever vectors mean.
    """
    frames = conversation(script)
    total = len(frames.speech)
    place = round(cut * total * FRAME_SAMPLES / manifest().hop_samples[mode])
    other = Cut(place, manifest(embedding_space="synthetic-2"), turned())
    parts = told(frames, manifest(), mode, [other], context_seconds=context_seconds)
    assert_partition(parts.results, total * FRAME_SAMPLES)

    labels, voices = parts.labels(total), voices_of(script)
    at = parts.cuts[0].at_samples // FRAME_SAMPLES
    first = parts.cuts[0].start_samples // FRAME_SAMPLES
    owners = owners_of(labels[:at], voices[:at])
    heard_again = Counter(zip(labels[first:at], voices[first:at], strict=True))
    for frame in long_stretches(voices, since=at):
        for label, owner in owners.items():
            told_of = {heard for names, heard in heard_again if names == (label,)}
            if told_of - {(), (owner,)}:
                continue
            if (owner,) != voices[frame]:
                assert label not in labels[frame]
            elif heard_again[(label,), (owner,)] >= 0.4 * 25:
                assert labels[frame] == (label,)


def voices_of(script: Script) -> list[tuple[int, ...]]:
    """Who really speaks in each frame."""
    return [
        voices for seconds, voices in script for _ in range(round(seconds * 16_000 / FRAME_SAMPLES))
    ]


def owners_of(labels: list[tuple[str, ...]], voices: list[tuple[int, ...]]) -> dict[str, int]:
    """By label, the voice that speaks in most of the frames in which the label is alone."""
    counts: dict[str, Counter[int]] = {}
    for names, heard in zip(labels, voices, strict=True):
        if len(names) == len(heard) == 1 and names != (UNKNOWN,):
            counts.setdefault(names[0], Counter()).update(heard)
    return {name: count.most_common(1)[0][0] for name, count in counts.items()}


def long_stretches(voices: list[tuple[int, ...]], since: int) -> Iterator[int]:
    """The middles of stretches of more than two seconds in which one voice speaks alone.

    In shorter ones a voice that is a little like another may be taken for it, cut or not.
    """
    frame = since
    for heard, group in itertools.groupby(voices[since:]):
        length = len(list(group))
        if len(heard) == 1 and length > 50:
            yield frame + length // 2
        frame += length


OTHER = manifest(embedding_space="synthetic-2")


def after(seconds: float, mode: LatencyMode = LatencyMode.DENSITY) -> int:
    """The hop that ends by a place in the audio."""
    return round(seconds * 16_000) // manifest().hop_samples[mode]


def test_a_label_that_cannot_be_found_again_stays_reserved() -> None:
    """S2 is not heard again: S1 is found, and the voice of S2 becomes S3, not S2 and not S1."""
    script: Script = [(4.0, (1,)), (4.0, (2,)), (12.0, (1,)), (4.0, (2,)), (3.0, (1,))]
    cut = Cut(after(16.0), OTHER, turned())
    parts = told(conversation(script), manifest(), LatencyMode.DENSITY, [cut], context_seconds=4.0)
    assert labels_at(parts.results, 6.0) == ("S2",)
    assert labels_at(parts.results, 18.0) == ("S1",)
    assert labels_at(parts.results, 22.0) == ("S3",)
    assert labels_at(parts.results, 25.5) == ("S1",)
    talk = {speaker.speaker: speaker for speaker in parts.speakers}
    assert set(talk) == {"S1", "S2", "S3"}
    assert talk["S2"].talk_samples == pytest.approx(4 * 16_000, rel=0.02)
    assert talk["S2"].prototypes == ()
    assert talk["S3"].prototypes


def test_a_change_from_a_speaker_who_was_not_found_again_is_told() -> None:
    """S2 had only begun at the cut, too late to be found: who goes on there is S3 from now on."""
    script: Script = [(3.0, (1,)), (3.0, (2,)), (4.0, (1,))]
    mode = LatencyMode.AGENT
    cut = Cut(after(5.2, mode), OTHER, turned())
    parts = told(conversation(script), manifest(), mode, [cut])
    changes = [
        (event.speaker, round(event.at_samples / 16_000, 1))
        for event in parts.speech_events()
        if event.kind is SpeechEventKind.SPEAKER_CHANGED
    ]
    assert changes == [("S2", 3.0), ("S3", 3.2), ("S1", 6.0)]


def test_a_voice_that_was_lost_takes_no_place_among_the_speakers_there_can_be() -> None:
    """Of two speakers at most one is lost: the voice gets a new label and not the other's."""
    script: Script = [(4.0, (1,)), (4.0, (2,)), (12.0, (1,)), (4.0, (2,)), (3.0, (1,))]
    cut = Cut(after(16.0), OTHER, turned())
    parts = told(
        conversation(script),
        manifest(),
        LatencyMode.DENSITY,
        [cut],
        context_seconds=4.0,
        maximum_speakers=2,
    )
    assert labels_at(parts.results, 22.0) == ("S3",)
    assert labels_at(parts.results, 25.5) == ("S1",)


@pytest.mark.parametrize("space", [manifest(), OTHER], ids=["same space", "other space"])
def test_a_client_that_asks_for_fewer_speakers_keeps_those_it_has(space: Manifest) -> None:
    """Three are known, and the resumed stream may have one: all three keep their labels."""
    script: Script = [(3.0, (1,)), (3.0, (2,)), (3.0, (3,)), (3.0, (1,)), (3.0, (2,))]
    turn = turned() if space is OTHER else None
    parts = told(
        conversation(script),
        manifest(),
        LatencyMode.DENSITY,
        [Cut(after(12.0), space, turn, maximum_speakers=1)],
        context_seconds=20.0,
    )
    assert labels_at(parts.results, 10.5) == ("S1",)
    assert labels_at(parts.results, 13.5) == ("S2",)


def test_a_turn_that_is_open_at_the_cut_comes_once_and_whole() -> None:
    """Also where vectors mean something else."""
    script: Script = [(2.0, (1,)), (10.0, (2,)), (2.0, (1,))]
    cut = Cut(after(8.0), OTHER, turned())
    parts = told(conversation(script), manifest(), LatencyMode.DENSITY, [cut], context_seconds=8.0)
    whole = told(conversation(script), manifest(), LatencyMode.DENSITY, [])
    assert parts.turns() == whole.turns()
    assert [turn[0] for turn in parts.turns()] == ["S1", "S2", "S1"]


def merging() -> Frames:
    """A voice that changes at 4 s, gets a second label, and comes back half-way at 12 s."""
    frames, drift = conversation([(40.0, (1,))]), conversation([(40.0, (2,))])
    share = np.ones(len(frames.speech), np.float32)
    share[100:] = 0.25
    share[300:] = 0.62
    mixed = share[:, None, None] * frames.embedding + (1 - share)[:, None, None] * drift.embedding
    mixed /= np.linalg.norm(mixed, axis=2, keepdims=True)
    return Frames(frames.speech, frames.activity, mixed)


@pytest.mark.parametrize("hops", [-20, -5, -1, 0, 1, 2, 15, 40])
def test_merges_are_as_they_would_have_been(hops: int) -> None:
    """Before and after two labels were found to be one person, in the same space."""
    mode = LatencyMode.DENSITY
    whole = told(merging(), manifest(), mode, [])
    merge = 1 + next(
        number
        for number, result in enumerate(whole.results)
        if any(isinstance(event, SpeakerMerged) for event in result.events)
    )
    parts = told(merging(), manifest(), mode, [Cut(merge + hops, manifest())])
    assert whole.merges
    assert parts.merges == whole.merges
    assert parts.merge_events() == whole.merge_events()
    assert parts.regions() == whole.regions()


def test_a_label_that_was_merged_is_found_again_as_the_other() -> None:
    """What was said under both labels is one person's, in another space, too."""
    whole = told(merging(), manifest(), LatencyMode.DENSITY, [])
    (merge,) = whole.merge_events()
    cut = Cut(merge.at_samples // manifest().hop_samples[LatencyMode.DENSITY] + 6, OTHER, turned())
    parts = told(merging(), manifest(), LatencyMode.DENSITY, [cut], context_seconds=30.0)
    assert parts.cuts[0].at_samples > merge.at_samples
    assert parts.merges[:1] == whole.merges
    assert labels_at(parts.results, 39.0) == ("S1",)
    assert "S2" not in {
        name
        for start, _, names in parts.regions()
        if start >= parts.cuts[0].at_samples
        for name in names
    }


def test_a_stream_that_is_cut_before_it_told_anything_new_goes_on_from_where_it_was() -> None:
    """While audio is heard again in another space nobody is found yet: the old snapshot holds."""
    frames = conversation([(4.0, (1,)), (4.0, (2,)), (6.0, (1,))])
    cuts = [Cut(after(9.6), OTHER, turned()), Cut(after(4.8), manifest())]
    parts = told(frames, manifest(), LatencyMode.DENSITY, cuts, context_seconds=20.0)
    first, second = parts.cuts
    assert second.at_samples == first.at_samples
    assert parts.regions() == told(frames, manifest(), LatencyMode.DENSITY, []).regions()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 300),
    frame_samples=st.sampled_from([160, 480, 640, 1000, 4800]),
    look_ahead=st.integers(0, 8),
    same_space=st.booleans(),
    cut_off=st.integers(0, FRAME_SAMPLES - 1),
)
def test_frames_may_have_another_length(
    seed: int, count: int, frame_samples: int, look_ahead: int, same_space: bool, cut_off: int
) -> None:
    """The partition goes on from the very sample, be it in the midst of a frame."""
    generator = np.random.default_rng(seed)
    before = StreamDiarizer(manifest())
    # Where the audio ends in the midst of a frame, what is final can end there, too.
    until = max(0, count * FRAME_SAMPLES - cut_off)
    before.push(random_frames(generator, count))
    before.end_at(until)
    before.push(random_frames(generator, LOOK_AHEAD_FRAMES))
    at = before.flush().final_until_samples
    assert at == until

    new = manifest(
        frame_samples=frame_samples,
        look_ahead_frames=look_ahead,
        hop_samples={LatencyMode.DENSITY: frame_samples * 2},
        embedding_space="synthetic-1" if same_space else "synthetic-2",
    )
    snapshot = before.snapshot(context_samples(manifest(), 4.0))
    start = start_samples(snapshot, new, LatencyMode.DENSITY)
    diarizer = StreamDiarizer.resumed(new, snapshot, start)
    total = until + 5 * 16_000
    results = []
    for end in range(start, total + look_ahead * frame_samples + frame_samples, 2 * frame_samples):
        if end + 2 * frame_samples > total:
            diarizer.end_at(total)
        results.append(diarizer.push(random_frames(generator, 2)))
    results.append(diarizer.finish())
    place = at
    for result in results:
        for region in result.final_regions:
            assert region.start_samples == place < region.end_samples
            place = region.end_samples
        assert result.final_until_samples == place <= result.covered_samples
    assert place == total


def test_the_end_of_speech_is_told_by_frames_of_another_length() -> None:
    """0.16 s of silence before the cut are two frames of the next model, as many as it needs."""
    before = StreamDiarizer(manifest())
    frames = conversation([(4.0, (1,)), (0.16, ())])
    assert not [event for event in before.push(frames).events if _is_end(event)]
    new = manifest(frame_samples=1280, look_ahead_frames=0, hop_samples={LatencyMode.DENSITY: 1280})
    snapshot = before.snapshot(context_samples(manifest(), 0.0))
    start = start_samples(snapshot, new, LatencyMode.DENSITY)
    diarizer = StreamDiarizer.resumed(new, snapshot, start)
    silence = conversation([(0.04, ())])
    events = [
        event
        for _ in range(start, round(6.0 * 16_000), 1280)
        for event in diarizer.push(silence).events
    ]
    assert [event.at_samples for event in events if _is_end(event)] == [4 * 16_000]


def _is_end(event: object) -> bool:
    return isinstance(event, SpeechEvent) and event.kind is SpeechEventKind.SPEECH_ENDED


def test_a_stream_that_was_resumed_asks_for_no_audio_from_before_what_was_kept() -> None:
    """The next server would have its clients keep more than the one before did."""
    frames = conversation([(6.0, (1,)), (6.0, (2,)), (6.0, (1,))])
    first = StreamDiarizer(manifest())
    first.push(frames)
    old = first.snapshot(3 * 16_000)
    kept_from = old.at_samples - 3 * 16_000
    start = start_samples(old, manifest(), LatencyMode.AGENT)
    second = StreamDiarizer.resumed(manifest(), old, start)
    for snapshot in (second.snapshot(30 * 16_000), second.snapshot(2 * 16_000)):
        for space in (manifest(), OTHER):
            assert start_samples(snapshot, space, LatencyMode.AGENT) >= kept_from
    assert second.snapshot(2 * 16_000).context_samples == 2 * 16_000
    # A stream that was not resumed has all from its start.
    assert start_samples(first.snapshot(10**9), OTHER, LatencyMode.AGENT) == 0


def test_what_is_known_weighs_by_time_and_not_by_frames() -> None:
    """Where frames are half as long, the same speech is twice as many of them."""
    before = StreamDiarizer(manifest())
    before.push(conversation([(4.0, (1,)), (3.0, (2,)), (0.6, (3,)), (3.0, ()), (1.0, (1,))]))
    half = manifest(frame_samples=320, hop_samples={LatencyMode.DENSITY: 7680})
    old = before.snapshot(context_samples(manifest(), 4.0))
    start = start_samples(old, half, LatencyMode.DENSITY)
    new = StreamDiarizer.resumed(half, old, start).snapshot(old.context_samples)
    assert new.at_samples == old.at_samples
    assert new.voices.table.frames == pytest.approx(
        [2 * count for count in old.voices.table.frames]
    )
    assert new.voices.table.lengths == pytest.approx(
        [2 * length for length in old.voices.table.lengths], rel=1e-3
    )
    assert new.voices.path_totals == pytest.approx([2 * gain for gain in old.voices.path_totals])
    assert new.voices.seconds_to_recluster == old.voices.seconds_to_recluster
    assert (new.speech, new.overlap) == (old.speech, old.overlap)
    assert (new.recent, new.open_turns, new.scanned_samples) == (
        old.recent,
        old.open_turns,
        old.scanned_samples,
    )


UNNAMED: Script = [(1.0, ()), (0.7, (9,)), (1.0, ())]


def test_a_stream_that_was_resumed_is_what_it_was() -> None:
    """Before it has heard anything: a snapshot of it is the one that it came from."""
    before = StreamDiarizer(manifest())
    script: Script = [(4.0, (1,)), (3.0, (2,)), *UNNAMED, (1.0, (1, 2)), (5.5, (1,))]
    frames = conversation(script)
    for first in range(0, len(frames.speech), 12):
        hop = slice(first, first + 12)
        before.push(Frames(frames.speech[hop], frames.activity[hop], frames.embedding[hop]))
    old = before.snapshot(context_samples(manifest(), 4.0))
    voices = old.voices
    assert voices.unnamed
    assert voices.last_final_state != 0
    assert voices.table.frames[len(voices.prototype_speakers) + voices.unnamed] > 0  # the segment
    assert old.open_turns
    start = start_samples(old, manifest(), LatencyMode.DENSITY)
    new = StreamDiarizer.resumed(manifest(), old, start).snapshot(old.context_samples)
    assert voices.table.totals(1.0) == pytest.approx(new.voices.table.totals(1.0), abs=0.05)
    assert replace(new, voices=replace(new.voices, table=voices.table)) == old
