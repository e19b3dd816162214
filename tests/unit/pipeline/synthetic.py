"""Frames as a model would give them, made from a script of who speaks when."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import LatencyMode, Manifest, OperatingPoint
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow.pipeline.turns import HopResult

DIM = 32
HOP_FRAMES = 12
LOOK_AHEAD_FRAMES = 8
FRAME_SAMPLES = 640

LIKE_1 = 17
"""The voice of this number has a cosine of 0.14 with that of number 1, less than a known one's."""


def manifest(**changes: object) -> Manifest:
    """A manifest of the stream contract with thresholds for `voice` vectors."""
    values: dict[str, object] = {
        "schema_version": 1,
        "model": "synthetic",
        "version": "1.0.0",
        "contract": "diarization-stream/1.0",
        "sample_rate_hertz": 16_000,
        "frame_samples": FRAME_SAMPLES,
        "hop_samples": {LatencyMode.DENSITY: 7680, LatencyMode.AGENT: 1280},
        "tracks": 2,
        "embedding_dim": DIM,
        "look_ahead_frames": LOOK_AHEAD_FRAMES,
        "context_seconds": 1.0,
        "embedding_space": "synthetic-1",
        "state_space": "synthetic-1",
        "operating_point": OperatingPoint(
            speech_threshold=0.5,
            activity_threshold=0.5,
            overlap_threshold=0.5,
            new_speaker_threshold=0.4,
            same_speaker_threshold=0.6,
            minimum_turn_seconds=0.2,
            minimum_pause_seconds=0.3,
            smoothing_seconds=0.16,
        ),
        "licence": "Apache-2.0",
        "files": {},
    }
    return Manifest.model_validate(values | changes)


def voice(number: int) -> FloatArray:
    """A unit vector, (dim,), nearly orthogonal to those of other numbers."""
    vector = np.random.default_rng(1000 + number).normal(size=DIM).astype(np.float32)
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def conversation(script: list[tuple[float, tuple[int, ...]]], *, seed: int = 0) -> Frames:
    """Frames of a whole conversation, without look-ahead.

    Args:
        script: Stretches: seconds and the voices that speak, loudest first.
        seed: Of the noise on the embeddings.
    """
    generator = np.random.default_rng(seed)
    activity, embedding = [], []
    for seconds, voices in script:
        for _ in range(round(seconds * 16_000 / FRAME_SAMPLES)):
            activity.append([0.9 if rank < len(voices) else 0.05 for rank in range(2)])
            spoken = [voice(number) for number in voices[:2]]
            rows = spoken + [voice(999)] * (2 - len(spoken))
            noisy = np.array(rows) + generator.normal(scale=0.08, size=(2, DIM))
            embedding.append(noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
    tracks = np.array(activity, np.float32)
    return Frames(tracks[:, 0], tracks, np.array(embedding, np.float32))


def stream(
    frames: Frames,
    diarizer: StreamDiarizer,
    *,
    hop_frames: int = HOP_FRAMES,
    look_ahead_frames: int = LOOK_AHEAD_FRAMES,
    flush: bool = False,
) -> list[HopResult]:
    """Pushes frames as a model with look-ahead would give them, hop by hop, and finishes.

    With `flush`, the client flushes after every hop.
    """
    total = len(frames.speech)
    padded = total + look_ahead_frames
    speech = np.pad(frames.speech, (0, look_ahead_frames))
    activity = np.pad(frames.activity, ((look_ahead_frames, 0), (0, 0)))
    embedding = np.pad(frames.embedding, ((look_ahead_frames, 0), (0, 0), (0, 0)))
    results = []
    for start in range(0, padded, hop_frames):
        hop = slice(start, min(start + hop_frames, padded))
        if hop.stop > total:
            diarizer.end_at(total * FRAME_SAMPLES)
        results.append(diarizer.push(Frames(speech[hop], activity[hop], embedding[hop])))
        if flush and hop.stop <= total:
            results.append(diarizer.flush())
    diarizer.end_at(total * FRAME_SAMPLES)
    return [*results, diarizer.finish()]


def labels_at(results: list[HopResult], seconds: float) -> tuple[str, ...]:
    """Who speaks at a place in the audio by the final regions."""
    at = round(seconds * 16_000)
    for result in results:
        for region in result.final_regions:
            if region.start_samples <= at < region.end_samples:
                return region.speakers
    raise AssertionError(f"no region holds {seconds} s")


def random_frames(generator: np.random.Generator, count: int, tracks: int = 2) -> Frames:
    """Frames without any meaning."""
    activity: NDArray[np.float64] = generator.random((count, tracks))
    embedding = generator.normal(size=(count, tracks, DIM))
    embedding /= np.linalg.norm(embedding, axis=2, keepdims=True)
    return Frames(
        generator.random(count).astype(np.float32),
        activity.astype(np.float32),
        embedding.astype(np.float32),
    )
