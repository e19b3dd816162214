"""Calls of a model alone, one after another: the limit that its servers are set beside."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.bare import Bare
from voiceflow.package import ModelPackage

_WARM_UP_CALLS = 3


@dataclass(frozen=True, slots=True)
class Alone:
    """Calls with one row, on one thread.

    Attributes:
        latencies: In seconds, of each.
        wall_seconds: All of them.
        cpu_seconds: Processor time of all of them.
    """

    latencies: list[float]
    wall_seconds: float
    cpu_seconds: float


def alone(
    package: ModelPackage, *, calls: int | None = None, seconds: float | None = None
) -> Alone:
    """Runs a model, after a warm-up.

    Args:
        package: Of the model.
        calls: How many; None: as many as begin within `seconds`.
        seconds: No call begins later.
    """
    model = Bare(package)
    feeds = model.feeds(1)
    for _ in range(_WARM_UP_CALLS):
        model.call(feeds)
    latencies: list[float] = []
    cpu, start = time.process_time(), time.perf_counter()
    before = start
    while (calls is None or len(latencies) < calls) and (
        seconds is None or before - start < seconds
    ):
        model.call(feeds)
        after = time.perf_counter()
        latencies.append(after - before)
        before = after
    return Alone(latencies, before - start, time.process_time() - cpu)
