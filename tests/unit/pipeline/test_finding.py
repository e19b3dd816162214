"""Speakers are found again by who spoke when, and by nothing that says less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.pipeline.cutting import turned
from tests.unit.pipeline.synthetic import FRAME_SAMPLES, conversation, manifest, voice
from voiceflow.artifact import LatencyMode
from voiceflow.pipeline.activity import Voices, rank_tracks
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.finding import Finder
from voiceflow.pipeline.identity import RECLUSTER_SECONDS
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.snapshot import context_samples, start_samples
from voiceflow.pipeline.turns import UNKNOWN, Region, SpeakerMerged

Told = list[tuple[int, int, tuple[str, ...]]]


def finder(told: Told, *merges: tuple[str, str], first_frame: int = 0) -> Finder:
    """Of a stream that was told these regions, in frames."""
    regions = [
        Region(start * FRAME_SAMPLES, end * FRAME_SAMPLES, names) for start, end, names in told
    ]
    snapshot = replace(
        StreamDiarizer(manifest()).snapshot(16_000),
        recent=tuple(regions),
        merges=tuple(SpeakerMerged(source, target, 0) for source, target in merges),
    )
    return Finder(snapshot, manifest().operating_point, FRAME_SAMPLES, first_frame)


def heard(*script: tuple[int, tuple[int, ...]]) -> Voices:
    """Frames in which voices speak."""
    return rank_tracks(
        conversation([(frames * FRAME_SAMPLES / 16_000, voices) for frames, voices in script])
    )


def found(of: Finder) -> dict[str, int]:
    """Of how many frames each speaker's voice is made."""
    return {name: int(frames) for name, (_, frames) in of.found(1).items()}


def test_a_voice_is_what_is_heard_where_one_speaker_was_told() -> None:
    """To the frame, however the audio is cut."""
    subject = finder([(0, 20, ("S1",)), (20, 25, ()), (25, 50, ("S2",))])
    voices = heard((20, (1,)), (5, ()), (25, (2,)))
    for start in range(0, 50, 7):
        subject.hear(start, Voices(voices.activity[start:][:7], voices.embedding[start:][:7]))
    assert found(subject) == {"S1": 20, "S2": 25}
    for name, number in (("S1", 1), ("S2", 2)):
        total, _ = subject.found(1)[name]
        assert total @ voice(number) / np.linalg.norm(total) > 0.95


def test_overlap_silence_and_unknown_voices_say_nothing() -> None:
    """Neither what was told, nor what is heard: where either has two voices there is no one."""
    subject = finder([(0, 10, ("S1", "S2")), (10, 20, (UNKNOWN,)), (20, 30, ()), (30, 50, ("S1",))])
    subject.hear(0, heard((10, (1,)), (10, (1,)), (10, (1,)), (5, (1, 2)), (5, ()), (10, (1,))))
    assert found(subject) == {"S1": 10}


def test_frames_beyond_the_regions_say_nothing() -> None:
    """Before the first, in a gap, and after the last."""
    subject = finder([(10, 20, ("S1",)), (30, 40, ("S1",))])
    subject.hear(0, heard((60, (1,))))
    assert found(subject) == {"S1": 20}


def test_what_a_model_says_of_frames_before_its_first_says_nothing() -> None:
    """Its look-ahead reports them, and it has not heard them."""
    subject = finder([(0, 40, ("S1",))], first_frame=10)
    subject.hear(2, heard((5, (1,))))
    subject.hear(7, heard((5, (1,))))
    subject.hear(12, heard((5, (1,))))
    assert found(subject) == {"S1": 7}


def test_a_merged_label_counts_for_the_one_it_was_merged_into() -> None:
    """Through others, too."""
    subject = finder(
        [(0, 10, ("S1",)), (10, 20, ("S3",)), (20, 30, ("S2",))], ("S3", "S2"), ("S2", "S1")
    )
    subject.hear(0, heard((30, (1,))))
    assert found(subject) == {"S1": 30}
    assert subject.resolve("S3") == "S1"


def test_too_little_speech_is_not_found_and_the_first_labelled_come_first() -> None:
    """S10 after S2, and nobody of whom too little was heard."""
    subject = finder([(0, 20, ("S10",)), (20, 29, ("S3",)), (29, 40, ("S2",))])
    subject.hear(0, heard((40, (1,))))
    assert list(subject.found(10)) == ["S2", "S10"]


@pytest.mark.parametrize("look_ahead", [0, 8])
def test_who_was_found_goes_on_as_the_one_who_spoke_last(look_ahead: int) -> None:
    """Numbers are new, and mean whom they meant; the next look at all speech is far away."""
    old_model = manifest(look_ahead_frames=0)
    before = StreamDiarizer(old_model)
    frames = conversation([(4.0, (3,)), (4.0, (1,)), (6.0, (2,))])
    for first in range(0, len(frames.speech), 2):
        hop = slice(first, first + 2)
        before.push(Frames(frames.speech[hop], frames.activity[hop], frames.embedding[hop]))
    old = before.snapshot(context_samples(old_model, 7.0))
    assert old.names == ("S1", "S2", "S3")
    assert (old.final_first, old.announced) == (2, 2)

    new_model = manifest(embedding_space="synthetic-2", look_ahead_frames=look_ahead)
    start = start_samples(old, new_model, LatencyMode.AGENT) // FRAME_SAMPLES
    assert start * FRAME_SAMPLES > 4 * 16_000  # of S1 nothing is heard again
    diarizer = StreamDiarizer.resumed(new_model, old, start * FRAME_SAMPLES)
    late = np.arange(start, len(frames.speech)) - look_ahead
    embedding = frames.embedding @ turned()
    for first in range(0, len(late), 2):
        assert diarizer.snapshot(16_000) is old  # until they are found, the old one holds
        at = late[first : first + 2]
        diarizer.push(Frames(frames.speech[at], frames.activity[at], embedding[at]))
        if (start + first + 2) - look_ahead >= old.at_samples // FRAME_SAMPLES:
            break
    new = diarizer.snapshot(16_000)
    assert new.embedding_space == "synthetic-2"
    assert new.names == ("S2", "S3")
    assert (new.final_first, new.final_second, new.announced) == (1, -2, 1)
    assert new.voices.last_final_state == 2
    assert new.voices.seconds_to_recluster == RECLUSTER_SECONDS
    assert new.voices.remembered_speakers == (0, 1)
    assert new.names_given == 3
    assert (new.merges, new.open_turns, new.talk_samples) == (
        old.merges,
        old.open_turns,
        old.talk_samples,
    )


def test_who_spoke_last_under_a_merged_label_is_the_other() -> None:
    """S3 spoke at the cut and had been found to be S2."""
    before = StreamDiarizer(manifest())
    frames = conversation([(3.0, (1,)), (6.0, (2,))])
    before.push(frames)
    snapshot = before.snapshot(context_samples(manifest(), 20.0))
    at = snapshot.at_samples
    old = replace(
        snapshot,
        names=("S1", "S2", "S3"),
        final_first=2,
        announced=2,
        merges=(SpeakerMerged("S3", "S2", 0),),
        recent=(Region(0, 3 * 16_000, ("S1",)), Region(3 * 16_000, at, ("S3",))),
    )
    other = manifest(embedding_space="synthetic-2", look_ahead_frames=0)
    diarizer = StreamDiarizer.resumed(other, old, 0)
    heard_again = slice(0, at // FRAME_SAMPLES)
    diarizer.push(
        Frames(
            frames.speech[heard_again], frames.activity[heard_again], frames.embedding[heard_again]
        )
    )
    new = diarizer.snapshot(16_000)
    assert new.names == ("S1", "S2")
    assert (new.final_first, new.announced) == (1, 1)
