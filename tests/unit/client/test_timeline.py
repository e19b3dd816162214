"""The timeline: partition, merges, what is written."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.client import (
    UNKNOWN,
    FileResult,
    Region,
    SpeakerMerged,
    Summary,
    Timeline,
    Turn,
    Update,
)
from voiceflow.errors import VoiceFlowError

SPEAKERS = st.lists(st.sampled_from(["S1", "S2", "S3", UNKNOWN]), max_size=2, unique=True)
REGIONS = st.lists(st.tuples(st.integers(1, 50_000), SPEAKERS.map(tuple)), max_size=30)


def partition(pieces: list[tuple[int, tuple[str, ...]]]) -> list[Region]:
    """Regions of the given lengths, one after the other."""
    regions, at = [], 0
    for length, speakers in pieces:
        regions.append(Region(at, at + length, speakers))
        at += length
    return regions


def update(*regions: Region, turns: tuple[Turn, ...] = (), covered: int | None = None) -> Update:
    """An update whose regions end where it says."""
    end = regions[-1].end_samples if regions else 0
    return Update(regions, turns, end if covered is None else covered, end)


def summary(covered: int, *merges: SpeakerMerged) -> Summary:
    """The end of a complete stream."""
    return Summary((), covered, complete=True, merges=merges, model_version="m")


@given(pieces=REGIONS, cut=st.integers(0, 30))
def test_regions_partition_the_audio_however_updates_cut_them(
    pieces: list[tuple[int, tuple[str, ...]]], cut: int
) -> None:
    """What comes out begins at 0, has no gap, and talk time is kept to the sample."""
    regions = partition(pieces)
    timeline = Timeline()
    end = 0
    for part in (regions[:cut], regions[cut:]):
        end = part[-1].end_samples if part else end
        timeline.add(Update(tuple(part), (), end, end))
    joined = timeline.regions()
    assert [region.start_samples for region in joined] == [
        0,
        *(region.end_samples for region in joined[:-1]),
    ][: len(joined)]
    assert timeline.final_until_samples == end
    for speaker, talked in timeline.talk_samples().items():
        assert talked == sum(length for length, speakers in pieces if speaker in speakers)
    for first, second in itertools.pairwise(joined):
        assert set(first.speakers) != set(second.speakers)


@pytest.mark.parametrize(
    "second",
    [Region(120, 200, ()), Region(80, 200, ()), Region(100, 100, ()), Region(0, 100, ())],
    ids=["gap", "overlap", "empty", "twice"],
)
def test_a_stream_that_breaks_the_partition_is_refused(second: Region) -> None:
    """A gap, an overlap, an empty region or a repeated one raises PARTITION_BROKEN."""
    timeline = Timeline()
    timeline.add(update(Region(0, 100, ("S1",))))
    with pytest.raises(VoiceFlowError) as caught:
        timeline.add(update(second))
    assert caught.value.reason == "PARTITION_BROKEN"


def test_an_update_that_states_another_end_is_refused() -> None:
    """`final_until` must be where the regions end."""
    with pytest.raises(VoiceFlowError, match="the update says 90"):
        Timeline().add(Update((Region(0, 100, ()),), (), 200, 90))


def test_a_summary_that_covers_more_than_is_final_is_refused() -> None:
    """After the summary nothing can be missing."""
    timeline = Timeline()
    timeline.add(update(Region(0, 100, ())))
    with pytest.raises(VoiceFlowError, match="covers 160 samples"):
        timeline.add(summary(160))


def test_provisional_turns_are_replaced_and_final_ones_stay() -> None:
    """Each update replaces the provisional turns as a whole; the summary leaves none."""
    timeline = Timeline()
    final = Turn("S1", 0, 100, 0.9, final=True)
    timeline.add(
        update(Region(0, 100, ("S1",)), turns=(final, Turn("S2", 120, 200, 0.5, final=False)))
    )
    assert [turn.speaker for turn in timeline.provisional_turns()] == ["S2"]
    maybe = Turn("S3", 120, 300, 0.5, final=False)
    timeline.add(Update((), (maybe,), 300, 100))
    assert timeline.provisional_turns() == (maybe,)
    timeline.add(update(Region(100, 300, ("S3",))))
    timeline.add(summary(300))
    assert timeline.provisional_turns() == ()
    assert timeline.turns() == (final,)


def test_a_merge_makes_two_labels_one_speaker() -> None:
    """Regions, turns and talk time read the old label as the new one, also in chains."""
    timeline = Timeline()
    timeline.add(
        update(
            Region(0, 100, ("S1",)),
            Region(100, 200, ("S1", "S2")),
            Region(200, 300, ("S2",)),
            Region(300, 400, ("S3",)),
            turns=(
                Turn("S1", 0, 200, 1.0, final=True),
                Turn("S2", 100, 300, 0.5, final=True),
                Turn("S3", 300, 400, 0.4, final=True),
            ),
        )
    )
    timeline.add(SpeakerMerged("S3", "S2", 400))
    timeline.add(SpeakerMerged("S2", "S1", 400))
    assert timeline.regions() == (Region(0, 400, ("S1",)),)
    assert timeline.talk_samples() == {"S1": 400}
    (turn,) = timeline.turns()
    assert (turn.speaker, turn.start_samples, turn.end_samples) == ("S1", 0, 400)
    assert timeline.name_of("S3") == "S1"


def test_a_merge_only_told_in_the_summary_counts_too() -> None:
    """A file's result has no events; its merges stand in the summary."""
    merge = SpeakerMerged("S2", "S1", 200)
    result = FileResult(
        (Region(0, 100, ("S1",)), Region(100, 200, ("S2",))),
        (Turn("S1", 0, 100, 1.0, final=True), Turn("S2", 100, 200, 1.0, final=True)),
        summary(200, merge),
    )
    assert Timeline.of_file(result).talk_samples() == {"S1": 200}


def test_merges_in_a_circle_end() -> None:
    """A careless server cannot hang the client."""
    timeline = Timeline()
    timeline.add(SpeakerMerged("S1", "S2", 0))
    timeline.add(SpeakerMerged("S2", "S1", 0))
    assert timeline.name_of("S1") == "S2"


def test_rttm_has_a_line_a_turn() -> None:
    """Ten fields, times in seconds, no white space inside a field."""
    timeline = Timeline()
    turns = (
        Turn("Ann Lee", 16_000, 40_000, 1.0, final=True),
        Turn("S1", 8_000, 24_000, 1.0, final=True),
    )
    timeline.add(update(Region(0, 40_000, ()), turns=turns))
    assert timeline.to_rttm("my talk.wav").splitlines() == [
        "SPEAKER my_talk.wav 1 0.500 1.000 <NA> <NA> S1 <NA> <NA>",
        "SPEAKER my_talk.wav 1 1.000 1.500 <NA> <NA> Ann_Lee <NA> <NA>",
    ]


def test_json_tells_everything_but_voiceprints() -> None:
    """Speakers, turns, regions and merges are there, and whether the stream was complete."""
    timeline = Timeline()
    timeline.add(
        update(Region(0, 16_000, ("S1",)), turns=(Turn("S1", 0, 16_000, 0.75, final=True),))
    )
    assert json.loads(timeline.to_json("a.wav"))["complete"] is False
    timeline.add(summary(16_000))
    told = json.loads(timeline.to_json("a.wav"))
    assert told["format"] == "voiceflow-timeline/1.0"
    assert told["complete"] is True
    assert told["duration_seconds"] == 1.0
    assert told["speakers"] == [{"speaker": "S1", "talk_seconds": 1.0}]
    assert told["turns"] == [
        {"speaker": "S1", "start_seconds": 0.0, "end_seconds": 1.0, "confidence": 0.75}
    ]
    assert told["regions"] == [{"start_seconds": 0.0, "end_seconds": 1.0, "speakers": ["S1"]}]
    assert "prototype" not in timeline.to_json("a.wav")


def test_unknown_stands_last() -> None:
    """Whoever is named comes before whoever is not."""
    timeline = Timeline()
    timeline.add(update(Region(0, 10, (UNKNOWN,)), Region(10, 20, ("S1",))))
    assert list(timeline.talk_samples()) == ["S1", UNKNOWN]
