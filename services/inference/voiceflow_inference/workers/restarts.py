"""When a worker that ended is started anew. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STEADY_SECONDS: Final = 60.0
"""Who has served so long owes nothing to those before."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """The ends of one worker, one after the other.

    Attributes:
        in_a_row: Of these, since one that had served steadily.
    """

    in_a_row: int = 0

    def after(self, served_seconds: float) -> tuple[Restarts, float]:
        """What follows another end.

        Args:
            served_seconds: How long the worker had served; 0: it never did.

        Returns:
            The ends with this one, and the pause in seconds before the next start: none after the
            first, then 1 s, 2 s, 4 s, and so on up to a minute.
        """
        before = 0 if served_seconds >= STEADY_SECONDS else self.in_a_row
        doublings = min(before - 1, _MOST_DOUBLINGS)
        pause = FIRST_PAUSE_SECONDS * 2**doublings if before else 0.0
        return Restarts(before + 1), min(pause, LONGEST_PAUSE_SECONDS)


_MOST_DOUBLINGS: Final = 10
"""Past the longest pause; without it the power would grow for ever."""
