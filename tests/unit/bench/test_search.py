"""The search for the largest load that holds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.bench.search import CLOSENESS, Search, Trial


def searched(limit: int, first: int = 20, most: int = 2000, trials: int = 100) -> Search:
    """A search where so many hold, and no more."""
    search = Search(first, most, trials)
    while (size := search.next()) is not None:
        search.tell(size, held=size <= limit)
    return search


def test_it_doubles_and_then_halves_the_gap() -> None:
    """From what was asked for at first."""
    tried = [one.size for one in searched(130, first=20).tried]
    assert tried == [20, 40, 80, 160, 160, 120, 140, 140, 130, 135, 135]


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 500), st.integers(1, 2000))
def test_it_ends_close_to_the_largest_that_holds(limit: int, first: int, most: int) -> None:
    """Never above what holds or may be tried; within its closeness of what does not."""
    search = searched(limit, first, most)
    assert search.largest <= min(limit, most)
    assert all(one.size <= most for one in search.tried)
    if search.smallest_not is None:
        assert search.largest == most
    else:
        gap = search.smallest_not - search.largest
        assert gap <= max(1, round(CLOSENESS * search.largest))


def test_only_what_does_not_hold_is_tried_twice() -> None:
    """And no more often than that."""
    for limit in range(1, 300):
        times = Counter(searched(limit).tried)
        assert all(count == (1 if one.held else 2) for one, count in times.items())


def test_what_holds_the_second_time_holds() -> None:
    """A machine that stopped for a moment is no limit."""
    search = Search(first=20, most=80, trials=100)
    for held in (True, False, True, True):
        size = search.next()
        assert size is not None
        search.tell(size, held=held)
    assert [one.size for one in search.tried] == [20, 40, 40, 80]
    assert (search.next(), search.largest, search.smallest_not) == (None, 80, None)


def test_it_takes_no_more_trials_than_it_may() -> None:
    """What it has found by then stands."""
    search = searched(1000, trials=4)
    assert search.tried == [Trial(size, held=True) for size in (20, 40, 80, 160)]
    assert search.largest == 160
    assert search.smallest_not is None


@pytest.mark.parametrize("first", [1, 16])
def test_nothing_holds(first: int) -> None:
    """It goes down to one, and says so."""
    search = searched(0, first=first)
    assert search.largest == 0
    assert search.smallest_not == 1
