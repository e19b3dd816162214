"""What a stream's network learns: hear speech, hear a second voice, answer as its teachers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.batches import NOBODY, Part
from training.lesson import SPEECH_OF_CROPS_WEIGHT, Mistakes, hear, resemblance_loss, resembling
from training.network import StreamNetwork
from training.shape import LOOK_AHEAD_FRAMES

_FRAME_STRIDE = 3
_WARM_FRAMES = 10  # of a crop's start: too little heard yet to know a voice by
_SECOND_VOICE_WEIGHT = 0.5


class StreamLesson:
    """Of crops and conversations, as `Lesson` has it."""

    def __init__(self, network: StreamNetwork, voices: Tensor) -> None:
        self.network = network
        self.voices = voices

    def of_crops(self, part: Part) -> Mistakes:
        """Mostly the voice."""
        logits, vectors = hear(self.network, part.features)
        voice, alike = crop_voice_loss(vectors, part, self.voices)
        heard = activity_loss(logits, part)
        told = {"voice": voice.item(), "heard": heard.item(), "alike": alike}
        return voice + SPEECH_OF_CROPS_WEIGHT * heard, told

    def of_conversations(self, part: Part) -> Mistakes:
        """Who speaks, and when."""
        logits, vectors = hear(self.network, part.features)
        voice, heard = conversation_voice_loss(vectors, part), activity_loss(logits, part)
        told = {"conversation_voice": voice.item(), "conversation_heard": heard.item()}
        return voice + heard, told


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


def crop_voice_loss(vectors: Tensor, part: Part, voices: Tensor) -> tuple[Tensor, float]:
    """Of crops: how far frames by themselves, and the mean of each crop, are from the answers.

    Args:
        vectors: (batch, frames, 2, dim), of unit length.
        part: The crops.
        voices: (voices, dim), the teachers' answers for all voices.

    Returns:
        The loss, and the mean cosine of a crop's mean and its answer.
    """
    late = vectors[:, LOOK_AHEAD_FRAMES:, 0]
    known = part.active[:, : late.shape[1]] > 0
    late, known = late[:, _WARM_FRAMES:], known[:, _WARM_FRAMES:]
    heard = known.any(dim=1)
    answers = part.answers[:, 0][heard]
    late, known = late[heard], known[heard]
    mean = functional.normalize((late * known[..., None]).sum(dim=1), dim=1)
    alike = (mean * answers).sum(dim=1).mean()
    picked = known.clone()
    picked[:, torch.arange(known.shape[1]) % _FRAME_STRIDE != 0] = False
    rows = torch.arange(len(late))[:, None].expand_as(known)[picked]
    wanted = resembling(answers, voices)
    of_mean = resemblance_loss(mean, wanted, voices)
    of_frames = resemblance_loss(late[picked], wanted[rows], voices)
    frames_alike = (late[picked] * answers[rows]).sum(dim=1).mean()
    resemblance, distance = of_mean + 0.5 * of_frames, 1.5 - alike - 0.5 * frames_alike
    return resemblance + distance, float(alike.detach())


def conversation_voice_loss(vectors: Tensor, part: Part) -> Tensor:
    """Of conversations: frames of the loudest voice and, where two speak, of the second."""
    late = vectors[:, LOOK_AHEAD_FRAMES::_FRAME_STRIDE]
    who = part.who[:, ::_FRAME_STRIDE][:, : late.shape[1]]
    total = _answered(late[:, :, 0], who[..., 0], part.answers)
    second = int((who[..., 1] != NOBODY).sum())
    if second:
        weight = _SECOND_VOICE_WEIGHT * min(1.0, second / 50)
        total = total + weight * _answered(late[:, :, 1], who[..., 1], part.answers)
    return total


def _answered(vectors: Tensor, who: Tensor, answers: Tensor) -> Tensor:
    known = who != NOBODY
    rows = torch.arange(len(who))[:, None].expand_as(who)[known]
    return 1 - (vectors[known] * answers[rows, who[known]]).sum(dim=1).mean()
