"""What is left out of the pipeline is left out, and comes back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from tests.unit.pipeline.synthetic import FRAME_SAMPLES, HOP_FRAMES, conversation, manifest
from training import operating_point
from training.levers.pipeline import PARTS, rates
from training.operating_point import Conversation
from voiceflow.evaluation import Spoken
from voiceflow.pipeline.model import Frames


@pytest.fixture(scope="module")
def heard() -> list[Conversation]:
    """Conversations of two voices, one of them in pieces, that speak at once in the end."""
    script: list[tuple[float, tuple[int, ...]]] = [
        (6.0, (1,)),
        *[(3.0, ()), (0.7, (2,))] * 3,
        (6.0, (1,)),
        (3.0, (1, 2)),
        (3.0, (2,)),
    ]
    frames, at, reference = conversation(script), 0.0, []
    for seconds, voices in script:
        reference += [Spoken(str(voice), at, at + seconds) for voice in voices]
        at += seconds
    look_ahead = manifest().look_ahead_frames
    samples = len(frames.speech) * FRAME_SAMPLES
    hops = -(-(len(frames.speech) + look_ahead) // HOP_FRAMES)
    behind = hops * HOP_FRAMES - len(frames.speech) - look_ahead
    padded = Frames(
        np.pad(frames.speech, (0, look_ahead + behind)),
        np.pad(frames.activity, ((look_ahead, behind), (0, 0))),
        np.pad(frames.embedding, ((look_ahead, behind), (0, 0), (0, 0))),
    )
    return [Conversation(padded.cut(hops), samples, reference)] * 2


def test_levers_change_what_is_told_and_are_taken_back(
    heard: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their names alone it is not seen whether anything is left out at all."""
    monkeypatch.setattr(operating_point, "TALKS", 1)
    told = [rates(lever, manifest(), heard) for lever in PARTS]
    by_name = {lever.told: rate["talks"] for lever, rate in zip(PARTS, told, strict=True)}
    plain = by_name["nothing left out"]
    assert plain["der"] < 5.0
    assert by_name["no second voice"]["missed detection"] > plain["missed detection"] + 5.0
    short = by_name["pieces too short to name do not add up"]
    assert short["confusion"] > plain["confusion"]
    assert told[0]["talks"] == told[0]["meetings"]
    assert rates(PARTS[0], manifest(), heard) == told[0]
