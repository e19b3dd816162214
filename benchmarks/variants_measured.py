"""What a variant of a model costs, and how far its answers are from the original's."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

from voiceflow.artifact import LatencyMode
from voiceflow.catalog.gates import Gate
from voiceflow.evaluation import Score
from voiceflow.package import read_manifest
from voiceflow.pipeline.model import BoundModel, FloatArray, empty_state
from voiceflow.validation.sandbox import Sandbox
from voiceflow.validation.validator import Validator
from voiceflow.validation.values import Candidate, Validation
from voiceflow_inference.serving.moves import Verifier
from voiceflow_inference.serving.placing import How

ROWS: Final = (1, 16)
"""Streams computed in one call."""

CALLS: Final = 200
"""Timed calls of each model and number of rows."""

_WARM_UP_CALLS: Final = 5
_HEARD: Final = 0.5
"""Activity above which a vector is somebody's."""

_MOVING_NUMBERS: Final = frozenset(
    {"Cast", "Concat", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that compute nothing."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a variant's outputs are from the original's over the same audio.

    Attributes:
        seconds: Of audio.
        probability_greatest: Of speech and of both tracks' activity, in any frame.
        probability_mean: Over all frames.
        cosine_least: Of the first track's vectors, where both hear a voice; None: nowhere.
        cosine_mean: Likewise.
    """

    seconds: float
    probability_greatest: float
    probability_mean: float
    cosine_least: float | None
    cosine_mean: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was found out about a model.

    Attributes:
        model: `models/{model}/versions/{semver}`.
        variant: `fp16` or `int8`; None: the original.
        model_bytes: Of `model.onnx`.
        milliseconds: Processor time for a second of audio of one stream, by streams in a call.
        of_original: The same as a part of the original's, call by call, in the same run.
        sets: Error rates, pooled, by set.
        distance: From the original.
        moves: How servers move streams from the original to it, and back.
        half: Operators in half precision, in the file and as ONNX Runtime runs them here.
        broken_rules: Of the registry's first four gates.
    """

    model: str
    variant: str | None
    model_bytes: int
    milliseconds: Mapping[str, float]
    of_original: Mapping[str, float]
    sets: Mapping[str, Score]
    distance: Distance | None = None
    moves: tuple[How, How] | None = None
    half: tuple[int, int] = (0, 0)
    broken_rules: tuple[str, ...] = ()


def call_seconds(
    models: Sequence[BoundModel], speech: FloatArray, rows: int, calls: int = CALLS
) -> list[list[float]]:
    """Processor time of hops in density mode, by turns.

    Args:
        models: To be timed; those of one network.
        speech: What they hear, (samples,), `rows` hops at least.
        rows: Streams in a call.
        calls: Of each model.

    Returns:
        Seconds of each call, by model.
    """
    hop = models[0].manifest.hop_samples[LatencyMode.DENSITY]
    audio = np.ascontiguousarray(speech[: rows * hop].reshape(rows, hop))
    states = [empty_state(model, rows) for model in models]
    taken: list[list[float]] = [[] for _ in models]
    order = list(range(len(models)))
    for call in range(-_WARM_UP_CALLS, calls):
        for one in order:
            before = time.process_time()
            _, states[one] = models[one].run(audio, states[one])
            if call >= 0:
                taken[one].append(time.process_time() - before)
        order.reverse()
    return taken


def distance(original: BoundModel, variant: BoundModel, heard: Sequence[FloatArray]) -> Distance:
    """How far the answers are apart over stretches of audio, each (samples,), whole frames."""
    probabilities, cosines, samples = [], [], 0
    for audio in heard:
        samples += len(audio)
        one, other = (
            model.run(audio[None], empty_state(model, 1))[0].of(0) for model in (original, variant)
        )
        probabilities += [
            np.abs(one.speech - other.speech).ravel(),
            np.abs(one.activity - other.activity).ravel(),
        ]
        voiced = np.minimum(one.activity[:, 0], other.activity[:, 0]) > _HEARD
        cosines.append((one.embedding[voiced, 0] * other.embedding[voiced, 0]).sum(axis=1))
    apart, alike = np.concatenate(probabilities), np.concatenate(cosines)
    return Distance(
        samples / original.manifest.sample_rate_hertz,
        float(apart.max()),
        float(apart.mean()),
        float(alike.min()) if len(alike) else None,
        float(alike.mean()) if len(alike) else None,
    )


def moves(
    original: BoundModel, variant: BoundModel, conversations: Sequence[FloatArray]
) -> tuple[How, How]:
    """How servers move streams there and back, the least of what they see in any conversation."""
    verifiers = [Verifier(partial(np.asarray, audio)) for audio in conversations]
    there = [verifier.verify(original, variant) for verifier in verifiers]
    back = [verifier.verify(variant, original) for verifier in verifiers]
    return least(there), least(back)


def least(ways: Sequence[How]) -> How:
    """The way that asks most of a stream."""
    return max(ways, key=_WORSE.index)


_WORSE: Final = (How.CARRIED, How.REPLAYED, How.TOLD)


def half_operators(model: bytes) -> tuple[int, int]:
    """How many operators compute in half precision: in the file, and as ONNX Runtime runs it here.

    Where it has none of its own it puts casts around the operator and computes in float32.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        optimised = onnx.load(path)
    return _in_half(onnx.load_from_string(model)), _in_half(optimised)


def _in_half(model: onnx.ModelProto) -> int:
    graph = onnx.shape_inference.infer_shapes(model).graph
    halves = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    return sum(
        node.op_type not in _MOVING_NUMBERS and not halves.isdisjoint(node.output)
        for node in graph.node
    )


def broken_rules(folder: Path) -> tuple[str, ...]:
    """Which rules of the registry's first four gates a package breaks."""
    gates = (Gate.MANIFEST, Gate.GRAPH, Gate.CONTRACT, Gate.BEHAVIOUR)
    with Sandbox() as sandbox:
        *_, last = Validator(sandbox).run(Candidate(read_manifest(folder), folder), gates=gates)
    if not isinstance(last, Validation):
        raise TypeError(f"a run of gates ended with {last!r}")
    return tuple(sorted({found.rule_id for gate in last.gates for found in gate.findings}))
