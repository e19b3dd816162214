"""What speed and scale are to be, and whether they are: from what the parts have written. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.bench_targets import TARGETS, Run, Target, shape_targets

Documents = Mapping[str, Mapping[str, Any]]
"""What parts have written, by part."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the runs of one figure."""

    median: float
    lowest: float
    highest: float
    runs: int


@dataclass(frozen=True, slots=True)
class Row:
    """A target, and what was measured.

    Attributes:
        section: Of the report.
        what: Is measured.
        unit: Of all figures.
        wanted: In words; empty: it is published, and has no target.
        measured: None: it was not.
        reached: By the median of the runs; None: it was not measured, or has no target, or a tiny
            model has stood in for the one that the target is of.
    """

    section: str
    what: str
    unit: str
    wanted: str
    measured: Spread | None
    reached: bool | None

    def as_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of the runs that have the figure; None: none has."""
    found = [one for one in values if one is not None]
    if not found:
        return None
    return Spread(statistics.median(found), min(found), max(found), len(found))


def rows(documents: Documents) -> list[Row]:
    """Every target, in order, also those that were not measured."""
    return [_row(target, documents) for target in TARGETS]


def _row(target: Target, documents: Documents) -> Row:
    runs = documents.get(target.part, {}).get("runs", [])
    measured = spread(_read(target, run) for run in runs)
    stands_in = bool(documents.get(target.part, {}).get("stand_in")) and target.windowed
    reached = None
    if not stands_in and measured is not None and (target.maximum, target.minimum) != (None, None):
        reached = (target.maximum is None or measured.median <= target.maximum) and (
            target.minimum is None or measured.median >= target.minimum
        )
    return Row(target.section, target.what, target.unit, _wanted(target), measured, reached)


def _read(target: Target, run: Run) -> float | None:
    try:
        return target.read(run)
    except (KeyError, TypeError, IndexError, ZeroDivisionError):
        return None


def _wanted(target: Target) -> str:
    if target.maximum is not None:
        return f"at most {target.maximum:g} {target.unit}"
    if target.minimum is not None:
        return f"at least {target.minimum:g} {target.unit}"
    return ""


def shape_rows(shapes: Mapping[str, Run]) -> list[Row]:
    """Of each shape that `large_models` has published."""
    return [
        _row(target, {target.part: {"runs": [seen]}})
        for name, seen in shapes.items()
        for target in shape_targets(name)
    ]
