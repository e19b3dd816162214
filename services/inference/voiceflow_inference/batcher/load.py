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
        self._entries: deque[tuple[float, float]] = deque()
        self._since = clock()

    def add(self, seconds: float) -> None:
        """Takes what was measured just now."""
        self._entries.append((self._clock(), seconds))
        self._forget()

    def share(self) -> float:
        """Their sum, by the time that it was collected in."""
        self._forget()
        span = min(_WINDOW_SECONDS, max(self._clock() - self._since, 1e-3))
        return min(1.0, sum(seconds for _, seconds in self._entries) / span)

    def mean(self) -> float:
        """Their average; 0 without any."""
        self._forget()
        return sum(seconds for _, seconds in self._entries) / max(1, len(self._entries))

    def _forget(self) -> None:
        while self._entries and self._entries[0][0] < self._clock() - _WINDOW_SECONDS:
            self._entries.popleft()


_WINDOW_SECONDS: Final = 5.0
