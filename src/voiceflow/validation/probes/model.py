"""What the probes that run a model share: loading it, and what it hears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.random import default_rng  # `np.random` imports it when first used: too late

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.contract import contracts
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow.validation.measured import TEXT_CHARACTERS, Answer, Failed
from voiceflow.validation.sandbox.limits import JsonValue
from voiceflow.validation.sandbox.verdict import MEMORY_WORDS

FULL_SCALE: Final = 1.0

contracts()  # remembers what it reads: no file can be opened once a model is looked at


def load(files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]) -> ModelPackage:
    """The package whose manifest is an argument, with the files that were given."""
    manifest = Manifest.from_json(cast("str", arguments["manifest"]))
    return ModelPackage(manifest, {name: file.read() for name, file in files.items()})


def told(measure: Callable[[], Answer]) -> JsonValue:
    """The answer, or that ONNX Runtime raised an error."""
    try:
        answer = measure()
    except Exception as error:
        seen = f"{type(error).__name__}: {error}"
        if any(word in seen for word in MEMORY_WORDS):  # no error of the graph's form
            raise
        answer = Failed(failed=seen[:TEXT_CHARACTERS])
    return cast("JsonValue", answer.model_dump(mode="json"))


def named(frames: Frames, state: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """All that a call gives, by the names that a contract gives it."""
    outputs = {
        "speech": frames.speech,
        "activity": frames.activity,
        "embedding": frames.embedding,
    }
    return outputs | {f"next.{name}": array for name, array in state.items()}


def noise(seed: int, rows: int, samples: int, level: float = 0.3) -> FloatArray:
    """Noise within the level, (rows, samples)."""
    drawn = default_rng(seed).uniform(-level, level, (rows, samples))
    return drawn.astype(np.float32)


def voices(seed: int, rows: int, samples: int) -> FloatArray:
    """Something like voiced speech, (rows, samples).

    Harmonics of a moving pitch, in bursts, over faint noise; levels differ between rows by far.
    """
    rng = default_rng(seed)
    seconds = np.arange(samples) / SAMPLE_RATE_HERTZ
    made = []
    for _ in range(rows):
        pitch = rng.uniform(90, 240) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * seconds))
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HERTZ
        voiced = np.sum([np.sin(k * phase) / k for k in range(1, 25)], axis=0)
        bursts = np.clip(2 * np.sin(2 * np.pi * rng.uniform(0.7, 1.5) * seconds), 0, 1)
        spoken = voiced * bursts + 0.05 * rng.standard_normal(samples)
        made.append(np.clip(rng.uniform(0.005, 0.5) * spoken, -FULL_SCALE, FULL_SCALE))
    return np.stack(made).astype(np.float32)
