"""The latency budget: how long hops take in each of their stages, on each version. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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

WAITING: Final = frozenset({"network", "receive", "queue", "scatter", "send"})
"""Stages in which a hop waits for its turn: they grow with what other hops do in the others."""

COMPARED_HOPS: Final = 20
"""Of fewer no median is compared."""

TOLERANCE_SHARE: Final = 0.05
TOLERANCE_SECONDS: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Change:
    """When a version got a role, or lost it.

    Attributes:
        promotion: Number of the one that did it; 0: a folder was served, or nothing more is known.
        kind: `promote`, `rollback`, `automatic_rollback`; empty likewise.
        at: When it was committed; without a promotion, when a service did it.
    """

    promotion: int
    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """For how long a version has had one role.

    Attributes:
        role: `primary`, `canary` or `shadow`.
        since: The change that gave it the role.
        or_earlier: Nothing is known of what was before that: it may have been an earlier one.
        until: The change that ended it; None: it still has the role.
    """

    role: str
    since: Change
    or_earlier: bool = False
    until: Change | None = None


@dataclass(frozen=True, slots=True)
class MeasuredHop:
    """One hop.

    Attributes:
        version: Of the model that computed it, `models/{model}/versions/{semver}`.
        stages: Seconds in each stage that was recorded.
        end_to_end_seconds: Measured by itself, not as their sum.
        period: In which of its version's it was computed; None: that is not known.
    """

    version: str
    stages: Mapping[str, float]
    end_to_end_seconds: float
    period: Period | None = None

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
    """Where the time of a version's hops goes, in one period.

    Attributes:
        version: `models/{model}/versions/{semver}`.
        period: Which; None: that is not known.
        hops: How many there are.
        stages: Those that were recorded, in order.
        total: Of each hop's sum of stages.
        end_to_end: Of each hop as measured by itself.
        adding_up: Share of hops whose stages sum to their own end to end.
    """

    version: str
    period: Period | None
    hops: int
    stages: tuple[Row, ...]
    total: Row
    end_to_end: Row
    adding_up: float

    @property
    def slowest(self) -> Row:
        """The stage that most of the time goes to."""
        return max(self.stages, key=lambda row: row.share)

    @property
    def busiest(self) -> Row | None:
        """The stage that most of the time goes to without waiting; None: hops wait in all."""
        working = [row for row in self.stages if row.name not in WAITING]
        return max(working, key=lambda row: row.share, default=None)


@dataclass(frozen=True, slots=True)
class StageDifference:
    """What hops of two versions took in one stage.

    Attributes:
        stage: Its name.
        seconds: Median of the one.
        base_seconds: Of the other.
    """

    stage: str
    seconds: float
    base_seconds: float

    @property
    def size_seconds(self) -> float:
        """Without sign."""
        return abs(self.seconds - self.base_seconds)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the hops of two versions of a model differ, by their medians.

    Attributes:
        version: The one.
        base: The other, which has more hops.
        hops: The smaller number of hops that were compared; under `COMPARED_HOPS` they were not.
        working: The stage without waiting in which they differ most; None: none that matters.
        waiting: Likewise with waiting; None, too, where they differ more in the other.
    """

    version: str
    base: str
    hops: int
    working: StageDifference | None
    waiting: StageDifference | None


def budgets(hops: Iterable[MeasuredHop]) -> list[Budget]:
    """A budget for each version and period, those with the most hops first."""
    groups: dict[tuple[str, Period | None], list[MeasuredHop]] = {}
    for hop in hops:
        groups.setdefault((hop.version, hop.period), []).append(hop)
    made = [_budget(version, period, group) for (version, period), group in groups.items()]
    return sorted(made, key=lambda budget: (-budget.hops, budget.version))


def differences(hops: Iterable[MeasuredHop]) -> list[Difference]:
    """How each version differs from that of its model which has the most hops.

    A slow stage makes other hops wait, in stages that are none the slower for it: those are told
    apart. A difference matters if it is more than 1 ms and 5 % of a hop of the base.
    """
    by_version: dict[str, list[MeasuredHop]] = {}
    for hop in hops:
        by_version.setdefault(hop.version, []).append(hop)
    bases: dict[str, str] = {}
    made = []
    for version in sorted(by_version, key=lambda one: (-len(by_version[one]), one)):
        base = bases.setdefault(version.partition("/versions/")[0], version)
        if base != version:
            made.append(_difference(version, by_version[version], base, by_version[base]))
    return made


def _difference(
    version: str, hops: Sequence[MeasuredHop], base: str, base_hops: Sequence[MeasuredHop]
) -> Difference:
    if len(hops) < COMPARED_HOPS:
        return Difference(version, base, len(hops), None, None)
    whole_seconds = float(np.median([hop.end_to_end_seconds for hop in base_hops]))
    matters_seconds = max(TOLERANCE_SECONDS, TOLERANCE_SHARE * whole_seconds)
    found = [
        StageDifference(stage, _median_seconds(hops, stage), _median_seconds(base_hops, stage))
        for stage in _recorded((*base_hops, *hops))
    ]
    matter = [one for one in found if one.size_seconds > matters_seconds]

    def most(differences: Iterable[StageDifference]) -> StageDifference | None:
        return max(differences, key=lambda one: one.size_seconds, default=None)

    working = most(one for one in matter if one.stage not in WAITING)
    waiting = most(one for one in matter if one.stage in WAITING)
    if working and waiting and working.size_seconds >= waiting.size_seconds:
        waiting = None
    return Difference(version, base, len(hops), working, waiting)


def _median_seconds(hops: Iterable[MeasuredHop], stage: str) -> float:
    return float(np.median([hop.stages.get(stage, 0.0) for hop in hops]))


def _budget(version: str, period: Period | None, hops: Sequence[MeasuredHop]) -> Budget:
    whole = np.array([hop.end_to_end_seconds for hop in hops])
    sums = np.array([sum(hop.stages.values()) for hop in hops])
    spent = float(whole.sum())

    def row(name: str, seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Row:
        median, p95, p99 = np.percentile(seconds, (50, 95, 99)).tolist()
        return Row(name, median, p95, p99, float(seconds.sum()) / spent if spent else 0.0)

    return Budget(
        version,
        period,
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
