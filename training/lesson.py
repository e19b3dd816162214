"""What the lessons of both networks have in common."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from training.batches import Part
from training.trunk import Trunk

SPEECH_OF_CROPS_WEIGHT = 0.1
_SHARPNESS = 20.0  # of a cosine, as a logit
_OTHERS = 4096

Mistakes = tuple[Tensor, dict[str, float]]
"""The loss, and its parts by name."""


class Lesson(Protocol):
    """How far a network's answers are from what they ought to be."""

    network: Trunk

    def of_crops(self, part: Part) -> Mistakes:
        """Crops of single speakers."""

    def of_conversations(self, part: Part) -> Mistakes:
        """Conversations of several."""


def hear(network: Trunk, features: Tensor) -> tuple[Tensor, Tensor]:
    """The network's logits and vectors in float32, computed in bfloat16 where that is enough."""
    with torch.autocast("cpu", torch.bfloat16):
        logits, vectors = network(features)
    return logits.float(), vectors.float()


def compared_with(answers: Tensor, voices: Tensor) -> Tensor:
    """The vectors that a step is compared with: its own answers and some of all voices.

    Args:
        answers: (answers, dim)
        voices: (voices, dim)

    Returns:
        (answers + at most `_OTHERS`, dim)
    """
    drawn = torch.randperm(len(voices))[:_OTHERS]
    return torch.cat([answers, voices[drawn]])


def resembling(answers: Tensor, voices: Tensor) -> Tensor:
    """Whom answers resemble among voices, as probabilities: (answers, voices)."""
    return functional.softmax(_SHARPNESS * answers @ voices.t(), dim=1)


def resemblance_loss(vectors: Tensor, wanted: Tensor, voices: Tensor) -> Tensor:
    """Cross entropy of whom vectors resemble and whom they ought to."""
    return functional.cross_entropy(_SHARPNESS * vectors @ voices.t(), wanted)
