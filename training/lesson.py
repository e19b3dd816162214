"""What the lessons of both networks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from training.batches import Part
from training.trunk import Trunk

SPEECH_OF_CROPS_WEIGHT = 0.1
_SHARPNESS = 20.0  # of a cosine, as a logit
_OTHERS = 4096
_SHARPNESS_OF_PAIRS = 12.0
_ONE_VOICE = 0.4  # vectors whose cosine is above this are of one voice
_NEAREST = 4


@dataclass(frozen=True)
class Weights:
    """What counts how much.

    Attributes:
        answers: Giving what the teachers give.
        recognition: Telling by one threshold whether two vectors are of one voice.
    """

    answers: float = 1.0
    recognition: float = 2.0


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


def recognition_loss(vectors: Tensor, voices: Tensor) -> Tensor:
    """Logistic loss of whether two vectors are of one voice, by one threshold for all of them.

    Every pair of one voice counts, and every vector's nearest of other voices: whoever sorts
    vectors into speakers has one threshold for all, and takes the nearest.

    Args:
        vectors: (batch, vectors, dim), of unit length; compared within each of the batch.
        voices: (batch, vectors) whose they are, or negative: not compared.
    """
    known = (voices[:, :, None] >= 0) & (voices[:, None] >= 0)
    alike = voices[:, :, None] == voices[:, None]
    logits = _SHARPNESS_OF_PAIRS * (vectors @ vectors.transpose(1, 2) - _ONE_VOICE)
    others = logits.masked_fill(~known | alike, -torch.inf)
    nearest = others.topk(min(_NEAREST, others.shape[2]), dim=2).values
    of_one = logits[known & alike & ~torch.eye(voices.shape[1], dtype=torch.bool)]
    losses = [functional.softplus(each) for each in (-of_one, nearest[nearest.isfinite()])]
    return sum((each.mean() for each in losses if len(each)), start=vectors.new_zeros(()))


def resemblance_loss(vectors: Tensor, wanted: Tensor, voices: Tensor) -> Tensor:
    """Cross entropy of whom vectors resemble and whom they ought to."""
    return functional.cross_entropy(_SHARPNESS * vectors @ voices.t(), wanted)
