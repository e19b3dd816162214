"""Whether an answer depends on how audio is cut, on audio after it, or on audio long before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.contract import STREAM_CONTRACT
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import BoundModel, FloatArray, empty_state
from voiceflow.validation.measured import Compared, Deviation
from voiceflow.validation.probes.behaviour.compare import furthest
from voiceflow.validation.probes.model import named, noise, voices

_SEED = 11
_PAST_HOPS = 4
_Outputs = dict[str, FloatArray]


def cuts(_package: ModelPackage, model: BoundModel) -> Compared:
    """Audio in one call, and the same audio in hops of every kind.

    A windowed model has no memory but its window, so there is nothing to compare.
    """
    if model.manifest.contract != STREAM_CONTRACT:
        return Compared(comparisons=0)
    modes = sorted(hop // model.manifest.frame_samples for hop in _hops(model))
    frames = 2 * modes[-1] + 5
    audio = voices(_SEED, 2, frames * model.manifest.frame_samples)
    whole = _run(model, audio, [frames])
    kinds = {f"hops of {size} frames": _cut(frames, [size]) for size in {*modes, 1}}
    kinds["hops of many lengths"] = _cut(frames, [3, 1, 7, 2, 5])
    found = [furthest(kind, _run(model, audio, sizes), whole) for kind, sizes in kinds.items()]
    return _compared(found)


def look_ahead(_package: ModelPackage, model: BoundModel) -> Compared:
    """Audio that goes on in two ways: up to there, the answers must be the same.

    A windowed model sees a window and nothing after it.
    """
    if model.manifest.contract != STREAM_CONTRACT:
        return Compared(comparisons=0)
    frame = model.manifest.frame_samples
    frames = max(_hops(model)) // frame
    same = voices(_SEED, 1, frames * frame)
    endings = {
        "silence": np.zeros((1, frames * frame), np.float32),
        "loud noise": noise(_SEED, 1, frames * frame, level=1.0),
    }
    alone = _until(_run(model, same, [frames]), frames)
    found = []
    for ending, after in endings.items():
        whole = _run(model, np.concatenate([same, after], axis=1), [2 * frames])
        found.append(furthest(f"{ending} after it", _until(whole, frames), alone))
    return _compared(found)


def context(_package: ModelPackage, model: BoundModel) -> Compared:
    """`context_seconds` of audio after something loud, and after nothing: the next hop decides."""
    manifest = model.manifest
    frame = manifest.frame_samples
    hop = max(_hops(model)) // frame
    replayed = round(manifest.context_seconds * SAMPLE_RATE_HERTZ) // frame
    sizes = [*_cut(replayed, [hop]), hop]
    heard = voices(_SEED, 1, sum(sizes) * frame)
    fresh = _newest(_run(model, heard, sizes), hop)
    pasts = {
        "loud noise": noise(_SEED, 1, _PAST_HOPS * hop * frame, level=1.0),
        "another voice": 2 * voices(_SEED + 1, 1, _PAST_HOPS * hop * frame),
    }
    found = []
    for past, before in pasts.items():
        audio = np.concatenate([before, heard], axis=1)
        used = _newest(_run(model, audio, [hop] * _PAST_HOPS + sizes), hop)
        found.append(furthest(f"{past} before it", used, fresh))
    return _compared(found)


def _hops(model: BoundModel) -> list[int]:
    return list(model.manifest.hop_samples.values())


def _cut(frames: int, sizes: Sequence[int]) -> list[int]:
    """The sizes over again, until they add up; the last one may be shorter."""
    found: list[int] = []
    while (rest := frames - sum(found)) > 0:
        found.append(min(sizes[len(found) % len(sizes)], rest))
    return found


def _run(model: BoundModel, audio: FloatArray, sizes: Sequence[int]) -> _Outputs:
    """Every output over all hops, (rows, frames, …), and the memory after the last."""
    said = list(_said(model, audio, sizes))
    outputs = {
        name: np.concatenate([outputs[name] for outputs in said], axis=1) for name in _BY_FRAME
    }
    return outputs | {name: array for name, array in said[-1].items() if name not in _BY_FRAME}


def _said(model: BoundModel, audio: FloatArray, sizes: Sequence[int]) -> Iterator[_Outputs]:
    state = empty_state(model, len(audio))
    start = 0
    for size in sizes:
        end = start + size * model.manifest.frame_samples
        frames, state = model.run(np.ascontiguousarray(audio[:, start:end]), state)
        yield named(frames, state)
        start = end


_BY_FRAME = ("speech", "activity", "embedding")


def _until(outputs: _Outputs, frames: int) -> _Outputs:
    return {name: outputs[name][:, :frames] for name in _BY_FRAME}


def _newest(outputs: _Outputs, frames: int) -> _Outputs:
    return {name: outputs[name][:, -frames:] for name in _BY_FRAME}


def _compared(found: Sequence[Deviation | None]) -> Compared:
    deviations = tuple(deviation for deviation in found if deviation is not None)
    return Compared(comparisons=len(found), deviations=deviations)
