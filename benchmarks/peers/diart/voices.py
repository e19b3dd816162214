"""Whose voice it is: Resemblyzer's encoder on the speech of a sliding window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from resemblyzer import VoiceEncoder, normalize_volume, wav_to_mel_spectrogram

from benchmarks.peers.diart.settings import SAMPLE_RATE_HERTZ, Settings
from benchmarks.peers.diart.speech import FRAME_SAMPLES, FloatArray
from benchmarks.peers.diart.telling import step_samples

DIMENSION: Final = 256
_BATCH: Final = 64
# As in VoiceEncoder.embed_utterance.
_PARTIALS_PER_SECOND: Final = 1.3
_COVERAGE: Final = 0.75


def window_frames(heard_samples: int, settings: Settings) -> slice:
    """The whole frames of Silero's in the last window."""
    last = heard_samples // FRAME_SAMPLES
    count = round(settings.window_seconds * SAMPLE_RATE_HERTZ / FRAME_SAMPLES)
    return slice(max(0, last - count), last)


def embed_windows(audio: FloatArray, probabilities: FloatArray, settings: Settings) -> FloatArray:
    """One embedding a step, of the frames of its window that are speech.

    Args:
        audio: (samples,), at its level.
        probabilities: (frames,) of speech.
        settings: Threshold, window and its level.

    Returns:
        (steps, 256), of unit length; NaN where a window holds no speech.
    """
    whole = audio[: len(probabilities) * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    steps = step_samples(len(audio))
    vectors = np.full((len(steps), DIMENSION), np.nan, np.float32)
    spoken, where = [], []
    for step, heard in enumerate(steps):
        window = window_frames(heard, settings)
        speech = whole[window][probabilities[window] >= settings.threshold]
        if speech.any():
            spoken.append(_at_level(speech.reshape(-1), settings.window_dbfs))
            where.append(step)
    vectors[where] = embed(spoken)
    return vectors


def embed(speech: Sequence[FloatArray]) -> FloatArray:
    """What `VoiceEncoder.embed_utterance` says of each, many at a time, (count, 256)."""
    mels: list[FloatArray] = []
    owners: list[int] = []
    for owner, samples in enumerate(speech):
        waves, slices = VoiceEncoder.compute_partial_slices(
            len(samples), _PARTIALS_PER_SECOND, _COVERAGE
        )
        missing = max(0, waves[-1].stop - len(samples))
        mel = wav_to_mel_spectrogram(np.pad(samples, (0, missing)))
        mels += [mel[part] for part in slices]
        owners += [owner] * len(slices)
    sums = np.zeros((len(speech), DIMENSION), np.float32)
    for start in range(0, len(mels), _BATCH):
        batch = torch.from_numpy(np.stack(mels[start : start + _BATCH]))
        with torch.inference_mode():
            np.add.at(sums, owners[start : start + _BATCH], _encoder()(batch).numpy())
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums


def _at_level(speech: FloatArray, level_dbfs: float | None) -> FloatArray:
    if level_dbfs is None:
        return speech
    return np.asarray(normalize_volume(speech, level_dbfs), np.float32)


@cache
def _encoder() -> Any:
    return VoiceEncoder("cpu", verbose=False)
