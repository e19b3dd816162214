"""What this process has counted, for tests that look at counters before and after."""

from __future__ import annotations

from functools import cache

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Sum


def counted(name: str, **attributes: str) -> float:
    """The sum of a counter over all points that have these attributes; 0 if there are none.

    What was counted before the first call in a process is not seen: call it once before.
    """
    data = _reader().get_metrics_data()
    points = [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name and isinstance(metric.data, Sum)
        for point in metric.data.data_points
    ]
    return sum(
        point.value for point in points if attributes.items() <= (point.attributes or {}).items()
    )


@cache
def _reader() -> InMemoryMetricReader:
    """The one of the process: a provider can be set once."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader
