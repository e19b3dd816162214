"""Whether a row's answer depends on the others of its batch, or on its place among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.random import default_rng

from voiceflow.contract import STREAM_CONTRACT
from voiceflow.package import ModelPackage
from voiceflow.pipeline.model import BoundModel, FloatArray, empty_state
from voiceflow.validation.measured import Compared, Deviation
from voiceflow.validation.probes.behaviour.compare import furthest
from voiceflow.validation.probes.model import FULL_SCALE, named, noise, voices

ROWS: Final = 16
"""The largest batch: the inference service's default limit."""

_Outputs = dict[str, FloatArray]


def measure(_package: ModelPackage, model: BoundModel) -> Compared:
    """Every batch of 1 to 16 streams in the middle of theirs, and another order of the largest.

    Each row is compared with the same stream computed alone.
    """
    found: list[Deviation | None] = []
    for frames in _hop_frames(model):
        samples = frames * model.manifest.frame_samples
        audio = _streams(2 * samples)
        alone, memory = [], []
        for row in audio:
            _, state = model.run(row[None, :samples].copy(), empty_state(model, 1))
            memory.append(state)
            alone.append(_call(model, row[None, samples:], [state]))
        for order in _orders():
            what = f"{len(order)} streams, {frames} frames"
            together = _call(model, audio[order, samples:], [memory[row] for row in order])
            apart = _stacked([alone[row] for row in order])
            found.append(furthest(what, together, apart))
    deviations = tuple(deviation for deviation in found if deviation is not None)
    return Compared(comparisons=len(found), deviations=deviations)


def _hop_frames(model: BoundModel) -> Sequence[int]:
    """Hops of every latency mode and the shortest there is; for a window they are one call."""
    frame = model.manifest.frame_samples
    hops = {hop // frame for hop in model.manifest.hop_samples.values()}
    stateful = model.manifest.contract == STREAM_CONTRACT
    return sorted(hops | {1} if stateful else {max(hops)})


def _streams(samples: int) -> FloatArray:
    """Sixteen streams that have nothing in common, silence and full scale among them."""
    rows = [voices(21, ROWS - 4, samples), noise(22, 2, samples), noise(23, 1, samples, FULL_SCALE)]
    return np.concatenate([*rows, np.zeros((1, samples), np.float32)])


def _orders() -> list[list[int]]:
    first = [list(range(rows)) for rows in range(1, ROWS + 1)]
    shuffled = default_rng(24).permutation(ROWS).tolist()
    # The loud and the silent ones stand last: let them come first as well.
    return [*first, shuffled, list(range(ROWS))[::-1]]


def _call(
    model: BoundModel, audio: FloatArray, memories: Sequence[Mapping[str, FloatArray]]
) -> _Outputs:
    state = _stacked(memories)
    frames, state = model.run(np.ascontiguousarray(audio), state)
    return named(frames, state)


def _stacked(rows: Sequence[Mapping[str, FloatArray]]) -> _Outputs:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
