"""Time in steps of 10 ms."""

from __future__ import annotations

import math

import pytest

from voiceflow.evaluation.grid import frame_at


@pytest.mark.parametrize(
    ("seconds", "frame"),
    [(0.0, 0), (-1.0, 0), (-math.inf, 0), (0.004, 0), (0.006, 1), (0.01, 1), (1.0, 100)],
)
def test_a_frame_is_in_a_stretch_by_its_middle(seconds: float, frame: int) -> None:
    """A stretch that begins at 4 ms holds the first frame, one from 6 ms on does not."""
    assert frame_at(seconds) == frame


def test_a_stretch_that_begins_at_a_middle_holds_its_frame() -> None:
    """Whatever the last bits of the time are."""
    assert all(frame_at((frame + 0.5) / 100) == frame for frame in range(10_000))
    assert all(frame_at(frame * 0.01 + 0.005) == frame for frame in range(10_000))
