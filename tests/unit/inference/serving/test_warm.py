"""Warming runs all that will be used, and costs become places."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.inference.fakes import Adder, manifest
from voiceflow.artifact import LatencyMode
from voiceflow.pipeline.model import FloatArray, Frames, State
from voiceflow_inference.serving.warm import (
    HopCost,
    joined_hops,
    stream_costs,
    streams_at_once,
    streams_within,
    usable_cores,
    warm_up,
)


class Counting(Adder):
    """Remembers the shapes it was run with."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """As the adder."""
        self.shapes.add(audio.shape)
        return super().run(audio, state)


def test_every_batch_size_of_every_mode_is_run() -> None:
    """Nothing that live streams will use is run for the first time by them."""
    model = Counting()
    costs = warm_up(model, 5)
    assert model.shapes == {(batch, hop) for batch in range(1, 6) for hop in (640, 1280)}
    for mode, hop_seconds in [(LatencyMode.DENSITY, 0.08), (LatencyMode.AGENT, 0.04)]:
        cost = costs[mode]
        assert cost.hop_seconds == hop_seconds
        assert cost.engine_seconds > 0
        assert cost.pipeline_seconds > 0


class Summing(Adder):
    """Adds up every frame's first sample, however many frames come at once.

    Args:
        rounds: Whether a call of more than a hop is off by one bit.
    """

    def __init__(self, *, rounds: bool = False) -> None:
        super().__init__()
        self._rounds = rounds

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Frame by frame."""
        firsts = audio.reshape(len(audio), -1, 640)[:, :, 0]  # (batch, frames)
        sums = np.cumsum(np.concatenate([state["sum"], firsts], axis=1), axis=1)[:, 1:]
        if self._rounds and audio.shape[1] > 1280:
            sums = np.nextafter(sums, np.float32(np.inf))
        frames, _ = super().run(audio, state)
        return Frames(sums, frames.activity * 0, frames.embedding), {"sum": sums[:, -1:]}


def test_hops_are_joined_where_that_changes_no_bit() -> None:
    """As many as may be; hop by hop where one number is another; of a windowed model always."""
    assert joined_hops(Summing(), 8) == 8
    assert joined_hops(Summing(), 0) == 1
    assert joined_hops(Summing(rounds=True), 8) == 1
    windowed = Summing()
    windowed.manifest = manifest(contract="diarization-window/1.0", window_samples=48_000)
    assert joined_hops(windowed, 8) == 1


def test_the_busiest_thread_sets_the_capacity() -> None:
    """With cores for both threads it is the slower one, with one core their sum; half is usable."""
    cost = HopCost(hop_seconds=0.48, engine_seconds=0.001, pipeline_seconds=0.0005)
    assert streams_within(cost, cores=2) == pytest.approx(240)
    assert streams_within(cost, cores=1) == pytest.approx(160)


def test_each_of_several_processes_counts_on_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole cores, and one at least."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(7)), raising=False)
    assert [usable_cores(processes) for processes in (1, 2, 3, 7, 8)] == [7, 3, 2, 1, 1]


def test_dearer_modes_take_more_places() -> None:
    """A stream takes places as it takes the machine; the cheapest mode takes one."""
    costs = {
        LatencyMode.DENSITY: HopCost(0.48, 0.001, 0.0005),
        LatencyMode.AGENT: HopCost(0.08, 0.0005, 0.0005),
    }
    places = stream_costs(costs, cores=2)
    assert places[LatencyMode.DENSITY] == 1
    assert places[LatencyMode.AGENT] == pytest.approx(3)


def test_a_server_counts_by_its_cheapest_mode() -> None:
    """Whole streams, and one at least, however slow the machine."""
    costs = {
        LatencyMode.DENSITY: HopCost(0.48, 0.0011, 0.0005),
        LatencyMode.AGENT: HopCost(0.08, 0.0005, 0.0005),
    }
    assert streams_at_once(costs, cores=2) == 218
    assert streams_at_once({LatencyMode.AGENT: HopCost(0.08, 1.0, 1.0)}, cores=2) == 1
