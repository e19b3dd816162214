"""When a worker that ended is started anew."""

from __future__ import annotations

import pytest

from voiceflow_inference.workers.restarts import LONGEST_PAUSE_SECONDS, STEADY_SECONDS, Restarts


def pauses(*served_seconds: float) -> list[float]:
    """Before each start, after workers that served so long."""
    restarts, told = Restarts(), []
    for seconds in served_seconds:
        restarts, pause = restarts.after(seconds)
        told.append(pause)
    return told


def test_the_first_is_replaced_at_once() -> None:
    """Whoever it was that killed it."""
    assert pauses(3.0) == [0.0]


def test_those_that_end_soon_are_waited_with_longer_and_longer() -> None:
    """Up to a minute, and never longer."""
    told = pauses(*[0.0] * 2000)
    assert told[:8] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(told[8:]) == {LONGEST_PAUSE_SECONDS}


@pytest.mark.parametrize(
    ("served_seconds", "then"), [(STEADY_SECONDS, 0.0), (STEADY_SECONDS - 1, 2.0)]
)
def test_one_that_served_steadily_clears_what_was(served_seconds: float, then: float) -> None:
    """It is replaced at once, and what comes after it counts anew."""
    assert pauses(0.0, 0.0, served_seconds)[-1] == then
