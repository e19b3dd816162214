"""A canary's calls are measured beside the primary's: same audio, same thread, same place."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from tests.unit.inference.fakes import manifest
from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.pipeline.model import FloatArray, Frames, State
from voiceflow_inference.serving.evidence import Pair
from voiceflow_inference.serving.pairs import PairedCalls, clock_of_calls

FRAME_SAMPLES = 640


class World:
    """A clock that only calls move, and what was called."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls: list[tuple[str, FloatArray]] = []
        self.pairs: list[Pair] = []


class Timed:
    """A model whose calls take as long as it is told."""

    def __init__(self, world: World, name: str, seconds: float, **fields: object) -> None:
        self.manifest: Manifest = manifest(**fields)
        self.state_shapes: Mapping[str, tuple[int, ...]] = {"sum": (1,)}
        self._world = world
        self._name = name
        self._seconds = seconds

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Takes its time."""
        assert state["sum"].shape == (len(audio), 1)
        self._world.calls.append((self._name, audio))
        self._world.seconds += self._seconds
        empty = np.zeros((len(audio), 1), np.float32)
        return Frames(empty, empty, empty), dict(state)

    def terminate(self) -> None:
        """Nothing runs for long."""


def paired(world: World, **base_fields: object) -> PairedCalls:
    """A canary of 1.3 s beside a primary of 1 s."""
    subject, base = Timed(world, "canary", 1.3), Timed(world, "primary", 1.0, **base_fields)
    return PairedCalls(subject, base, world.pairs.append, lambda: world.seconds)


def test_each_pair_is_one_call_of_either_model() -> None:
    """On the same audio, after every eighth batch."""
    world = World()
    calls = paired(world)
    for number in range(1, 33):
        calls.after_batch(3, 2 * FRAME_SAMPLES)
        assert len(world.pairs) == number // 8
    for pair in world.pairs:
        assert round(pair.subject_seconds, 6) == 1.3
        assert round(pair.base_seconds, 6) == 1.0
    for _, audio in world.calls:
        assert audio.shape == (3, 2 * FRAME_SAMPLES)
        assert np.array_equal(audio, world.calls[0][1])
        assert np.abs(audio).max() <= 0.1
        assert np.count_nonzero(audio) == audio.size


def test_neither_model_has_the_better_place() -> None:
    """Each is measured after a call of the other, and is the first of the two every other time."""
    world = World()
    starts: list[int] = []
    calls = paired(world)
    for _ in range(16):
        starts.append(len(world.calls))
        calls.after_batch(1, FRAME_SAMPLES)
    names = [name for name, _ in world.calls]
    assert names[: starts[15]] == ["primary", "canary", "primary"]
    assert names[starts[15] :] == ["primary", "canary", "primary", "canary"]


def test_pairs_become_rare_when_much_is_known() -> None:
    """After 128 of them: three calls more for each eighth batch would be too dear for good."""
    world = World()
    calls = paired(world)
    for _ in range(128 * 8):
        calls.after_batch(1, FRAME_SAMPLES)
    assert len(world.pairs) == 128
    for _ in range(320):
        calls.after_batch(1, FRAME_SAMPLES)
    assert len(world.pairs) == 138


def test_hops_that_the_primary_cannot_take_are_not_measured() -> None:
    """Another grid of frames, or hops longer than its own."""
    other_frame: dict[str, object] = {
        "frame_samples": 480,
        "hop_samples": {LatencyMode.DENSITY: 4800, LatencyMode.AGENT: 480},
    }
    shorter_hops: dict[str, object] = {
        "hop_samples": {LatencyMode.DENSITY: 640, LatencyMode.AGENT: 640}
    }
    for fields in (other_frame, shorter_hops):
        world = World()
        calls = paired(world, **fields)
        for _ in range(16):
            calls.after_batch(1, 2 * FRAME_SAMPLES)
        assert not world.calls


def test_a_call_that_others_compute_is_measured_by_the_wall() -> None:
    """The engine thread's processor time knows nothing of other threads, or of a GPU."""
    assert clock_of_calls(1, "cpu") is time.thread_time
    assert clock_of_calls(4, "cpu") is time.perf_counter
    assert clock_of_calls(1, "cuda") is time.perf_counter
