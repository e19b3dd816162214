"""How busy an engine is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy the engine is, by live hops alone.

    Attributes:
        queue_hops: Live hops that wait.
        queue_age_seconds: How long the oldest of them has waited.
        real_time_factor: Share of the last seconds in which the engine computed live hops.
        delivery_seconds: How long recent results waited for the event loop, on average.
    """

    queue_hops: int
    queue_age_seconds: float
    real_time_factor: float
    delivery_seconds: float


class Recent:
    """Seconds measured in the last while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: deque[tuple[float, int]] = deque()  # when, and nanoseconds
        self._total_ns = 0
        self._since = clock()

    def add(self, seconds: float) -> None:
        """Takes what was measured just now."""
        entry_ns = round(seconds * 1e9)
        self._entries.append((self._clock(), entry_ns))
        self._total_ns += entry_ns
        self._forget()

    def share(self) -> float:
        """Their sum, by the time that it was collected in."""
        self._forget()
        span = min(_WINDOW_SECONDS, max(self._clock() - self._since, 1e-3))
        return min(1.0, self._total_ns / 1e9 / span)

    def mean(self) -> float:
        """Their average; 0 without any."""
        self._forget()
        return self._total_ns / 1e9 / max(1, len(self._entries))

    def _forget(self) -> None:
        oldest = self._clock() - _WINDOW_SECONDS
        while self._entries and self._entries[0][0] < oldest:
            self._total_ns -= self._entries.popleft()[1]


_WINDOW_SECONDS: Final = 5.0
