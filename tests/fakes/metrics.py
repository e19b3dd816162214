"""What this process has counted, for tests that look at counters before and after."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, Histogram, InMemoryMetricReader, Sum


def counted(name: str, **attributes: str) -> float:
    """The sum of a counter over all points that have these attributes; 0 if there are none.

    What was counted before the first call in a process is not seen: call it once before.
    """
    return sum((point.value for point in _points(name, Sum, attributes)), 0.0)


def histogram_count(name: str, **attributes: str) -> int:
    """Likewise, how many values were recorded in a histogram."""
    return sum(point.count for point in _points(name, Histogram, attributes))


def told(name: str, **attributes: str) -> list[float]:
    """What a gauge says now, at every point that has these attributes."""
    return [point.value for point in _points(name, Gauge, attributes)]


def _points(name: str, kind: type, attributes: Mapping[str, str]) -> list[Any]:
    data = _reader().get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name and isinstance(metric.data, kind)
        for point in metric.data.data_points
        if attributes.items() <= (point.attributes or {}).items()
    ]


@cache
def _reader() -> InMemoryMetricReader:
    """The one of the process: a provider can be set once."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader
