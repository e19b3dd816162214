"""How often audio that a client has seen labelled gets another label before it is final."""

from __future__ import annotations

import pytest

from tests.unit.pipeline.synthetic import FRAME_SAMPLES, conversation, manifest, stream
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.turns import UNKNOWN, HopResult

Script = list[tuple[float, tuple[int, ...]]]

FLICKERING: Script = [(3.0, (1,)), (3.0, (2,)), *[(0.5, (1,)), (0.6, (2,))] * 10, (2.0, (1,))]


def seen(results: list[HopResult]) -> int:
    """Changes as a client counts them that asks for provisional turns.

    Stretches of adjacent frames that had a speaker at one hop and have another at the next.
    """
    changes = 0
    told: dict[int, str] = {}
    final: dict[int, str] = {}
    for result in results:
        for region in result.final_regions:
            for frame in range(
                region.start_samples // FRAME_SAMPLES, -(-region.end_samples // FRAME_SAMPLES)
            ):
                final[frame] = "".join(region.speakers)
        now = dict(final)
        for turn in result.turns_provisional:
            for frame in range(
                turn.start_samples // FRAME_SAMPLES, -(-turn.end_samples // FRAME_SAMPLES)
            ):
                now.setdefault(frame, turn.speaker)
        changed = {
            frame
            for frame, speaker in told.items()
            if speaker not in {"", UNKNOWN} and now.get(frame, "") not in {"", speaker}
        }
        changes += sum(frame - 1 not in changed for frame in changed)
        told = {frame: speaker for frame, speaker in now.items() if frame not in final}
    return changes


@pytest.mark.parametrize("hop_frames", [2, 5, 12])
def test_changes_are_those_that_a_client_sees_in_provisional_turns(hop_frames: int) -> None:
    """Nobody need ask for provisional turns: the count is that of a client that did."""
    frames = conversation(FLICKERING)
    asking = StreamDiarizer(manifest(), provisional_turns=True)
    plain = StreamDiarizer(manifest())
    results = stream(frames, asking, hop_frames=hop_frames)
    stream(frames, plain, hop_frames=hop_frames)
    assert plain.label_changes == asking.label_changes == seen(results) > 0


def test_a_steady_voice_has_no_changes_and_a_first_name_is_none() -> None:
    """A voice that is named once it is known well enough was nobody's before, and changes not."""
    diarizer = StreamDiarizer(manifest())
    stream(conversation([(1.0, ()), (20.0, (1,)), (1.0, ())]), diarizer, hop_frames=2)
    assert diarizer.label_changes == 0


def test_a_burst_too_short_to_tell_is_no_change() -> None:
    """What was seen as speech and turns out to be none was no other speaker."""
    diarizer = StreamDiarizer(manifest(), provisional_turns=True)
    script: Script = [(3.0, (1,)), (1.0, ()), (0.12, (1,)), (2.0, ())]
    stream(conversation(script), diarizer, hop_frames=2)
    assert diarizer.label_changes == 0
