"""What a model says to silence, noise and full scale: finite, in range, of the right shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from voiceflow.contract import STREAM_CONTRACT
from voiceflow.onnx.runtime import open_session
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import BoundModel, FloatArray, empty_state
from voiceflow.validation.measured import Heard, HeardAll, Misshapen, finite
from voiceflow.validation.probes.behaviour.compare import differs
from voiceflow.validation.probes.model import FULL_SCALE, named, noise, voices

_HOPS = 6
"""Of each signal, one after another: what goes wrong in the memory shows in the next hop."""
_ROWS = 2


def measure(package: ModelPackage, model: BoundModel) -> HeardAll:
    """Hears each signal in hops of each length."""
    heard = []
    for frames in _hop_frames(model):
        samples = _HOPS * frames * model.manifest.frame_samples
        for signal, audio in _signals(samples).items():
            heard.append(_hear(model, f"{signal}, hops of {frames} frames", audio, frames))
    if model.manifest.contract != STREAM_CONTRACT:
        heard.append(_windows(package, model))
    return HeardAll(heard=tuple(heard))


def _hop_frames(model: BoundModel) -> list[int]:
    """Hops of every latency mode, and the shortest that a flush can leave."""
    frame = model.manifest.frame_samples
    hops = {hop // frame for hop in model.manifest.hop_samples.values()}
    return sorted(hops | {1}, reverse=True)


def _signals(samples: int) -> Mapping[str, FloatArray]:
    """Each (rows, samples)."""
    silence = np.zeros((_ROWS, samples), np.float32)
    square = np.where(noise(3, _ROWS, samples) > 0, FULL_SCALE, -FULL_SCALE).astype(np.float32)
    half = samples // 2
    stops = np.concatenate([noise(4, _ROWS, half), silence[:, half:]], axis=1)
    return {
        "silence": silence,
        "noise": noise(1, _ROWS, samples),
        "faint noise": noise(2, _ROWS, samples, level=1e-6),
        "full scale": square,
        "full scale at rest": np.full((_ROWS, samples), FULL_SCALE, np.float32),
        "noise that stops": stops,
        "voices": voices(5, _ROWS, samples),
    }


def _hear(model: BoundModel, signal: str, audio: FloatArray, hop_frames: int) -> Heard:
    outputs = list(_run(model, audio))
    wanted = _shapes(model, len(audio), hop_frames)
    misshapen = {
        name: Misshapen(tensor=name, seen=str(array.shape), allowed=str(wanted[name]))
        for said in outputs
        for name, array in said.items()
        if array.shape != wanted[name]
    }
    lengths = np.concatenate(
        [np.linalg.norm(said["embedding"], axis=-1).ravel() for said in outputs]
    )
    likely = np.concatenate([said[name].ravel() for said in outputs for name in _PROBABILITIES])
    again = _run(model, audio)
    return Heard(
        signal=signal,
        not_finite=tuple(
            sorted({n for said in outputs for n, array in said.items() if not _is_finite(array)})
        ),
        misshapen=tuple(misshapen.values()),
        lowest=finite(likely.min(initial=np.inf)),
        highest=finite(likely.max(initial=-np.inf)),
        furthest_length=finite(np.abs(lengths - 1.0).max(initial=0.0)),
        repeated=not any(
            differs(first[name], second[name])
            for first, second in zip(outputs, again, strict=True)
            for name in first
        ),
    )


def _run(model: BoundModel, audio: FloatArray) -> Iterator[dict[str, FloatArray]]:
    state = empty_state(model, len(audio))
    for hop in np.split(audio, _HOPS, axis=1):
        frames, state = model.run(np.ascontiguousarray(hop), state)
        yield named(frames, state)


def _shapes(model: BoundModel, rows: int, frames: int) -> dict[str, tuple[int, ...]]:
    manifest = model.manifest
    tracks, dim = manifest.tracks, manifest.embedding_dim
    outputs: dict[str, tuple[int, ...]] = {
        "speech": (rows, frames),
        "activity": (rows, frames, tracks),
        "embedding": (rows, frames, tracks, dim),
    }
    state = {f"next.{name}": (rows, *shape) for name, shape in model.state_shapes.items()}
    return outputs | state


def _windows(package: ModelPackage, model: BoundModel) -> Heard:
    """A windowed graph's own outputs, of which the pipeline sees the newest frames alone."""
    manifest = model.manifest
    window = manifest.window_samples or 0
    session = open_session(package.model_bytes, threads=1)
    found = session.run(["activity", "embedding"], {"audio": voices(6, _ROWS, window)})
    shapes = (
        (_ROWS, window // manifest.frame_samples, manifest.tracks),
        (_ROWS, manifest.tracks, manifest.embedding_dim),
    )
    misshapen = [
        Misshapen(tensor=name, seen=str(array.shape), allowed=str(shape))
        for name, array, shape in zip(("activity", "embedding"), found, shapes, strict=True)
        if array.shape != shape
    ]
    return Heard(
        signal="voices, a whole window",
        misshapen=tuple(misshapen),
        lowest=0.0,
        highest=1.0,
        furthest_length=0.0,
    )


_PROBABILITIES = ("speech", "activity")


def _is_finite(array: FloatArray) -> bool:
    return bool(np.isfinite(array).all())
