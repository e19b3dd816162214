"""Runs a model over stretches of a recording, from a memory that may be another version's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

from voiceflow.onnx import bind
from voiceflow.package import MODEL_FILE
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, empty_state
from voiceflow.validation.measured import Array, Asked, Stretch
from voiceflow.validation.probes.model import load, told
from voiceflow.validation.sandbox.limits import JsonValue

AUDIO = "audio"
"""Name of the file with the recording: float32, 16 kHz, without header."""


def probe(
    files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]
) -> Callable[[JsonValue], JsonValue]:
    """Answers an `Asked` with a `Stretch`."""
    audio = np.frombuffer(files[AUDIO].read(), "<f4")
    model = bind(load({MODEL_FILE: files[MODEL_FILE]}, arguments))
    return lambda question: told(lambda: _run(model, audio, Asked.model_validate(question)))


def _run(model: BoundModel, audio: FloatArray, asked: Asked) -> Stretch:
    frame, hop = model.manifest.frame_samples, max(model.manifest.hop_samples.values())
    state = empty_state(model, 1)
    if asked.state is not None:
        state = {name: array.array()[None] for name, array in asked.state.items()}
    said: list[Frames] = []
    for start in range(asked.start_frame * frame, asked.end_frame * frame, hop):
        end = min(start + hop, asked.end_frame * frame)
        frames, state = model.run(audio[None, start:end], state)
        said.append(frames.of(0))
    return Stretch(
        speech=Array.of(np.concatenate([frames.speech for frames in said])),
        activity=Array.of(np.concatenate([frames.activity for frames in said])),
        embedding=Array.of(np.concatenate([frames.embedding for frames in said])),
        state={name: Array.of(array[0]) for name, array in state.items()},
    )
