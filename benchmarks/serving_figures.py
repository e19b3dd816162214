"""What calls of a server come to: throughput, latency, processor time, memory."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one stretch of calls.

    Attributes:
        calls: Answered.
        failed: Not answered.
        success_percent: Answered, of all.
        calls_per_second: Answered.
        latency_p50_milliseconds: Of those that were answered; None if none was.
        latency_p95_milliseconds: Likewise.
        latency_p99_milliseconds: Likewise.
        server_cpu_milliseconds_per_call: Processor time of all of the server's processes.
        client_cpu_milliseconds_per_call: Of the clients' process; None if there was none.
        resident_megabytes: Memory of all of the server's processes at the end.
    """

    calls: int
    failed: int
    success_percent: float
    calls_per_second: float
    latency_p50_milliseconds: float | None
    latency_p95_milliseconds: float | None
    latency_p99_milliseconds: float | None
    server_cpu_milliseconds_per_call: float | None
    client_cpu_milliseconds_per_call: float | None
    resident_megabytes: float


def figures(
    latencies: Sequence[float],
    failures: Mapping[str, int],
    *,
    wall_seconds: float,
    server_cpu_seconds: float,
    client_cpu_seconds: float | None,
    resident_bytes: int,
) -> Figures:
    """Sums up a stretch of calls.

    Args:
        latencies: In seconds, of the calls that were answered.
        failures: How many were not, by reason.
        wall_seconds: From the first call to the last answer.
        server_cpu_seconds: Meanwhile.
        client_cpu_seconds: Meanwhile.
        resident_bytes: At the end.
    """
    answered, failed = len(latencies), sum(failures.values())
    every = answered + failed
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]) * 1000 if answered else [None] * 3

    def per_call(seconds: float | None) -> float | None:
        return None if seconds is None or not every else round(1000 * seconds / every, 3)

    return Figures(
        calls=answered,
        failed=failed,
        success_percent=round(100 * answered / every, 2) if every else 0.0,
        calls_per_second=round(answered / wall_seconds, 1),
        latency_p50_milliseconds=_rounded(p50),
        latency_p95_milliseconds=_rounded(p95),
        latency_p99_milliseconds=_rounded(p99),
        server_cpu_milliseconds_per_call=per_call(server_cpu_seconds),
        client_cpu_milliseconds_per_call=per_call(client_cpu_seconds),
        resident_megabytes=round(resident_bytes / 1e6, 1),
    )


def median(runs: Sequence[Figures]) -> Figures:
    """The median of each figure; calls and failures are those of all runs."""
    values: dict[str, Any] = {}
    for field in fields(Figures):
        known = [value for run in runs if (value := getattr(run, field.name)) is not None]
        values[field.name] = round(statistics.median(known), 3) if known else None
    calls, failed = sum(run.calls for run in runs), sum(run.failed for run in runs)
    success = round(100 * calls / (calls + failed), 2) if calls + failed else 0.0
    return Figures(**values | {"calls": calls, "failed": failed, "success_percent": success})


def reasons(failures: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """How often calls failed for each reason, in all stretches."""
    total: Counter[str] = Counter()
    for one in failures:
        total.update(one)
    return dict(total)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 2)
