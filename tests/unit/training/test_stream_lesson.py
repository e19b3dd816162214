"""What a stream's network is told of pauses."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from torch import Tensor  # noqa: E402

from training.batches import NOBODY, Part  # noqa: E402
from training.lesson import recognition_loss  # noqa: E402
from training.shape import LOOK_AHEAD_FRAMES  # noqa: E402
from training.stream_lesson import (  # noqa: E402
    conversation_recognition_loss,
    crop_recognition_loss,
    without_pauses,
)

APART = torch.eye(4)


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


def test_voices_that_are_known_cost_little_and_those_mistaken_much() -> None:
    """Four vectors of two voices: at one place each, all at one place, each at its own."""
    voices = torch.tensor([[5, 5, 9, 9]])
    known = recognition_loss(APART[[0, 0, 1, 1]][None], voices)
    taken_for_one = recognition_loss(APART[[0, 0, 0, 0]][None], voices)
    not_known_again = recognition_loss(APART[[0, 1, 2, 3]][None], voices)
    assert float(known) < 0.05
    assert float(taken_for_one) > 5
    assert float(not_known_again) > 4


def test_nobodys_vectors_are_not_compared() -> None:
    """However they lie."""
    vectors = APART[[0, 0, 0, 1]][None]
    assert float(recognition_loss(vectors, torch.tensor([[3, 3, NOBODY, NOBODY]]))) < 0.05
    assert float(recognition_loss(vectors, torch.full((1, 4), NOBODY))) == 0


def test_crops_are_compared_with_each_other() -> None:
    """Two crops of one voice and two of another, each voice with a vector of its own."""
    part = _part(torch.tensor([[5], [5], [9], [9]]), torch.zeros(4, 60, 1).long())
    assert float(crop_recognition_loss(_vectors(part, [0, 0, 1, 1]), part)) < 0.05
    assert float(crop_recognition_loss(_vectors(part, [0, 1, 0, 1]), part)) > 4


def test_segments_are_compared_within_their_conversation() -> None:
    """Two speakers by turns; in another conversation the same vectors are of others."""
    who = torch.cat([torch.zeros(2, 50, 1), torch.ones(2, 62, 1)], dim=1).long()
    part = _part(torch.tensor([[5, 7], [7, 5]]), who)
    told_apart = torch.cat([_vectors(part, [0, 0])[:, :62], _vectors(part, [1, 1])[:, 62:]], dim=1)
    assert float(conversation_recognition_loss(told_apart, part)) < 0.05
    assert float(conversation_recognition_loss(_vectors(part, [0, 0]), part)) > 5


def _part(voices: Tensor, first: Tensor) -> Part:
    who = torch.cat([first, torch.full_like(first, NOBODY)], dim=2)
    frames = who.shape[1]
    return Part(
        torch.zeros(len(who), 4 * frames, 64),
        torch.ones(len(who), frames).long(),
        who,
        voices,
        torch.zeros(*voices.shape, 4),
    )


def _vectors(part: Part, places: list[int]) -> Tensor:
    """Every frame of a recording at one place; late, as the network gives them."""
    assert LOOK_AHEAD_FRAMES == 12
    return APART[places][:, None, None].expand(-1, part.who.shape[1], 2, -1)
