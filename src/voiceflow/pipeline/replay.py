"""Audio that is heard again: how it is kept, and where it begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest
from voiceflow.pipeline.model import FloatArray

_FULL_SCALE = 32_768


def to_int16(audio: FloatArray) -> NDArray[np.int16]:
    """Samples in -1 to 1 in half the memory; 16-bit audio comes back as it was."""
    scaled = np.rint(audio * np.float32(_FULL_SCALE))
    kept: NDArray[np.int16] = np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return kept


def from_int16(audio: NDArray[np.int16]) -> FloatArray:
    """Samples in -1 to 1."""
    return audio.astype(np.float32) / np.float32(_FULL_SCALE)


def replay_start_samples(at_samples: int, manifest: Manifest, mode: LatencyMode) -> int:
    """Where a model begins to hear again, to compute a stream from a place on.

    Whole hops that end there, and hold the model's context; or the start of the stream.
    """
    hop = manifest.hop_samples[mode]
    context = round(manifest.context_seconds * SAMPLE_RATE_HERTZ)
    return max(0, at_samples - -(-context // hop) * hop)
