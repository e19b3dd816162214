"""Vectors that tell late who speaks are taken for the frames that they tell of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.unit.pipeline.synthetic import (
    FRAME_SAMPLES,
    LOOK_AHEAD_FRAMES,
    conversation,
    labels_at,
    manifest,
    stream,
)
from voiceflow.artifact import Manifest
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.turns import Turn

LAG_FRAMES = 8
CHANGE_SECONDS = 6.0
SCRIPT = [(4.0, (0,)), (2.0, (1,)), (3.0, (0,)), (0.6, ()), (3.0, (1,))]


def late() -> Frames:
    """A conversation whose vectors tell for a while who spoke before."""
    frames = conversation(SCRIPT)
    return Frames(frames.speech, frames.activity, np.roll(frames.embedding, LAG_FRAMES, axis=0))


def lagging(seconds: float) -> Manifest:
    """The manifest of a model whose vectors tell so much later best who speaks."""
    point = manifest().operating_point.model_copy(update={"voice_lag_seconds": seconds})
    return manifest(operating_point=point)


def turns(hop_frames: int, *, flush: bool = False) -> list[Turn]:
    """Of the conversation, by a model that states its lag."""
    diarizer = StreamDiarizer(lagging(0.32))
    results = stream(late(), diarizer, hop_frames=hop_frames, flush=flush)
    return [turn for result in results for turn in result.turns_final]


@pytest.mark.parametrize(("lag_seconds", "speaker"), [(0.32, "S1"), (0.0, "S2")])
def test_a_change_is_where_the_lag_says(lag_seconds: float, speaker: str) -> None:
    """Just after a change the vectors still tell of the voice before."""
    results = stream(late(), StreamDiarizer(lagging(lag_seconds)))
    assert labels_at(results, CHANGE_SECONDS - 0.1) == ("S2",)
    assert labels_at(results, CHANGE_SECONDS + 0.16) == (speaker,)
    assert labels_at(results, CHANGE_SECONDS + 0.5) == ("S1",)


@pytest.mark.parametrize("hop_frames", [1, 2, 5, 25, 50])
def test_turns_do_not_depend_on_the_hops(hop_frames: int) -> None:
    """Frames whose vectors are still to come are looked at again when they have come."""
    assert [(turn.speaker, turn.start_samples, turn.end_samples) for turn in turns(hop_frames)] == [
        (turn.speaker, turn.start_samples, turn.end_samples) for turn in turns(12)
    ]


def test_what_a_flush_makes_final_does_not_wait_for_its_vectors() -> None:
    """It is told by the last vector there is; nothing is lost or told twice."""
    diarizer = StreamDiarizer(lagging(0.32))
    results = stream(late(), diarizer, flush=True)
    regions = [region for result in results for region in result.final_regions]
    assert regions[0].start_samples == 0
    for one, other in pairwise(regions):
        assert one.end_samples == other.start_samples
    assert regions[-1].end_samples == sum(round(s * 16_000) for s, _ in SCRIPT)
    assert {turn.speaker for turn in turns(12, flush=True)} >= {"S1", "S2"}


def test_the_newest_frames_are_told_by_the_last_vector() -> None:
    """A provisional turn reaches to the end of what was heard, though its vectors lag."""
    diarizer = StreamDiarizer(lagging(0.32), provisional_turns=True)
    frames = late()
    result = diarizer.push(Frames(frames.speech[:75], frames.activity[:75], frames.embedding[:75]))
    assert [turn.speaker for turn in result.turns_provisional] == ["S1"]
    assert result.turns_provisional[-1].end_samples == (75 - LOOK_AHEAD_FRAMES) * FRAME_SAMPLES


def test_another_lag_holds_from_the_next_frames_on() -> None:
    """A stream goes on with a model that states another one."""
    diarizer = StreamDiarizer(lagging(0.0))
    frames = late()
    half = 75
    diarizer.push(Frames(frames.speech[:half], frames.activity[:half], frames.embedding[:half]))
    diarizer.adopt(lagging(0.32))
    diarizer.push(Frames(frames.speech[half:], frames.activity[half:], frames.embedding[half:]))
    diarizer.end_at(len(frames.speech) * 640)
    assert diarizer.finish().turns_final
