"""What the network is trained to do: hear speech, hear a second voice, tell voices apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.batches import NOBODY, Part
from training.shape import LOOK_AHEAD_FRAMES

SCALE = 30.0
_FRAME_STRIDE = 3
_WARM_FRAMES = 10  # of a crop's start: too little heard yet to know a voice by
_SECOND_VOICE_WEIGHT = 0.5


class VoiceClassifier(nn.Module):
    """Additive-margin softmax over the training voices (Wang et al., 2018)."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim) / math.sqrt(dim))

    def forward(self, vectors: Tensor, labels: Tensor, margin: float) -> Tensor:
        """Cross entropy of each unit vector: (n, dim) and (n,) to (n,)."""
        cosine = functional.linear(vectors, functional.normalize(self.weight, dim=1)).float()
        cosine = cosine.scatter_add(
            1, labels[:, None], torch.full_like(labels[:, None], -margin, dtype=cosine.dtype)
        )
        return functional.cross_entropy(SCALE * cosine, labels, reduction="none")


def activity_loss(logits: Tensor, part: Part) -> Tensor:
    """Binary cross entropy of speech (no look-ahead) and of the two tracks (late)."""
    someone = (part.active > 0).float()
    several = (part.active > 1).float()
    late = logits[:, LOOK_AHEAD_FRAMES:]
    on_time = part.active.shape[1] - LOOK_AHEAD_FRAMES
    loss = functional.binary_cross_entropy_with_logits
    speech = loss(logits[..., 0], someone)
    first = loss(late[..., 1], someone[:, :on_time])
    second = loss(late[..., 2], several[:, :on_time])
    return speech + first + second


def crop_voice_loss(
    vectors: Tensor, part: Part, classifier: VoiceClassifier, margin: float
) -> tuple[Tensor, Tensor]:
    """Of crops: frames by themselves, and the mean of each crop, in even parts.

    Returns:
        The loss and the share of crops whose mean is nearest to its own voice.
    """
    late = vectors[:, LOOK_AHEAD_FRAMES:, 0]
    who = part.who[:, : late.shape[1], 0]
    late, who = late[:, _WARM_FRAMES:], who[:, _WARM_FRAMES:]
    known = who != NOBODY
    picked = known.clone()
    picked[:, torch.arange(who.shape[1]) % _FRAME_STRIDE != 0] = False
    frames = classifier(late[picked], who[picked], margin)
    mean = functional.normalize((late * known[..., None]).sum(dim=1), dim=1)
    label = who.max(dim=1).values
    heard = label != NOBODY
    whole = classifier(mean[heard], label[heard], margin)
    with torch.no_grad():
        nearest = (mean[heard] @ functional.normalize(classifier.weight, dim=1).t()).argmax(dim=1)
    return 0.5 * (frames.mean() + whole.mean()), (nearest == label[heard]).float().mean()


def conversation_voice_loss(
    vectors: Tensor, part: Part, classifier: VoiceClassifier, margin: float
) -> Tensor:
    """Of conversations: frames of the loudest voice and, where two speak, of the second."""
    late = vectors[:, LOOK_AHEAD_FRAMES::_FRAME_STRIDE]
    who = part.who[:, ::_FRAME_STRIDE][:, : late.shape[1]]
    first = who[..., 0] != NOBODY
    total = classifier(late[:, :, 0][first], who[..., 0][first], margin).mean()
    second = who[..., 1] != NOBODY
    if bool(second.any()):
        weight = _SECOND_VOICE_WEIGHT * min(1.0, float(second.sum()) / 50)
        total = (
            total + weight * classifier(late[:, :, 1][second], who[..., 1][second], margin).mean()
        )
    return total
