"""Sets OpenTelemetry's SDK up: with `losses` the only module that knows it and its exporters.

Spans and metrics go out on threads of the SDK's own, from queues that drop what they cannot hold.
How often, and how long the queues are, is set as OpenTelemetry has it everywhere: OTEL_BSP_…,
OTEL_METRIC_EXPORT_INTERVAL, OTEL_EXPORTER_OTLP_HEADERS and so on.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

from google.protobuf.json_format import MessageToDict
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from prometheus_client import start_http_server

from voiceflow.telemetry.losses import CountingProcessor, quiet
from voiceflow.telemetry.settings import TelemetrySettings

_LOG = logging.getLogger(__name__)

END_SECONDS: Final = 3.0
"""What was recorded last has so long to get out; then the process ends without it."""


@contextmanager
def recording(settings: TelemetrySettings, service: str, instance: str) -> Iterator[None]:
    """Records while the block runs; see `voiceflow.telemetry.started`."""
    resource = Resource.create(
        {
            "service.name": service,
            "service.version": version("voiceflow"),
            "service.instance.id": instance or f"{service}-{os.getpid()}",
        }
    )
    with ExitStack() as stack:
        stack.enter_context(quiet())
        ends: list[_End] = []
        if settings.traces:
            ends.append(_trace(settings, resource))
        if settings.metrics:
            ends.append(_measure(settings, resource, stack))
        try:
            yield
        finally:
            _end_all(ends)


class SpanFile(SpanExporter):
    """Adds spans to a file: one OTLP request a line, as OTLP has it in JSON.

    Args:
        path: Made if it is not there.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        # Each line is written in one piece, so that several processes may share a file.
        self._file = path.open("ab", buffering=0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Adds a line."""
        request = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
        for resource in request["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    _write_ids_in_hex(span)
        self._file.write(json.dumps(request).encode() + b"\n")
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Closes the file."""
        self._file.close()


class _Exports(Protocol):
    def shutdown(self) -> object: ...


@dataclass(frozen=True)
class _End:
    """How recording ends.

    Attributes:
        send: Sends what is left, however long that takes.
        exporters: Whose end cuts that short.
        tellers: Say in the end what was lost.
    """

    send: Callable[[], None]
    exporters: Sequence[_Exports]
    tellers: Sequence[CountingProcessor] = ()


def _trace(settings: TelemetrySettings, resource: Resource) -> _End:
    exporters: list[SpanExporter] = []
    if settings.telemetry_file is not None:
        exporters.append(SpanFile(settings.telemetry_file))
    if settings.otlp_endpoint is not None:
        exporters.append(OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=_SEND_SECONDS))
    # Which hops are traced is decided where they are computed: every span that begins here is one
    # that somebody wants, but for those that a caller's own trace leaves out.
    provider = TracerProvider(
        sampler=ParentBased(ALWAYS_ON),
        resource=resource,
        shutdown_on_exit=False,
        span_limits=_LIMITS,
    )
    processors = [CountingProcessor(exporter) for exporter in exporters]
    for processor in processors:
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return _End(provider.shutdown, exporters, processors)


def _measure(settings: TelemetrySettings, resource: Resource, stack: ExitStack) -> _End:
    readers: list[MetricReader] = []
    exporters: list[OTLPMetricExporter] = []
    if settings.metrics_port is not None:
        try:
            server, thread = start_http_server(settings.metrics_port, settings.metrics_host)
        except OSError as error:
            where = f"--metrics-port {settings.metrics_port} of {settings.metrics_host}"
            raise OSError(error.errno, f"{where}: {error.strerror}") from error
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        readers.append(PrometheusMetricReader(scope_info_enabled=False))
        _LOG.info("metrics are served at %s:%d", settings.metrics_host, server.server_port)
    if settings.otlp_endpoint is not None:
        exporters.append(OTLPMetricExporter(settings.otlp_endpoint, timeout=_SEND_SECONDS))
        readers.append(PeriodicExportingMetricReader(exporters[0]))
    provider = MeterProvider(readers, resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return _End(provider.shutdown, exporters)


def _end_all(ends: Sequence[_End]) -> None:
    """Sends what is left, as far as that gets in time."""
    sending = [threading.Thread(target=end.send, daemon=True) for end in ends]
    until = time.monotonic() + END_SECONDS
    for thread in sending:
        thread.start()
    for thread, end in zip(sending, ends, strict=True):
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            _LOG.warning("what was recorded last did not get out in %g s", END_SECONDS)
            for exporter in end.exporters:
                exporter.shutdown()
        for teller in end.tellers:
            teller.tell()


def _write_ids_in_hex(span: dict[str, Any]) -> None:
    """As OTLP wants them, where protobuf's JSON has base64."""
    for holder in (span, *span.get("links", ())):
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in holder:
                holder[key] = base64.b64decode(holder[key]).hex()


_SEND_SECONDS: Final = 10.0
# As many links as a batch may have hops; texts are ours, but some hold what a caller wrote.
_LIMITS: Final = SpanLimits(
    max_span_attributes=32, max_events=16, max_links=256, max_attribute_length=1024
)
