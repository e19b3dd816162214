"""Speech probabilities on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from voiceflow.cli.evaluate.speech import SpeechFrames, read_speech, write_speech
from voiceflow.errors import InvalidInput


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    """Probabilities to four decimals."""
    path = tmp_path / "a.speech.jsonl"
    frames = [SpeechFrames(0.08, 0.0, 0.04, (0.25, 0.5)), SpeechFrames(0.16, 0.08, 0.04, (0.1,))]
    write_speech(path, frames)
    assert read_speech(path) == frames
    write_speech(path, [])
    assert read_speech(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"covered_seconds": 1, "start_seconds": 0, "frame_seconds": 0.04}',
        '{"covered_seconds": 1, "start_seconds": 0, "frame_seconds": 0, "speech": [0.1]}',
        '{"covered_seconds": -1, "start_seconds": 0, "frame_seconds": 0.04, "speech": [0.1]}',
        '{"covered_seconds": 1, "start_seconds": 0, "frame_seconds": 0.04, "speech": 0.1}',
        '{"covered_seconds": 1, "start_seconds": 0, "frame_seconds": 0.04, "speech": ["a"]}',
        '{"covered_seconds": 1, "start_seconds": 0, "frame_seconds": 0.04, "speech": [NaN]}',
    ],
)
def test_a_line_that_says_something_else_is_shown(tmp_path: Path, line: str) -> None:
    """With its number and what is allowed."""
    path = tmp_path / "a.speech.jsonl"
    write_speech(path, [SpeechFrames(0.08, 0.0, 0.04, (0.25,))])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InvalidInput, match="line 2") as caught:
        read_speech(path)
    assert caught.value.reason == "SPEECH_INVALID"
