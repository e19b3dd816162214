"""Looks at a version in a process that may die of it: what `voiceflow.validation.sandbox` runs.

A factory gets the package's files after the lockdown; on the CPU, nothing can be imported, and no
file opened, from then on.
"""

from __future__ import annotations

import encodings.cp437  # noqa: F401 - zipfile wants it for golden.npz, and must find it here
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.random import default_rng  # `np.random` imports it when it is first used: too late

from voiceflow.artifact import Manifest
from voiceflow.contract import contracts
from voiceflow.errors import PackageInvalid, VoiceFlowError
from voiceflow.onnx.binding import bind
from voiceflow.onnx.golden import reproduce
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import BoundModel, empty_state
from voiceflow.provider import Provider
from voiceflow.validation.sandbox import JsonValue

MESSAGE_CHARACTERS: Final = 500
"""Of what is wrong; the rest is cut."""

contracts()  # remembers what it reads


def look(files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]) -> JsonValue:
    """Loads a model, reproduces its golden outputs, and runs it as streams will.

    Args:
        files: Graph and golden outputs, by name.
        arguments: `manifest`, its text; `batch`, the largest that streams will be computed in;
            `provider`, what computes them.

    Returns:
        What is wrong, as `reason`, `message` and `field`; empty: nothing is.
    """
    manifest = Manifest.from_json(cast("str", arguments["manifest"]))
    package = ModelPackage(manifest, {name: file.read() for name, file in files.items()})
    provider = cast("Provider", arguments["provider"])
    try:
        model = bind(package, provider=provider)
        reproduce(package, provider=provider)
        for samples in manifest.hop_samples.values():
            for batch in (1, cast("int", arguments["batch"])):
                _check_finite(model, samples, batch)
    except VoiceFlowError as error:
        message = error.message[:MESSAGE_CHARACTERS]
        return {"reason": error.reason, "message": message, "field": error.field or ""}
    return {}


PROBES: Mapping[str, Callable[..., Callable[[JsonValue], JsonValue]]] = {
    "load": lambda files, arguments: lambda _request: look(files, arguments)
}


def _check_finite(model: BoundModel, samples: int, batch: int) -> None:
    """Runs two hops, so that the memory that comes out goes in again."""
    state = empty_state(model, batch)
    rng = default_rng(batch)
    for _ in range(2):
        audio = rng.uniform(-0.3, 0.3, (batch, samples)).astype(np.float32)
        frames, state = model.run(audio, state)
        arrays = (frames.speech, frames.activity, frames.embedding, *state.values())
        if not all(np.isfinite(array).all() for array in arrays):
            raise PackageInvalid(
                f"model.onnx: gives numbers that are not finite for {batch} x {samples} samples of"
                " noise",
                reason="MODEL_OUTPUT_NOT_FINITE",
                field="files.model.onnx",
            )
