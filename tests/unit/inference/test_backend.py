"""Slots keep streams apart and give nothing of one stream to the next."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.inference.fakes import Adder
from voiceflow.errors import Overloaded
from voiceflow_inference.backend import SlotBackend


def hop(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A batch of one-frame hops, one for each value."""
    return np.array(values, np.float32)[:, None] * np.ones((1, 640), np.float32)


def test_each_stream_has_its_own_memory() -> None:
    """Rows are gathered and scattered by slot, in any order and any company."""
    backend = SlotBackend(Adder(), 4)
    a, b, c = backend.open(), backend.open(), backend.open()
    backend.run([a, b], hop(1, 10))
    frames, _ = backend.run([c, b, a], hop(100, 20, 2))
    assert frames.speech[:, 0].tolist() == [100, 30, 3]


def test_a_slot_starts_empty() -> None:
    """A stream hears nothing of the one that had its slot before."""
    backend = SlotBackend(Adder(), 1)
    slot = backend.open()
    backend.run([slot], hop(5))
    backend.close(slot)
    again = backend.open()
    assert again == slot
    frames, _ = backend.run([again], hop(1))
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
    _, finite = backend.run([good, bad], hop(1, np.nan))
    assert finite == [True, False]
    frames, finite = backend.run([good, bad], hop(1, 7))
    assert finite == [True, True]
    assert frames.speech[:, 0].tolist() == [2, 7]
