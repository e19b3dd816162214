"""Prints the names under which Prometheus sees every instrument: run as a process of its own.

Each instrument says one thing, to the exporter that the services use.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Counter, Histogram, UpDownCounter, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from voiceflow.telemetry import metrics

if __name__ == "__main__":
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    with ExitStack() as stack:
        for name, instrument in vars(metrics).items():
            if not name.isupper():
                continue
            match instrument:
                case metrics.Gauge():
                    stack.enter_context(instrument.told_by(lambda: [(1, {})]))
                case Counter() | UpDownCounter():
                    instrument.add(1)
                case Histogram():
                    instrument.record(1)
        lines = generate_latest(registry).decode().splitlines()
    names = {line.partition(" ")[0].partition("{")[0] for line in lines if line[0] != "#"}
    sys.stdout.write(json.dumps(sorted(names)))
