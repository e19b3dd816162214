"""The search for the largest load that holds."""

from __future__ import annotations

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
    assert tried == [20, 40, 80, 160, 120, 140, 130, 135]


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


def test_no_size_is_tried_twice() -> None:
    """That would be for nothing."""
    for limit in range(1, 300):
        sizes = [one.size for one in searched(limit).tried]
        assert len(sizes) == len(set(sizes))


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
