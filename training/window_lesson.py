"""What a window's network learns: who speaks when among those it hears, and their vectors.

Local speakers have no order of their own: each window is held against its labels in the order that
fits them best (permutation-invariant training, Yu et al., 2017).
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional

from training.batches import NOBODY, Part
from training.lesson import (
    SPEECH_OF_CROPS_WEIGHT,
    Mistakes,
    compared_with,
    hear,
    resemblance_loss,
    resembling,
)
from training.network import WindowNetwork
from training.shape import LOCAL_SPEAKERS

_KNOWN_FRAMES = 10  # of a speaker: fewer are too few to know a voice by
_ORDERS = torch.tensor(list(permutations(range(LOCAL_SPEAKERS))))


class WindowLesson:
    """Of crops and conversations, as `Lesson` has it."""

    def __init__(self, network: WindowNetwork, voices: Tensor) -> None:
        self.network = network
        self.voices = voices

    def of_crops(self, part: Part) -> Mistakes:
        """Mostly the voice."""
        heard, voice = self._mistakes(part)
        told = {"voice": voice.item(), "heard": heard.item()}
        return voice + SPEECH_OF_CROPS_WEIGHT * heard, told

    def of_conversations(self, part: Part) -> Mistakes:
        """Who speaks, and when, window by window."""
        frames = self.network.shape.window_frames
        assert frames is not None  # noqa: S101 - it hears windows
        heard, voice = self._mistakes(in_windows(part, frames))
        told = {"conversation_voice": voice.item(), "conversation_heard": heard.item()}
        return voice + heard, told

    def _mistakes(self, part: Part) -> tuple[Tensor, Tensor]:
        logits, vectors = hear(self.network, part.features)
        speaking, answers = local_speakers(part)
        heard, vectors = in_best_order(logits, vectors, speaking)
        known = speaking.sum(dim=1) >= _KNOWN_FRAMES
        if not bool(known.any()):
            return heard, heard.new_zeros(())
        mine, theirs = vectors[known], answers[known]
        distance = 1 - (mine * theirs).sum(dim=1).mean()
        others = compared_with(theirs, self.voices)
        return heard, distance + resemblance_loss(mine, resembling(theirs, others), others)


def in_windows(part: Part, frames: int) -> Part:
    """The recordings cut into windows of so many frames, (batch * windows, …)."""
    count = part.active.shape[1] // frames
    return Part(
        part.features.unflatten(1, (count, -1)).flatten(0, 1),
        part.active.unflatten(1, (count, -1)).flatten(0, 1),
        part.who.unflatten(1, (count, -1)).flatten(0, 1),
        part.voices.repeat_interleave(count, dim=0),
        part.answers.repeat_interleave(count, dim=0),
    )


def local_speakers(part: Part) -> tuple[Tensor, Tensor]:
    """Those who speak most in each recording.

    Returns:
        When they speak, (batch, frames, LOCAL_SPEAKERS), and the teachers' answers for them,
        (batch, LOCAL_SPEAKERS, dim).
    """
    missing = max(0, LOCAL_SPEAKERS - part.answers.shape[1])
    answers = functional.pad(part.answers, (0, 0, 0, missing))
    speakers = torch.arange(answers.shape[1])
    known = part.who[..., None] != NOBODY
    speaking = ((part.who[..., None] == speakers) & known).any(dim=2).float()
    most = speaking.sum(dim=1).argsort(dim=1, descending=True, stable=True)[:, :LOCAL_SPEAKERS]
    of_frames = most[:, None].expand(-1, speaking.shape[1], -1)
    of_answers = most[..., None].expand(-1, -1, answers.shape[2])
    return speaking.gather(2, of_frames), answers.gather(1, of_answers)


def in_best_order(logits: Tensor, vectors: Tensor, speaking: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest binary cross entropy over all orders of the local speakers, mean of the batch.

    Returns:
        The loss, and the vectors (batch, LOCAL_SPEAKERS, dim) in the order of `speaking`.
    """
    ordered = logits[:, :, _ORDERS]  # (batch, frames, orders, LOCAL_SPEAKERS)
    wanted = speaking[:, :, None].expand_as(ordered)
    loss = functional.binary_cross_entropy_with_logits(ordered, wanted, reduction="none")
    of_orders = loss.sum(dim=3).mean(dim=1)
    lowest = of_orders.min(dim=1)
    chosen = _ORDERS[lowest.indices]
    return lowest.values.mean(), vectors.gather(1, chosen[..., None].expand_as(vectors))
