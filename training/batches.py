"""Training batches. A batch is a pure function of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training import augment, conversation, teachers
from training.corpus import (
    PLAIN,
    SAMPLE_RATE_HERTZ,
    Audio,
    Corpus,
    read_noises,
    training_corpus,
)
from training.features import Features, log_mel
from training.pieces import Pieces, cut
from training.shape import FRAME_SAMPLES, MEL_BANDS, TRACKS
from training.turn_taking import Turn, TurnTaking, lay_out, read_turn_taking

Indices = npt.NDArray[np.int64]

NOBODY = -1
ROOMS = 400
ROOM_SEED = 11
NOISE_FOLDS = (1, 2, 3)  # 4 is kept for tuning, 5 is in the evaluation
# Speakers of many short words hold a third of the speech in a tenth of the speakers.
_SPEAKER_WEIGHT = {"arabic": 3.0, "dspspeech": 3.0, "librispeech": 1.2, "mexican": 0.8}
_STEPS_A_FRAME = FRAME_SAMPLES // 160
_LOUDNESS_FRAMES = 15
_MOST_SPEAKERS = 4
_EAGERNESS_SECONDS = 1.5
_MASKED = 0.5
# Who is fainter than both is no part of a conversation, and nobody labels what is said there.
_DISTANT_DECIBELS = -26.0
_DISTANT_DBFS = -62.0


@dataclass(frozen=True)
class Recipe:
    """How many of what are in a batch."""

    crop_stage_steps: int
    plain_steps: int = 400  # from the start: nobody's voice is changed, so voices come round sooner
    plain: float = 0.15  # share of the voices, later on, that are as they were recorded
    crops: int = 128  # two of each voice
    kept_crops: int = 64
    untouched: float = 0.4  # share of all that has nothing of what follows
    roomy: float = 0.65  # share of the crops that are heard in a room
    noisy: float = 0.75  # share of all that has a steady noise
    knocking: float = 0.4  # share of all in which something knocks, breathes or scrapes
    distant: float = 0.25  # share of all in which somebody talks who is too far away to count
    telephone: float = 0.12  # share of all that comes over a telephone line
    conversations: int = 10
    conversation_seconds: float = 12.0
    restful: float = 0.35  # share of the conversations that have a long rest
    empty: float = 0.2  # share of these in which nobody speaks at all
    overlapping: float = 0.7  # share of the conversations in which people speak at once
    eager: float = 0.5  # share of these in which they do so much of the time
    finished: float = 0.5  # share of the turns that end where speech ends in the recording


@dataclass(frozen=True)
class Part:
    """Recordings of one length with their labels, frame by frame.

    Attributes:
        features: (batch, 4 * frames, 64)
        active: (batch, frames) how many speak
        who: (batch, frames, 2) which of the recording's speakers is loudest and next, or NOBODY
        voices: (batch, speakers) which of the corpus's voices each is, or NOBODY
        answers: (batch, speakers, dim) what the teachers give for each
    """

    features: Tensor
    active: Tensor
    who: Tensor
    voices: Tensor
    answers: Tensor


@dataclass(frozen=True)
class Sources:
    """What batches are made of."""

    corpus: Corpus
    pieces: Pieces
    answers: teachers.Answers
    rooms: augment.Rooms
    noises: list[Audio]
    manners: tuple[TurnTaking, ...]


class Batches(Dataset[list[Part]]):
    """The batch of every step: crops, and later crops and conversations."""

    def __init__(self, sources: Sources, recipe: Recipe, seed: int) -> None:
        self.sources = sources
        self.recipe = recipe
        self.seed = seed
        weights = np.array([_SPEAKER_WEIGHT[v.set_name] for v in sources.corpus.voices])
        plain = weights * np.array([v.copy == PLAIN for v in sources.corpus.voices])
        self.plain_weights = plain / plain.sum()
        self.weights = (1 - recipe.plain) * weights / weights.sum()
        self.weights += recipe.plain * self.plain_weights

    def __getitem__(self, step: int) -> list[Part]:
        """The parts of this step's batch."""
        rng = np.random.default_rng((self.seed, step))
        recipe = self.recipe
        if step < recipe.crop_stage_steps:
            weights = self.plain_weights if step < recipe.plain_steps else self.weights
            return [self._crops(rng, recipe.crops, weights)]
        crops = self._crops(rng, recipe.kept_crops, self.weights)
        return [crops, self._conversations(rng)]

    def _crops(
        self, rng: np.random.Generator, count: int, weights: npt.NDArray[np.float64]
    ) -> Part:
        pieces = self.sources.pieces
        voices = np.repeat(rng.choice(len(weights), count // 2, replace=False, p=weights), 2)
        drawn = np.array([pieces.of_voice(rng, int(voice)) for voice in voices])
        audio = pieces.heard(drawn)
        speech = np.stack([_by_frame(spoken) for spoken in pieces.speech[drawn]])
        touched = rng.random(count) >= self.recipe.untouched
        roomy = np.flatnonzero(touched & (rng.random(count) < self.recipe.roomy))
        places = self.sources.rooms.reshape(-1, augment.ROOM_SAMPLES)
        chosen = rng.integers(len(places), size=len(roomy))
        audio[roomy] = augment.reverberate(audio[roomy], places[chosen])
        for row in range(count):
            audio[row] = self._recorded(rng, audio[row], 1.0, touched[row])
        first = np.where(speech, 0, NOBODY)
        who = np.stack([first, np.full_like(first, NOBODY)], axis=2)
        answers = self.sources.answers.of_pieces[drawn][:, None]
        active = speech.astype(np.int64)
        return _part(rng, audio, active, who, voices[:, None], answers, touched)

    def _conversations(self, rng: np.random.Generator) -> Part:
        frames = _frames(self.recipe.conversation_seconds)
        made = [self._conversation(rng, frames) for _ in range(self.recipe.conversations)]
        return _part(rng, *(np.stack(each) for each in zip(*made, strict=True)))

    def _conversation(
        self, rng: np.random.Generator, frames: int
    ) -> tuple[Audio, Indices, Indices, Indices, teachers.Vectors, bool]:
        sources, samples = self.sources, frames * FRAME_SAMPLES
        speakers = int(rng.choice([1, 2, 3, 4], p=[0.05, 0.45, 0.35, 0.15]))
        voices = rng.choice(len(sources.corpus.voices), speakers, replace=False, p=self.weights)
        manner = sources.manners[int(rng.integers(len(sources.manners)))]
        longest = float(rng.uniform(1.5, 8))
        seconds = self.recipe.conversation_seconds
        overlapping = bool(rng.random() < self.recipe.overlapping)
        eagerness = _EAGERNESS_SECONDS if rng.random() < self.recipe.eager else 0.0
        turns = lay_out(rng, manner, speakers, seconds, longest, overlapping, eagerness)
        if rng.random() < self.recipe.restful:
            turns = self._with_rest(rng, turns)
        room = sources.rooms[int(rng.integers(len(sources.rooms)))] if rng.random() < 0.8 else None
        spread = float(rng.uniform(4, 20))
        finished = self.recipe.finished
        made = conversation.render(
            rng, sources.corpus, voices, turns, samples, room, spread, finished
        )
        floor_rms = float(10 ** rng.uniform(-7.0, -3.7))
        touched = bool(rng.random() >= self.recipe.untouched)
        audio = self._recorded(rng, made.audio, made.speech_rms, touched, floor_rms)
        active, who = _rank(made, frames)
        named = np.full(_MOST_SPEAKERS, NOBODY)
        named[:speakers] = voices
        answers = np.zeros((_MOST_SPEAKERS, sources.answers.of_voices.shape[1]), np.float32)
        answers[:speakers] = sources.answers.of_voices[voices]
        return audio, active, who, named, answers, touched

    def _recorded(
        self,
        rng: np.random.Generator,
        audio: Audio,
        speech_rms: float,
        touched: bool,
        floor_rms: float = augment.FLOOR,
    ) -> Audio:
        level_dbfs = float(rng.uniform(-52, -14))
        if touched:
            audio = self._disturbed(rng, audio, speech_rms, level_dbfs)
        return augment.record(rng, audio, speech_rms, level_dbfs, floor_rms)

    def _disturbed(
        self, rng: np.random.Generator, audio: Audio, speech_rms: float, level_dbfs: float
    ) -> Audio:
        recipe = self.recipe
        if rng.random() < recipe.distant:
            decibels = min(_DISTANT_DECIBELS, _DISTANT_DBFS - level_dbfs) - rng.uniform(0, 15)
            distant = self._distant(rng, len(audio))
            audio = audio + distant * np.float32(speech_rms * 10 ** (decibels / 20))
        if rng.random() < recipe.noisy:
            decibels = rng.uniform(0, 30)
            noise = augment.background(rng, len(audio), self.sources.noises)
            audio = audio + noise * np.float32(speech_rms * 10 ** (-decibels / 20))
        if rng.random() < recipe.knocking:
            audio = audio + augment.transients(rng, len(audio)) * np.float32(speech_rms)
        if rng.random() < recipe.telephone:
            audio = augment.telephone(audio)
        return audio

    def _distant(self, rng: np.random.Generator, samples: int) -> Audio:
        """Somebody in another place, of an RMS of about one."""
        corpus, rooms = self.sources.corpus, self.sources.rooms
        said, _ = corpus.material(rng, int(rng.choice(len(self.weights), p=self.weights)), samples)
        room = rooms[int(rng.integers(len(rooms)))]
        return augment.reverberate(said[None], room[:1])[0]

    def _with_rest(self, rng: np.random.Generator, turns: list[Turn]) -> list[Turn]:
        """The turns outside a stretch of seconds in which nobody speaks."""
        seconds = self.recipe.conversation_seconds
        if rng.random() < self.recipe.empty:
            return []
        start = float(rng.uniform(-0.4, 0.7)) * seconds
        end = start + float(rng.uniform(0.3, 0.9)) * seconds
        return [turn for turn in turns if turn.end_seconds < start or turn.start_seconds > end]


def read_sources(speech_root: Path, cache: Path) -> Sources:
    """Everything that batches are made of; rooms are made once and cached."""
    path = cache / f"rooms-{ROOM_SEED}-{ROOMS}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, augment.make_rooms(np.random.default_rng(ROOM_SEED), ROOMS))
    measured = augment.measured_rooms(speech_root)
    rooms = np.concatenate([np.load(path), *([measured] * 8)])
    corpus = training_corpus(speech_root, cache)
    pieces = cut(corpus, cache)
    return Sources(
        corpus,
        pieces,
        teachers.ask(pieces),
        rooms,
        read_noises(speech_root, NOISE_FOLDS),
        read_turn_taking(speech_root / "turn_taking.json"),
    )


def _rank(made: conversation.Conversation, frames: int) -> tuple[Indices, Indices]:
    count = len(made.voices)
    speech = made.speech.reshape(count, frames, _STEPS_A_FRAME).mean(axis=2) > 0.5
    power = np.square(made.voices).reshape(count, frames, FRAME_SAMPLES).mean(axis=2)
    box = np.ones(_LOUDNESS_FRAMES) / _LOUDNESS_FRAMES
    loudness = np.stack([np.convolve(row, box, "same") for row in power]) + 1e-9
    loudness = np.where(speech, loudness, 0.0)
    order = np.argsort(-loudness, axis=0, kind="stable")[:TRACKS]
    if len(order) < TRACKS:
        order = np.concatenate([order, order])
    active = speech.sum(axis=0)
    who = np.stack([np.where(active > t, order[t], NOBODY) for t in range(TRACKS)], axis=1)
    return active.astype(np.int64), who


def _part(
    rng: np.random.Generator,
    audio: Audio,
    active: Indices,
    who: Indices,
    voices: Indices,
    answers: teachers.Vectors,
    touched: npt.NDArray[np.bool_],
) -> Part:
    coloured = log_mel(audio) + _colour(rng, len(audio)) * touched[:, None, None]
    features = _masked(rng, coloured, touched)
    arrays = (features, active, who, voices, np.ascontiguousarray(answers, np.float32))
    return Part(*(torch.from_numpy(array) for array in arrays))


def _masked(
    rng: np.random.Generator, features: Features, touched: npt.NDArray[np.bool_]
) -> Features:
    """Some bands of some recordings not heard at all (SpecAugment, Park et al., 2019)."""
    for row, may_be in zip(features, touched, strict=True):
        if may_be and rng.random() < _MASKED:
            width = int(rng.integers(1, 16))
            first = int(rng.integers(0, MEL_BANDS - width))
            row[:, first : first + width] = row.mean(axis=1, keepdims=True)
    return features


def _colour(rng: np.random.Generator, count: int) -> Features:
    """A smooth random response of the microphone, as an offset of the log-mel bands."""
    bands = np.pi * (np.arange(MEL_BANDS) + 0.5) / MEL_BANDS
    waves = np.cos(np.arange(1, 6)[:, None] * bands)
    decibels = rng.normal(0, (4, 3, 2, 1.5, 1), (count, 5)) * (rng.random((count, 1)) < 0.8)
    return (decibels @ waves * (np.log(10) / 10)).astype(np.float32)[:, None, :]


def _by_frame(speech: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    closed = conversation.close_pauses(speech[None])[0]
    return np.asarray(closed.reshape(-1, _STEPS_A_FRAME).mean(axis=1) > 0.5)


def _frames(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HERTZ / FRAME_SAMPLES)
