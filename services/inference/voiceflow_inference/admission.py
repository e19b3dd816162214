"""Who may come in: pure counting against limits, no clock and no I/O of its own.

Live streams count by their cost: one in agent mode costs as much of the machine as several in
density mode. Recordings run on what live streams leave over and are counted apart. What is refused
is refused at once and told when to try again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from voiceflow.errors import Overloaded, Unavailable
from voiceflow_inference.batcher import EngineLoad


class StreamKind(StrEnum):
    """What is counted apart."""

    STREAM = "stream"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Limits of one server.

    Attributes:
        streams: Live streams at once, in density mode.
        streams_per_principal: Of these for one principal.
        files: Recordings at once.
        files_per_principal: Of these for one principal.
        lag_seconds: Nobody is let in while the oldest live hop waits longer than this.
        real_time_factor: Nobody is let in while live hops keep the engine busier than this.
    """

    streams: int
    streams_per_principal: int
    files: int
    files_per_principal: int
    lag_seconds: float
    real_time_factor: float


class Admission:
    """Counts who is in and says who may come.

    Args:
        limits: What is allowed.
        load: How busy the engine is.
    """

    def __init__(self, limits: AdmissionLimits, load: Callable[[], EngineLoad]) -> None:
        self.limits = limits
        self.draining = False
        self.refusals: Counter[str] = Counter()
        self._load = load
        self._used: defaultdict[StreamKind, float] = defaultdict(float)
        self._used_by: defaultdict[tuple[StreamKind, str], float] = defaultdict(float)
        self._counts: Counter[StreamKind] = Counter()

    def count(self, kind: StreamKind) -> int:
        """How many of a kind are in."""
        return self._counts[kind]

    def check_open(self) -> None:
        """Refuses everybody while the server drains.

        Raises:
            Unavailable: It does.
        """
        if self.draining:
            self.refusals["DRAINING"] += 1
            raise Unavailable("the server is shutting down; try another one", reason="DRAINING")

    @contextmanager
    def admitted(self, principal: str, kind: StreamKind, cost: float = 1.0) -> Iterator[None]:
        """Holds a place while the block runs.

        Args:
            principal: Who asks.
            kind: What for.
            cost: Places that a live stream takes: 1 in density mode.

        Raises:
            Unavailable: The server drains.
            Overloaded: No place, for this principal or for anybody, or the machine is behind.
        """
        self.check_open()
        try:
            self._check(principal, kind, cost)
        except Overloaded as error:
            self.refusals[error.reason] += 1
            raise
        self._count(principal, kind, cost, 1)
        try:
            yield
        finally:
            self._count(principal, kind, -cost, -1)

    def _check(self, principal: str, kind: StreamKind, cost: float) -> None:
        limits = self.limits
        is_file = kind is StreamKind.FILE
        everybody = limits.files if is_file else limits.streams
        one = limits.files_per_principal if is_file else limits.streams_per_principal
        if self._used[kind] + cost > everybody + _ROUNDING:
            raise Overloaded(
                f"{self._counts[kind]} {kind}s are being served; there is room for {everybody}",
                reason=f"{kind.upper()}S_FULL",
                retry_after_seconds=_FULL_RETRY_SECONDS,
            )
        if self._used_by[kind, principal] + cost > one + _ROUNDING:
            raise Overloaded(
                f"one client may have {one} {kind}s at once",
                reason=f"{kind.upper()}S_PER_CLIENT_FULL",
                retry_after_seconds=_FULL_RETRY_SECONDS,
            )
        load = self._load()
        lag_seconds = load.queue_age_seconds + load.delivery_seconds
        if lag_seconds > limits.lag_seconds or load.real_time_factor > limits.real_time_factor:
            raise Overloaded(
                f"live streams wait {lag_seconds:.2f} s and use"
                f" {load.real_time_factor:.0%} of the engine; allowed are"
                f" {limits.lag_seconds:.2f} s and {limits.real_time_factor:.0%}",
                reason="SERVER_BEHIND",
                retry_after_seconds=_BEHIND_RETRY_SECONDS,
            )

    def _count(self, principal: str, kind: StreamKind, cost: float, number: int) -> None:
        self._counts[kind] += number
        self._used[kind] += cost
        self._used_by[kind, principal] += cost
        if self._used_by[kind, principal] < _ROUNDING:
            del self._used_by[kind, principal]


# Costs are added and taken away again in any order.
_ROUNDING: Final = 1e-6
_FULL_RETRY_SECONDS: Final = 5.0
_BEHIND_RETRY_SECONDS: Final = 2.0
