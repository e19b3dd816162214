"""The largest load that holds, in a bounded number of trials. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLOSENESS: Final = 0.05
"""The search ends when what holds and what does not are no further apart, of what holds."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One load that was tried.

    Attributes:
        size: Of the load.
        held: Whether it stayed within its bound.
    """

    size: int
    held: bool


class Search:
    """Doubles the load until it does not hold, then halves the gap.

    What does not hold is tried once more, since the machine may have stopped for a moment. Takes
    for granted that what does not hold does not hold in more.

    Args:
        first: Size of the first trial.
        most: Size that is not exceeded.
        trials: At most.

    Attributes:
        tried: So far, in order.
    """

    def __init__(self, first: int, most: int, trials: int) -> None:
        self._first = min(first, most)
        self._most = most
        self._trials = trials
        self.tried: list[Trial] = []

    @property
    def largest(self) -> int:
        """That has held; 0: none."""
        return max((one.size for one in self.tried if one.held), default=0)

    @property
    def smallest_not(self) -> int | None:
        """That has not held; None: all have."""
        held = {one.size for one in self.tried if one.held}
        return min((one.size for one in self.tried if one.size not in held), default=None)

    def next(self) -> int | None:
        """Size of the next trial; None: it is over."""
        held, failed = self.largest, self.smallest_not
        if len(self.tried) >= self._trials or held == self._most:
            return None
        if not self.tried:
            return self._first
        last = self.tried[-1]
        if not last.held and self.tried.count(last) == 1:
            return last.size
        if failed is None:
            return min(2 * held, self._most)
        if failed - held <= max(1, round(CLOSENESS * held)):
            return None
        return (held + failed) // 2

    def tell(self, size: int, *, held: bool) -> None:
        """What came of a trial."""
        self.tried.append(Trial(size, held))
