"""Where a second voice sets in while the first goes on, and how soon that was told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from voiceflow.evaluation import Spoken

LEAST_OVERLAP_SECONDS: Final = 0.3
"""Shorter ones are no interruption: words of assent, and the ends of turns."""

EARLY_SECONDS: Final = 0.3
LATE_SECONDS: Final = 2.0
"""What is told further from an interruption belongs to another, or to none."""


def onsets(spoken: Iterable[Spoken]) -> list[float]:
    """Where a voice sets in while exactly one other speaks, which goes on for a while, in order."""
    turns = list(spoken)
    return sorted(
        one.start_seconds for one in turns if _interrupted(one, turns) >= LEAST_OVERLAP_SECONDS
    )


def noticed_seconds(true: Sequence[float], told: Sequence[tuple[float, float]]) -> list[float]:
    """How long after each interruption that was told it was told.

    Args:
        true: Where voices set in.
        told: Of each event: where it says that it was, and how much audio was known then.

    Returns:
        At most one for each interruption; what was told belongs to one alone.
    """
    left = list(told)
    found = []
    for at in true:
        near = [one for one in left if -EARLY_SECONDS <= one[0] - at <= LATE_SECONDS]
        if near:
            first = min(near, key=lambda one: one[1])
            left.remove(first)
            found.append(max(0.0, first[1] - at))
    return found


def _interrupted(one: Spoken, turns: Sequence[Spoken]) -> float:
    """How long the one voice that speaks when this sets in goes on beside it; 0: none does."""
    at = one.start_seconds
    others = [
        other
        for other in turns
        if other.speaker != one.speaker and other.start_seconds < at < other.end_seconds
    ]
    return min(others[0].end_seconds, one.end_seconds) - at if len(others) == 1 else 0.0
