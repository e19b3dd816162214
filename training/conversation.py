"""A conversation mixed from separate recordings, with the labels that follow from the making."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from training import augment
from training.corpus import SAMPLE_RATE_HERTZ, Audio, Corpus, Mask
from training.turn_taking import Turn

_FADE = np.linspace(0, 1, 160, dtype=np.float32)  # 10 ms
_STEP = 160  # samples: labels are made at 10 ms
_CLOSED_PAUSE_STEPS = 30
_SPARE_SAMPLES = 3 * SAMPLE_RATE_HERTZ


@dataclass(frozen=True)
class Conversation:
    """The mixed audio, each speaker's share of it as heard, and where each speaks."""

    audio: Audio  # (samples,)
    voices: Audio  # (speakers, samples)
    speech: Mask  # (speakers, samples / 160)
    speech_rms: float


def render(
    rng: np.random.Generator,
    corpus: Corpus,
    voices: npt.NDArray[np.int64],
    turns: list[Turn],
    samples: int,
    room: augment.Rooms | None,
    level_spread_decibels: float,
    finished: float = 0.0,
) -> Conversation:
    """Speaks the turns by these voices, each at a place of the room and a level of its own.

    Args:
        rng: What is drawn is drawn from it.
        corpus: Where the voices are.
        voices: (speakers,) which voice each speaker has.
        turns: Who speaks when.
        samples: Of the whole.
        room: Where it is heard; None: nowhere, every voice is as it was recorded.
        level_spread_decibels: Between the loudest speaker and the faintest, at most.
        finished: Share of the turns that end where speech ends in the recording; others are cut
            anywhere.
    """
    tracks = np.zeros((len(voices), samples), np.float32)
    speech = np.zeros((len(voices), samples), np.bool_)
    for turn in turns:
        start = int(turn.start_seconds * SAMPLE_RATE_HERTZ)
        end = min(int(turn.end_seconds * SAMPLE_RATE_HERTZ), samples)
        voice, length = int(voices[turn.speaker]), end - start
        if finished and rng.random() < finished:
            said, spoken = _to_an_end(*corpus.material(rng, voice, length + _SPARE_SAMPLES), length)
        else:
            said, spoken = corpus.material(rng, voice, length)
        said[: len(_FADE)] *= _FADE
        said[-len(_FADE) :] *= _FADE[::-1]
        tracks[turn.speaker, start:end] = said
        speech[turn.speaker, start:end] = spoken
    decibels = rng.uniform(-level_spread_decibels / 2, level_spread_decibels / 2, len(voices))
    tracks *= (10 ** (decibels / 20)).astype(np.float32)[:, None]
    if room is not None:
        tracks = augment.reverberate(tracks, room[rng.permutation(len(room))[: len(voices)]])
    audio = tracks.sum(axis=0)
    anyone = speech.any(axis=0)
    power = float(np.mean(np.square(audio[anyone]))) if anyone.any() else 1e-4
    steps = speech[:, : samples // _STEP * _STEP].reshape(len(voices), -1, _STEP).mean(axis=2) > 0.5
    return Conversation(audio, tracks, close_pauses(steps), float(np.sqrt(power)))


def _to_an_end(said: Audio, spoken: Mask, samples: int) -> tuple[Audio, Mask]:
    """So many samples up to the first end of speech that lies behind as many."""
    ends = np.flatnonzero(spoken[samples - 1 : -1] & ~spoken[samples:])
    end = samples + int(ends[0]) if len(ends) else samples
    return said[end - samples : end], spoken[end - samples : end]


def close_pauses(steps: Mask) -> Mask:
    """Pauses under 0.3 s within a speaker's speech count as speech, as in the evaluation."""
    closed = steps.copy()
    for row in closed:
        edges = np.flatnonzero(np.diff(row.astype(np.int8)))
        for before, after in pairwise(edges):
            if row[before] and not row[before + 1] and after - before < _CLOSED_PAUSE_STEPS:
                row[before : after + 1] = True
    return closed


def regions(row: Mask) -> list[tuple[float, float]]:
    """The stretches where a row of 10 ms steps is true, in seconds."""
    padded = np.concatenate([[False], row, [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(padded))
    return [(float(a) / 100, float(b) / 100) for a, b in zip(edges[::2], edges[1::2], strict=True)]
