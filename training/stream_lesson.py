"""What a stream's network learns: hear speech, hear a second voice, answer as its teachers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.batches import NOBODY, Part
from training.lesson import (
    SPEECH_OF_CROPS_WEIGHT,
    Mistakes,
    Weights,
    compared_with,
    hear,
    recognition_loss,
    resemblance_loss,
    resembling,
)
from training.network import StreamNetwork
from training.shape import LOOK_AHEAD_FRAMES

_FRAME_STRIDE = 3
_WARM_FRAMES = 10  # of a crop's start: too little heard yet to know a voice by
_SECOND_VOICE_WEIGHT = 0.5
_RESEMBLANCE_OF_CONVERSATIONS_WEIGHT = 0.3
_SEGMENT_FRAMES = 25
_KNOWN_FRAMES = 10  # of a voice in a segment: fewer are too few to know it by
_PAUSE_FRAMES = 12
"""Silence of half a second is a pause, and none that an agent may take for an end."""


class StreamLesson:
    """Of crops and conversations, as `Lesson` has it."""

    def __init__(
        self, network: StreamNetwork, voices: Tensor, weights: Weights | None = None
    ) -> None:
        self.network = network
        self.voices = voices
        self.weights = weights or Weights()

    def of_crops(self, part: Part) -> Mistakes:
        """Mostly the voice."""
        logits, vectors = hear(self.network, part.features)
        voice, alike = crop_voice_loss(vectors, part, self.voices)
        known = crop_recognition_loss(vectors, part)
        heard = activity_loss(logits, part, part.active > 0)
        told = {"voice": voice.item(), "known": known.item(), "heard": heard.item(), "alike": alike}
        return self._of_voices(voice, known) + SPEECH_OF_CROPS_WEIGHT * heard, told

    def of_conversations(self, part: Part) -> Mistakes:
        """Who speaks, and when; and whether speech goes on, where it pauses."""
        logits, vectors = hear(self.network, part.features)
        voice = conversation_voice_loss(vectors, part, self.voices)
        known = conversation_recognition_loss(vectors, part)
        heard = activity_loss(logits, part, without_pauses(part.active > 0))
        told = {
            "conversation_voice": voice.item(),
            "conversation_known": known.item(),
            "conversation_heard": heard.item(),
        }
        return self._of_voices(voice, known) + heard, told

    def _of_voices(self, voice: Tensor, known: Tensor) -> Tensor:
        return self.weights.answers * voice + self.weights.recognition * known


def activity_loss(logits: Tensor, part: Part, speech: Tensor) -> Tensor:
    """Binary cross entropy of speech (no look-ahead) and of the two tracks (late).

    Args:
        logits: (batch, frames, 3).
        part: What was heard.
        speech: (batch, frames) where speech is to be said.
    """
    late = logits[:, LOOK_AHEAD_FRAMES:]
    active = part.active[:, : late.shape[1]]
    loss = functional.binary_cross_entropy_with_logits
    said = loss(logits[..., 0], speech.float())
    first = loss(late[..., 1], (active > 0).float())
    second = loss(late[..., 2], (active > 1).float())
    return said + first + second


def without_pauses(speech: Tensor) -> Tensor:
    """Speech, (batch, frames), that goes on through its pauses.

    Whether silence will be a pause can only be guessed from what was said before it; so what is
    said of it becomes the likelihood that speech goes on.
    """

    def widest(value: Tensor) -> Tensor:
        return functional.max_pool1d(value, _PAUSE_FRAMES + 1, 1, _PAUSE_FRAMES // 2)

    return -widest(-widest(speech.float())) > 0


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
    others = compared_with(answers, voices)
    picked = known.clone()
    picked[:, torch.arange(known.shape[1]) % _FRAME_STRIDE != 0] = False
    rows = torch.arange(len(late))[:, None].expand_as(known)[picked]
    wanted = resembling(answers, others)
    of_mean = resemblance_loss(mean, wanted, others)
    of_frames = resemblance_loss(late[picked], wanted[rows], others)
    frames_alike = (late[picked] * answers[rows]).sum(dim=1).mean()
    resemblance, distance = of_mean + 0.5 * of_frames, 1.5 - alike - 0.5 * frames_alike
    return resemblance + distance, float(alike.detach())


def crop_recognition_loss(vectors: Tensor, part: Part) -> Tensor:
    """Of crops' means: whether two are of one voice, among all crops.

    Args:
        vectors: (batch, frames, 2, dim), of unit length.
        part: The crops.
    """
    late = vectors[:, LOOK_AHEAD_FRAMES + _WARM_FRAMES :, 0]
    known = part.active[:, _WARM_FRAMES:][:, : late.shape[1]] > 0
    mean = functional.normalize((late * known[..., None]).sum(dim=1), dim=1)
    voices = torch.where(known.any(dim=1), part.voices[:, 0], NOBODY)
    return recognition_loss(mean[None], voices[None])


def conversation_recognition_loss(vectors: Tensor, part: Part) -> Tensor:
    """Of the loudest voices' means over segments: whether two are of one, within a conversation.

    Args:
        vectors: (batch, frames, 2, dim), of unit length.
        part: The conversations.
    """
    segments = (vectors.shape[1] - LOOK_AHEAD_FRAMES) // _SEGMENT_FRAMES
    frames = segments * _SEGMENT_FRAMES
    late = vectors[:, LOOK_AHEAD_FRAMES : LOOK_AHEAD_FRAMES + frames, 0]
    speakers = torch.arange(part.voices.shape[1])
    speaks = (part.who[:, :frames, 0, None] == speakers).float()
    late, speaks = (each.unflatten(1, (segments, -1)) for each in (late, speaks))
    sums = speaks.transpose(2, 3) @ late  # (batch, segments, speakers, dim)
    known = speaks.sum(dim=2) >= _KNOWN_FRAMES
    voices = torch.where(known, part.voices[:, None], NOBODY)
    return recognition_loss(functional.normalize(sums, dim=3).flatten(1, 2), voices.flatten(1, 2))


def conversation_voice_loss(vectors: Tensor, part: Part, voices: Tensor) -> Tensor:
    """Of conversations: frames of the loudest voice and, where two speak, of the second.

    Args:
        vectors: (batch, frames, 2, dim), of unit length.
        part: The conversations.
        voices: (voices, dim), the teachers' answers for all voices.
    """
    late = vectors[:, LOOK_AHEAD_FRAMES::_FRAME_STRIDE]
    who = part.who[:, ::_FRAME_STRIDE][:, : late.shape[1]]
    mine, theirs = _of_track(late, who, part.answers, 0)
    others = compared_with(part.answers[part.answers.any(dim=2)], voices)
    resemblance = resemblance_loss(mine, resembling(theirs, others), others)
    total = _distance(mine, theirs) + _RESEMBLANCE_OF_CONVERSATIONS_WEIGHT * resemblance
    mine, theirs = _of_track(late, who, part.answers, 1)
    if len(mine):
        weight = _SECOND_VOICE_WEIGHT * min(1.0, len(mine) / 50)
        total = total + weight * _distance(mine, theirs)
    return total


def _of_track(vectors: Tensor, who: Tensor, answers: Tensor, track: int) -> tuple[Tensor, Tensor]:
    speaker = who[..., track]
    known = speaker != NOBODY
    rows = torch.arange(len(who))[:, None].expand_as(speaker)[known]
    return vectors[:, :, track][known], answers[rows, speaker[known]]


def _distance(vectors: Tensor, answers: Tensor) -> Tensor:
    return 1 - (vectors * answers).sum(dim=1).mean()
