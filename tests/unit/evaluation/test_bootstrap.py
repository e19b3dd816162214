"""Intervals of pooled rates."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.evaluation.bootstrap import Interval, pooled_interval


def test_recordings_that_are_alike_leave_no_doubt() -> None:
    """Whatever is drawn has the same rate."""
    assert pooled_interval([1.0] * 5, [4.0] * 5) == Interval(25.0, 25.0)


def test_whole_recordings_are_drawn_and_pooled() -> None:
    """One of two with 0 % and 50 % is drawn twice half of the time; one bad of ten up to thrice."""
    interval = pooled_interval([0.0, 15.0], [10.0, 30.0])
    assert interval == Interval(0.0, 50.0)
    rare = pooled_interval([0.0] * 9 + [10.0], [10.0] * 10)
    # The bad one is drawn 0 times with 35 %, up to 3 times with 98.7 %: 2.5 % to 97.5 % are 0 to 3.
    assert rare == Interval(0.0, 30.0)


def test_more_recordings_leave_less_doubt() -> None:
    """A hundred times as many: about a tenth of the width."""
    few = pooled_interval([0.0, 1.0, 2.0, 3.0], [10.0] * 4)
    many = pooled_interval([0.0, 1.0, 2.0, 3.0] * 100, [10.0] * 400)
    width = many.high - many.low
    assert 5 * width < few.high - few.low < 20 * width


def test_the_same_seed_gives_the_same_interval() -> None:
    """A report that is made again says the same; another seed hardly differs."""
    errors = [1.0, 5.1, 2.2, 8.3, 3.4, 1.5, 0.6, 7.7, 4.8]
    speech = [10.0, 20.0, 15.0, 12.0, 9.0, 13.0, 18.0, 11.0, 16.0]
    one = pooled_interval(errors, speech)
    assert one == pooled_interval(errors, speech)
    other = pooled_interval(errors, speech, seed=1)
    assert other != one
    assert other.low == pytest.approx(one.low, abs=3.0)
    assert other.high == pytest.approx(one.high, abs=3.0)


def test_nothing_to_divide_by_is_no_number() -> None:
    """No recording, or none with speech; draws without any are left out."""
    for interval in (pooled_interval([], []), pooled_interval([1.0], [0.0])):
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
    assert pooled_interval([1.0, 0.0], [2.0, 0.0]) == Interval(50.0, 50.0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(1, 100)), min_size=1, max_size=12))
def test_an_interval_lies_between_the_rates_of_the_recordings(
    values: list[tuple[float, float]],
) -> None:
    """However they are drawn, a pooled rate is between the best and the worst one."""
    interval = pooled_interval(*zip(*values, strict=True), resamples=100)
    rates = [100.0 * errors / speech for errors, speech in values]
    assert min(rates) <= interval.low + 1e-6
    assert interval.low <= interval.high <= max(rates) + 1e-6
