"""Shows latency budgets: for people, and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from voiceflow.budget import (
    COMPARED_HOPS,
    TOLERANCE_SECONDS,
    TOLERANCE_SHARE,
    WAITING,
    Budget,
    Change,
    Difference,
    Period,
    Row,
    StageDifference,
)
from voiceflow.budget_spans import Left, TracedHop


def show(
    console: Console,
    made: Sequence[Budget],
    differ: Sequence[Difference],
    left: Sequence[Left] = (),
) -> None:
    """Shows the budget of each version and period, and what sets versions apart.

    Args:
        console: Where.
        made: The budgets.
        differ: Between their versions.
        left: Versions that were left by the way.
    """
    for one in made:
        _show(console, one)
    for difference in differ:
        console.print(_difference(difference))
    for gone in left:
        under = f", under promotion {gone.promotion}" if gone.promotion else ""
        console.print(
            f"{gone.process or 'A service'} left {_name(gone.version)} of its own accord at"
            f" {_clock(gone.at)}{under}: {gone.reason}"
        )


def show_slowest(console: Console, slowest: Sequence[TracedHop]) -> None:
    """Shows hops, and what each is found by."""
    table = Table("At (UTC)")
    table.add_column("End to end ms", justify="right")
    for heading in ("Slowest stage", "Version", "Role", "Session"):
        table.add_column(heading, overflow="fold")
    table.add_column("In the audio s", justify="right")
    table.add_column("Trace", no_wrap=True)
    for one in slowest:
        period = one.hop.period
        table.add_row(
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            f"{one.hop.end_to_end_seconds * 1e3:.2f}",
            _slowest_stage(one),
            _name(one.hop.version),
            "" if period is None else _in_short(period),
            one.session,
            f"{one.audio_end_seconds:.2f}",
            one.trace_id,
        )
    console.print(table)


def budget_data(budget: Budget) -> dict[str, Any]:
    """A budget as JSON has it."""
    period = budget.period
    return {
        **asdict(budget),
        "period": None if period is None else _period_data(period),
        "slowest": budget.slowest.name,
        "busiest": None if budget.busiest is None else budget.busiest.name,
    }


def left_data(left: Left) -> dict[str, Any]:
    """A version that was left, likewise."""
    return asdict(left) | {"at": left.at.isoformat()}


def hop_data(one: TracedHop) -> dict[str, Any]:
    """A hop, likewise."""
    hop = one.hop
    return {
        "at": one.at.isoformat(),
        "trace_id": one.trace_id,
        "session": one.session,
        "audio_end_seconds": one.audio_end_seconds,
        "version": hop.version,
        "period": None if hop.period is None else _period_data(hop.period),
        "drawn": one.drawn,
        "end_to_end_seconds": hop.end_to_end_seconds,
        "stages": dict(hop.stages),
    }


def _show(console: Console, budget: Budget) -> None:
    console.print(f"{_name(budget.version)}{_served(budget.period)}: {budget.hops} hops")
    table = Table("Stage")
    for heading in ("Median ms", "P95 ms", "P99 ms", "Share"):
        table.add_column(heading, justify="right")
    for row in budget.stages:
        table.add_row(*_cells(row), style="bold" if row is budget.slowest else None)
    table.add_section()
    for row in (budget.total, budget.end_to_end):
        table.add_row(*_cells(row))
    console.print(table)
    where = f"Most of the time goes to {budget.slowest.name}: {budget.slowest.share:.0%}"
    if budget.slowest.name in WAITING and budget.busiest is not None:
        where += (
            ", where hops may wait for others; of the stages without waiting, to"
            f" {budget.busiest.name}: {budget.busiest.share:.0%}"
        )
    console.print(f"{where}.")
    console.print(
        f"{budget.adding_up:.1%} of the hops add up to their own end to end, within"
        f" {TOLERANCE_SHARE:.0%} or {TOLERANCE_SECONDS * 1e3:g} ms."
    )


def _cells(row: Row) -> tuple[str, ...]:
    times = (row.median_seconds, row.p95_seconds, row.p99_seconds)
    return (row.name, *(f"{seconds * 1e3:.2f}" for seconds in times), f"{row.share:.1%}")


def _served(period: Period | None) -> str:
    if period is None:
        return ""
    least = " at least" if period.or_earlier else ""
    if period.until is None:
        return f", {period.role}{least} since {_change(period.since)}"
    return f", {period.role}{least} from {_change(period.since)} to {_change(period.until)}"


def _in_short(period: Period) -> str:
    promotion = period.since.promotion
    return f"{period.role} since {promotion}" if promotion else period.role


def _change(change: Change) -> str:
    if not change.promotion:
        return _clock(change.at)
    kind = "" if change.kind in {"", "promote"} else f"{change.kind.replace('_', ' ')}, "
    return f"promotion {change.promotion} ({kind}committed {_clock(change.at)})"


def _difference(one: Difference) -> str:
    names = f"{_number(one.version)} differs from {_number(one.base)}"
    if one.hops < COMPARED_HOPS:
        return f"{names} by what {one.hops} hops do not tell; {COMPARED_HOPS} are compared."
    if one.working is None and one.waiting is None:
        return (
            f"{names} in no stage by more than {TOLERANCE_SECONDS * 1e3:g} ms and"
            f" {TOLERANCE_SHARE:.0%} of a hop, by their medians."
        )
    if one.working is None:
        assert one.waiting is not None  # noqa: S101 - as just seen
        return f"{names} most in {_medians(one.waiting)}, where hops may wait for others."
    waits = "" if one.waiting is None else f" Of where hops wait, in {_medians(one.waiting)}."
    return f"{names} most in {_medians(one.working)}.{waits}"


def _medians(one: StageDifference) -> str:
    return f"{one.stage}: {one.seconds * 1e3:.1f} ms against {one.base_seconds * 1e3:.1f} ms"


def _slowest_stage(one: TracedHop) -> str:
    stages = one.hop.stages
    if not stages:
        return ""
    name = max(stages, key=lambda stage: stages[stage])
    return f"{name} {stages[name] * 1e3:.2f}"


def _name(version: str) -> str:
    return version.removeprefix("models/").replace("/versions/", " ")


def _number(version: str) -> str:
    return version.rpartition("/")[2]


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _period_data(period: Period) -> dict[str, Any]:
    return {
        "role": period.role,
        "since": _change_data(period.since),
        "or_earlier": period.or_earlier,
        "until": None if period.until is None else _change_data(period.until),
    }


def _change_data(change: Change) -> dict[str, Any]:
    return {"promotion": change.promotion, "kind": change.kind, "at": change.at.isoformat()}
