"""What a window's network is held against does not depend on the order of its local speakers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from torch import Tensor  # noqa: E402

from training.batches import NOBODY, Part  # noqa: E402
from training.network import WindowNetwork  # noqa: E402
from training.shape import LOCAL_SPEAKERS, Shape  # noqa: E402
from training.window_lesson import (  # noqa: E402
    WindowLesson,
    in_best_order,
    in_windows,
    local_speakers,
)

FRAMES, DIM = 24, 8


def test_the_order_of_local_speakers_does_not_matter() -> None:
    """Answers in another order are as wrong, and each vector is held against its own speaker."""
    torch.manual_seed(1)
    speaking = (torch.rand(5, FRAMES, LOCAL_SPEAKERS) > 0.5).float()
    logits, vectors = 6 * speaking - 3, torch.randn(5, LOCAL_SPEAKERS, DIM)
    loss, ordered = in_best_order(logits, vectors, speaking)
    assert torch.equal(ordered, vectors)
    other = torch.tensor([2, 0, 1])
    again, back = in_best_order(logits[:, :, other], vectors[:, other], speaking)
    assert torch.equal(back, vectors)
    assert loss.item() == pytest.approx(again.item())
    worse, _ = in_best_order(-logits, vectors, speaking)
    assert worse.item() > 2 * loss.item()


def test_those_who_speak_most_are_local_speakers() -> None:
    """Each with the answer that is theirs; who speaks beside another does so, too."""
    who = torch.full((1, FRAMES, 2), NOBODY)
    who[0, :3, 0] = 0
    who[0, 3:10, 0] = 3
    who[0, 10:16, 0] = 1
    who[0, 14:16, 1] = 3
    who[0, 16:20, 0] = 2
    answers = torch.eye(4)[None]
    speaking, chosen = local_speakers(_part(who, answers))
    assert chosen[0].argmax(dim=1).tolist() == [3, 1, 2]
    assert speaking[0].sum(dim=0).tolist() == [9, 6, 4]
    assert speaking[0, 14].tolist() == [1, 1, 0]


def test_windows_follow_one_another() -> None:
    """Each has the labels of its time and the answers of its conversation."""
    who = torch.arange(2 * FRAMES * 2).reshape(2, FRAMES, 2)
    part = in_windows(_part(who, torch.randn(2, 4, DIM)), FRAMES // 3)
    assert part.features.shape == (6, 4 * FRAMES // 3, 64)
    assert torch.equal(part.who.flatten(0, 1), who.flatten(0, 1))
    assert torch.equal(part.answers[2], part.answers[0])
    assert not torch.equal(part.answers[3], part.answers[0])


SMALL = Shape(
    channels=12, hidden=16, dilations=(1,), head=16, embedding_dim=DIM, window_frames=FRAMES
)


def test_what_is_heard_of_a_voice_is_learnt() -> None:
    """A vector is pulled towards the answer, and from those of others."""
    torch.manual_seed(3)
    network = WindowNetwork(SMALL)
    lesson = WindowLesson(network, torch.eye(DIM))
    who = torch.full((2, FRAMES, 2), NOBODY)
    who[:, :, 0] = 1
    loss, told = lesson.of_crops(_part(who, torch.eye(DIM)[None, :4].repeat(2, 1, 1)))
    loss.backward()
    assert told["voice"] > 0
    assert network.embedding.weight.grad is not None
    assert network.embedding.weight.grad.dtype == torch.float32


def test_silence_has_no_voice_to_be_learnt() -> None:
    """Neither is a window with nobody in it an error, nor does it pull a vector anywhere."""
    torch.manual_seed(2)
    network = WindowNetwork(SMALL)
    lesson = WindowLesson(network, torch.eye(DIM))
    nobody = torch.full((2, FRAMES, 2), NOBODY)
    loss, told = lesson.of_conversations(_part(nobody, torch.zeros(2, 4, DIM)))
    loss.backward()
    assert told["conversation_voice"] == 0
    assert network.embedding.weight.grad is None
    assert network.activity.weight.grad is not None


def _part(who: Tensor, answers: Tensor) -> Part:
    active = (who != NOBODY).sum(dim=2)
    voices = torch.arange(answers.shape[1]).expand(len(who), -1)
    return Part(torch.randn(len(who), 4 * who.shape[1], 64), active, who, voices, answers)
