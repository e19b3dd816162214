"""What a client says at the start."""

from __future__ import annotations

import pytest

from voiceflow.client import AudioFormat, Encoding, ModelChoice
from voiceflow.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("models/diarizer/channels/stable", ModelChoice("models/diarizer/channels/stable")),
        ("models/diarizer/versions/1.2.0", ModelChoice("models/diarizer/versions/1.2.0")),
        ("models/diarizer@>=1.2.0,<2.0.0", ModelChoice("models/diarizer", ">=1.2.0,<2.0.0")),
    ],
)
def test_a_model_is_chosen_by_channel_version_or_range(text: str, choice: ModelChoice) -> None:
    """The three forms are told apart by their shape."""
    assert ModelChoice.parse(text) == choice


@pytest.mark.parametrize(
    "text",
    [
        "",
        "diarizer",
        "models/diarizer",
        "models/diarizer@",
        "models//channels/a",
        "models/a/b/c",
        "models/a/versions/1.0.0@>1",
    ],
)
def test_any_other_form_is_refused(text: str) -> None:
    """With a reason that a program can read."""
    with pytest.raises(InvalidInput) as caught:
        ModelChoice.parse(text)
    assert caught.value.reason == "MODEL_NAME_INVALID"


@pytest.mark.parametrize(
    ("encoding", "size"),
    [(Encoding.PCM16, 2), (Encoding.FLOAT32, 4), (Encoding.MULAW, 1), (Encoding.ALAW, 1)],
)
def test_a_second_of_audio_is_as_long_as_its_encoding_says(encoding: Encoding, size: int) -> None:
    """Bytes of a sample, times channels, times rate."""
    audio_format = AudioFormat(encoding, 8000, 3)
    assert audio_format.frame_bytes == 3 * size
    assert audio_format.seconds(8000 * 3 * size) == 1.0
