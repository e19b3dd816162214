"""A model that adds up what it hears, so that its memory can be read off its frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.pipeline.model import FloatArray, Frames, State

FRAME_SAMPLES = 640


def manifest(**fields: Any) -> Manifest:
    """Of the adder."""
    values: dict[str, Any] = {
        "schema_version": 1,
        "model": "adder",
        "version": "1.0.0",
        "contract": "diarization-stream/1.0",
        "sample_rate_hertz": 16_000,
        "frame_samples": FRAME_SAMPLES,
        "hop_samples": {LatencyMode.DENSITY: 1280, LatencyMode.AGENT: 640},
        "tracks": 1,
        "embedding_dim": 2,
        "look_ahead_frames": 0,
        "context_seconds": 1.0,
        "embedding_space": "adder-1",
        "state_space": "adder-1",
        "operating_point": {
            "speech_threshold": 0.5,
            "activity_threshold": 0.5,
            "overlap_threshold": 0.5,
            "new_speaker_threshold": 0.5,
            "same_speaker_threshold": 0.6,
            "minimum_turn_seconds": 0.2,
            "minimum_pause_seconds": 0.2,
            "smoothing_seconds": 0.4,
        },
        "licence": "Apache-2.0",
        "files": {},
    }
    return Manifest.model_validate(values | fields)


class Adder:
    """Memory is the sum of the first samples of all hops so far; so is every number it gives."""

    def __init__(self) -> None:
        self.manifest = manifest()
        self.state_shapes: Mapping[str, tuple[int, ...]] = {"sum": (1,)}

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Adds (batch, samples) to the memory."""
        total = state["sum"] + audio[:, :1]  # (batch, 1)
        frames = audio.shape[1] // FRAME_SAMPLES
        speech = np.repeat(total, frames, axis=1)
        embedding = np.zeros((len(audio), frames, 1, 2), np.float32)
        embedding[..., 0] = 1
        return Frames(speech, speech[:, :, None], embedding), {"sum": total}

    def terminate(self) -> None:
        """No call takes long enough to be ended."""
