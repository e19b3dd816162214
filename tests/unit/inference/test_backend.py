"""Slots keep streams apart and give nothing of one stream to the next."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic_ns

import numpy as np
import psutil
import pytest

from tests.unit.inference.fakes import Adder
from voiceflow.errors import Overloaded
from voiceflow.pipeline.model import FloatArray, Frames, State
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.stages import BatchTimes


def hop(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A batch of one-frame hops, one for each value."""
    return np.array(values, np.float32)[:, None] * np.ones((1, 640), np.float32)


def test_each_part_of_a_call_is_timed() -> None:
    """In their order: memory out of its slots, the model, memory back."""
    backend, times = SlotBackend(Adder(), 1), BatchTimes(1, monotonic_ns())
    backend.run([backend.open()], hop(1), times)
    parts = (times.taken_ns, times.gathered_ns, times.inferred_ns, times.scattered_ns)
    assert parts == tuple(sorted(parts))
    assert parts[-1] <= monotonic_ns()


def test_each_stream_has_its_own_memory() -> None:
    """Rows are gathered and scattered by slot, in any order and any company."""
    backend = SlotBackend(Adder(), 4)
    a, b, c = backend.open(), backend.open(), backend.open()
    backend.run([a, b], hop(1, 10), BatchTimes(1))
    frames, _ = backend.run([c, b, a], hop(100, 20, 2), BatchTimes(1))
    assert frames.speech[:, 0].tolist() == [100, 30, 3]


def test_hops_in_a_row_are_computed_one_by_one_or_in_one_call() -> None:
    """One by one each adds to the memory, once for each stream; in one call the model does it."""
    row = np.repeat(np.array([[1, 2, 4], [10, 20, 40]], np.float32), 640, axis=1)
    backend = SlotBackend(Adder(), 2)
    slots = [backend.open(), backend.open()]
    frames, finite = backend.run(slots, row, BatchTimes(6), hops=3)
    assert frames.speech.tolist() == [[1, 3, 7], [10, 30, 70]]
    assert frames.embedding.shape == (2, 3, 1, 2)
    assert finite == [True, True]
    frames, _ = backend.run(slots, hop(1, 1), BatchTimes(2))
    assert frames.speech[:, 0].tolist() == [8, 71]

    joining = SlotBackend(Adder(), 1, joins_hops=True)
    frames, _ = joining.run([joining.open()], row[:1], BatchTimes(3), hops=3)
    assert frames.speech.tolist() == [[1, 1, 1]]  # the adder hears the first sample of a call


def test_a_slot_starts_empty() -> None:
    """A stream hears nothing of the one that had its slot before."""
    backend = SlotBackend(Adder(), 1)
    slot = backend.open()
    backend.run([slot], hop(5), BatchTimes(1))
    backend.close(slot)
    again = backend.open()
    assert again == slot
    frames, _ = backend.run([again], hop(1), BatchTimes(1))
    assert frames.speech[0, 0] == 1


def test_there_are_no_more_slots_than_said() -> None:
    """Opening past the limit is refused; closing makes room."""
    backend = SlotBackend(Adder(), 2)
    first = backend.open()
    backend.open()
    with pytest.raises(Overloaded):
        backend.open()
    backend.close(first)
    assert backend.open() == first
    assert backend.open_slots == 2


def test_what_is_not_finite_is_named_and_not_kept() -> None:
    """The row is told apart, its memory stays, its neighbours' goes on."""
    backend = SlotBackend(Adder(), 2)
    good, bad = backend.open(), backend.open()
    _, finite = backend.run([good, bad], hop(1, np.nan), BatchTimes(1))
    assert finite == [True, False]
    frames, finite = backend.run([good, bad], hop(1, 7), BatchTimes(1))
    assert finite == [True, True]
    assert frames.speech[:, 0].tolist() == [2, 7]


def test_memory_is_carried_from_one_model_to_another() -> None:
    """What one backend gives of a slot, another goes on with; it is a copy."""
    old, new = SlotBackend(Adder(), 2), SlotBackend(Adder(), 2)
    slot = old.open()
    old.run([slot], hop(5), BatchTimes(1))
    state = old.state(slot)
    old.run([slot], hop(1), BatchTimes(1))
    new.open()
    frames, _ = new.run([new.open(state)], hop(2), BatchTimes(1))
    assert frames.speech[0, 0] == 7


def test_without_a_call_there_is_nothing_to_end() -> None:
    """The backend goes on as it was."""
    backend = SlotBackend(Adder(), 1)
    slot = backend.open()
    assert not backend.terminate()
    frames, _ = backend.run([slot], hop(1), BatchTimes(1))
    assert frames.speech[0, 0] == 1


class Late(Adder):
    """Comes back when it is let go, whether it was ended or not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.called, self.let_go, self.ended = (threading.Event() for _ in range(3))

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """As the adder, in the end."""
        self.calls += 1
        self.called.set()
        self.let_go.wait()
        return super().run(audio, state)

    def terminate(self) -> None:
        """Is noticed, and ignored."""
        self.ended.set()


async def test_a_call_that_comes_back_too_late_changes_no_memory() -> None:
    """Its hop may have been computed by another model since; and no call follows it."""
    model = Late()
    backend = SlotBackend(model, 1)
    slot = backend.open()
    times = BatchTimes(1)
    call = asyncio.create_task(asyncio.to_thread(backend.run, [slot], hop(5), times))
    await asyncio.to_thread(model.called.wait)
    assert backend.terminate()
    assert model.ended.is_set()
    model.let_go.set()
    with pytest.raises(RuntimeError):
        await call
    assert backend.state(slot)["sum"] == 0
    with pytest.raises(RuntimeError):
        backend.run([slot], hop(5), BatchTimes(1))
    assert model.calls == 1


class Large(Adder):
    """A stream's memory is 1 MiB."""

    def __init__(self) -> None:
        super().__init__()
        self.state_shapes = {"sum": (2**18,)}


def test_room_costs_no_memory() -> None:
    """Pages that no stream has used are not there, for the second model as for the first."""
    process = psutil.Process()
    before = process.memory_info().rss
    for slots in (24, 23, 22, 21, 20):
        backend = SlotBackend(Large(), slots)
        slot = backend.open()
        assert process.memory_info().rss < before + 12 * 2**20
        backend.close(slot)
