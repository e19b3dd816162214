"""The latency budget: how long hops take in each of their stages, on each version. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

STAGES: Final = (
    "client encode",
    "network",
    "receive",
    "decode",
    "queue",
    "gather",
    "infer",
    "scatter",
    "identity",
    "turns",
    "serialise",
    "send",
    "client parse",
)
"""Of a hop on its whole way, in order."""

TOLERANCE_SHARE: Final = 0.05
TOLERANCE_SECONDS: Final = 1e-3


@dataclass(frozen=True, slots=True)
class MeasuredHop:
    """One hop.

    Attributes:
        version: Of the model that computed it, `models/{model}/versions/{semver}`.
        stages: Seconds in each stage that was recorded.
        end_to_end_seconds: Measured by itself, not as their sum.
    """

    version: str
    stages: Mapping[str, float]
    end_to_end_seconds: float

    @property
    def adds_up(self) -> bool:
        """Whether its stages sum to its end to end, within 5 % of it or 1 ms."""
        difference = abs(sum(self.stages.values()) - self.end_to_end_seconds)
        return difference <= max(TOLERANCE_SECONDS, TOLERANCE_SHARE * self.end_to_end_seconds)


@dataclass(frozen=True, slots=True)
class Row:
    """What many hops took in one stage.

    Attributes:
        name: Of the stage.
        median_seconds: Half of the hops took no longer; a hop without the stage took none.
        p95_seconds: Likewise, 95 of 100.
        p99_seconds: Likewise, 99 of 100.
        share: Of all the time that all hops took end to end.
    """

    name: str
    median_seconds: float
    p95_seconds: float
    p99_seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the time of a version's hops goes.

    Attributes:
        version: `models/{model}/versions/{semver}`.
        hops: How many there are.
        stages: Those that were recorded, in order.
        total: Of each hop's sum of stages.
        end_to_end: Of each hop as measured by itself.
        adding_up: Share of hops whose stages sum to their own end to end.
    """

    version: str
    hops: int
    stages: tuple[Row, ...]
    total: Row
    end_to_end: Row
    adding_up: float

    @property
    def slowest(self) -> Row:
        """The stage that most of the time goes to."""
        return max(self.stages, key=lambda row: row.share)


def budgets(hops: Iterable[MeasuredHop]) -> list[Budget]:
    """A budget for each version, those with the most hops first."""
    by_version: dict[str, list[MeasuredHop]] = {}
    for hop in hops:
        by_version.setdefault(hop.version, []).append(hop)
    made = [_budget(version, group) for version, group in by_version.items()]
    return sorted(made, key=lambda budget: (-budget.hops, budget.version))


def _budget(version: str, hops: Sequence[MeasuredHop]) -> Budget:
    whole = np.array([hop.end_to_end_seconds for hop in hops])
    sums = np.array([sum(hop.stages.values()) for hop in hops])
    spent = float(whole.sum())

    def row(name: str, seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Row:
        median, p95, p99 = np.percentile(seconds, (50, 95, 99)).tolist()
        return Row(name, median, p95, p99, float(seconds.sum()) / spent if spent else 0.0)

    return Budget(
        version,
        len(hops),
        tuple(
            row(name, np.array([hop.stages.get(name, 0.0) for hop in hops]))
            for name in _recorded(hops)
        ),
        row("sum", sums),
        row("end to end", whole),
        sum(hop.adds_up for hop in hops) / len(hops),
    )


def _recorded(hops: Iterable[MeasuredHop]) -> list[str]:
    """The stages of hops: those that are known in their order, then what a newer server tells."""
    seen = dict.fromkeys(name for hop in hops for name in hop.stages)
    return [name for name in STAGES if name in seen] + [name for name in seen if name not in STAGES]
