"""The search for speakers, against the same search written with arrays of single precision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.path import SpeakerPath

COST = 3.7


def searched(scores: FloatArray, spoken: NDArray[np.bool_], costs: list[float]) -> list[int]:
    """The best path, the last of the costs counting on the way back."""
    total, steps = np.zeros(scores.shape[1], np.float32), []
    for hop, cost in zip(np.split(np.arange(len(scores)), len(costs)), costs, strict=True):
        for frame in hop:
            steps.append(total)
            gain = np.where(spoken[frame], scores[frame], np.float32(0.0))
            total = np.maximum(total, total.max() - cost) + gain
        total = total - total.max()
    state, path = int(total.argmax()), []
    for before in reversed(steps):
        path.append(state)
        if before.max() - costs[-1] > before[state]:
            state = int(before.argmax())
    return path[::-1]


@pytest.mark.parametrize("states", [1, 2, 5, 21])
@pytest.mark.parametrize("cost", [COST, 0.1])
def test_a_path_is_that_of_arrays_of_single_precision(states: int, cost: float) -> None:
    """To the bit, through speech and silence of any length, and with another cost from a hop on."""
    rng = np.random.default_rng(states)
    for _ in range(20):
        scores = rng.uniform(-1, 1, (60, states)).astype(np.float32)
        spoken = np.repeat(rng.random(12) < 0.6, 5)
        costs = [COST] * 3 + [cost] * 2
        path = SpeakerPath(COST)
        path.resume(np.zeros(states, np.float32))
        for hop, of_hop in enumerate(costs):
            span = slice(12 * hop, 12 * hop + 12)
            path.adopt(of_hop)
            path.extend(scores[span] if spoken[span].any() else None, spoken[span].tolist())
        assert path.states() == searched(scores, spoken, costs)
        assert path.totals().dtype == np.float32
