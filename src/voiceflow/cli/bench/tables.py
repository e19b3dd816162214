"""Shows what a load came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from voiceflow.bench.figures import CallFigures, Percentiles, StreamFigures
from voiceflow.bench.search import Search

Rows = Sequence[tuple[str, str]]


def show_streams(console: Console, found: StreamFigures) -> None:
    """Shows a load of live streams."""
    shown = [
        ("streams", f"{found.streams} of {found.seconds:g} s"),
        ("hops", str(found.hops)),
        *_latency("compute latency", found.latency),
        ("lag growth", _number(found.lag_growth_milliseconds, "ms")),
        ("server: processor time", _number(found.server_cpu_milliseconds, "ms a stream-second")),
        ("server: memory at most", _number(found.server_resident_megabytes, "MB")),
        ("server: grown by", _number(found.server_resident_megabytes_per_stream, "MB a stream")),
        (
            "generator: processor time",
            _number(found.generator_cpu_milliseconds, "ms a stream-second"),
        ),
        ("generator: late, P99", _number(found.generator_late_p99_milliseconds, "ms")),
        ("other processes", _number(found.other_processes_percent, "% of this machine")),
        ("refused", str(found.refused)),
        ("failed", str(found.failed)),
    ]
    _show(console, shown, found.reasons)


def show_calls(console: Console, found: CallFigures) -> None:
    """Shows a load of calls."""
    accounted = _number(found.calls_per_second_accounted, "a second")
    shown = [
        ("clients", str(found.clients)),
        ("calls", str(found.calls)),
        ("succeeded", f"{found.success_percent:g} %"),
        ("throughput", _number(found.calls_per_second, "a second")),
        ("had the clients cost nothing", accounted),
        (
            "for a processor second of the server",
            _number(found.calls_per_server_cpu_second, "calls"),
        ),
        *_latency("latency", found.latency),
        ("server: processor time", _number(found.server_cpu_seconds, "s")),
        ("clients: processor time", _number(found.client_cpu_seconds, "s")),
        ("wall time", _number(found.wall_seconds, "s")),
        ("other processes", _number(found.other_processes_percent, "% of this machine")),
    ]
    _show(console, shown, found.reasons)


def largest_line(search: Search, bound_milliseconds: float) -> str:
    """What a search has found."""
    if not search.tried:
        return "nothing was tried: there was no time"
    if not search.largest:
        return (
            f"not even {search.smallest_not} streams hold with P99 under {bound_milliseconds:g} ms"
        )
    found = f"{search.largest} streams hold with P99 under {bound_milliseconds:g} ms"
    failed = search.smallest_not
    return f"{found}; {failed} do not" if failed else f"{found}; more were not tried"


def _latency(what: str, found: Percentiles | None) -> Rows:
    if found is None:
        return [(what, "-")]
    return [
        (f"{what}, P50", _number(found.p50_milliseconds, "ms")),
        (f"{what}, P95", _number(found.p95_milliseconds, "ms")),
        (f"{what}, P99", _number(found.p99_milliseconds, "ms")),
        (f"{what}, most", _number(found.max_milliseconds, "ms")),
    ]


def _show(console: Console, rows: Rows, reasons: Mapping[str, int]) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in [*rows, *((f"  {reason}", str(count)) for reason, count in reasons.items())]:
        table.add_row(*row)
    console.print(table)


def _number(value: float | None, unit: str) -> str:
    """A figure that there is none of is a dash."""
    return "-" if value is None else f"{value:g} {unit}"
