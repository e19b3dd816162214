"""What a stream's network is told of pauses."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from training.stream_lesson import without_pauses  # noqa: E402


@pytest.mark.parametrize(("frames", "goes_on"), [(1, True), (12, True), (13, False), (40, False)])
def test_speech_goes_on_through_silence_under_half_a_second(frames: int, goes_on: bool) -> None:
    """Silence of 12 frames is a pause; of 13 it is an end, which is told at its first frame."""
    speech = torch.zeros(1, 100, dtype=torch.bool)
    speech[0, 20:40] = True
    speech[0, 40 + frames : 90] = True
    told = without_pauses(speech)
    assert told[0, 40 : 40 + frames].tolist() == [goes_on] * frames
    assert torch.equal(told[0, :40], speech[0, :40])
    assert bool(told[0, 40 + frames : 90].all())
