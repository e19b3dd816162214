"""Conversations to send: those of ../shared/speech where it is there, the project's own else."""

from __future__ import annotations

import numpy as np

from benchmarks.paths import SPEECH
from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.evaluation import conversations, read_audio
from voiceflow.pipeline.model import FloatArray
from voiceflow.sample import conversation


def talk(seconds: float) -> tuple[FloatArray, str]:
    """Conversations one after another, over again where they are too short.

    Returns:
        (samples,) at 16 kHz, and in words what it is.
    """
    wanted = round(seconds * SAMPLE_RATE_HERTZ)
    pieces: list[FloatArray] = []
    for path, _ in conversations(SPEECH / "simulated"):
        if sum(map(len, pieces)) < wanted:
            pieces.append(read_audio(path))
    what = "simulated conversations of ../shared/speech" if pieces else "the synthetic sample"
    whole = np.concatenate(pieces or [conversation()])
    return np.resize(whole, wanted), what


def pcm16(samples: FloatArray) -> bytes:
    """16-bit little-endian samples."""
    return (samples * 32767).astype("<i2").tobytes()
