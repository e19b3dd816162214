"""Diarizes recordings exactly as streams of them would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, cast

import numpy as np

from voiceflow.onnx import bind
from voiceflow.package import MODEL_FILE
from voiceflow.pipeline.model import BoundModel
from voiceflow.pipeline.offline import diarize
from voiceflow.validation.measured import Diarized, FinalRegion
from voiceflow.validation.probes.model import load, told
from voiceflow.validation.sandbox.limits import JsonValue


def probe(
    files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]
) -> Callable[[JsonValue], JsonValue]:
    """Answers the name of a recording with a `Diarized`.

    Beside the model, the files are recordings: float32, 16 kHz, without header.
    """
    model = bind(load({MODEL_FILE: files[MODEL_FILE]}, arguments))
    return lambda question: told(lambda: _diarize(model, files[cast("str", question)]))


def _diarize(model: BoundModel, recording: BinaryIO) -> Diarized:
    audio = np.frombuffer(recording.read(), "<f4")
    return Diarized(
        regions=tuple(
            FinalRegion(
                start_samples=region.start_samples,
                end_samples=region.end_samples,
                speakers=region.speakers,
            )
            for result in diarize(model, audio)
            for region in result.final_regions
        )
    )
