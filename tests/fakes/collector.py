"""A collector on loopback: takes OTLP over gRPC, as any collector does, and shows what has come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Span:
    """One span that has ended, as it came.

    Attributes:
        name: Such as `voiceflow.hop`.
        trace_id: In hex, as the next three.
        span_id: Its own.
        parent_id: Empty: it has none.
        links: Spans that it is linked to, as (trace, span).
        start_ns: Since the epoch.
        end_ns: Likewise.
        attributes: Its own.
        resource: Those of the process.
        kind: `INTERNAL`, `SERVER` and so on.
        status: `UNSET`, `OK` or `ERROR`.
        message: What is said of an error.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    kind: str
    status: str
    message: str

    @property
    def own(self) -> tuple[str, str]:
        """How others link to it."""
        return self.trace_id, self.span_id


@dataclass(frozen=True)
class Point:
    """The newest value of a metric under some attributes.

    Attributes:
        value: Of a histogram, how many were recorded.
        exemplars: Traces that values of a histogram belong to, in hex; all that came so far.
    """

    value: float
    exemplars: tuple[str, ...] = ()


class Collector:
    """Keeps what comes.

    Args:
        answers: False: it takes every call and never answers.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.endpoint = ""
        self._news = threading.Condition()
        self._spans: list[Span] = []
        self._points: dict[tuple[str, frozenset[tuple[str, Any]]], Point] = {}
        self._calls = 0
        self._answering = threading.Event()
        if answers:
            self._answering.set()

    @property
    def spans(self) -> list[Span]:
        """Every span so far."""
        with self._news:
            return list(self._spans)

    @property
    def calls(self) -> int:
        """Requests that have come, answered or not."""
        return self._calls

    def named(self, name: str) -> list[Span]:
        """The spans of a name so far."""
        return [span for span in self.spans if span.name == name]

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], Point]:
        """The newest values of a metric, by attributes."""
        with self._news:
            return {of: point for (metric, of), point in self._points.items() if metric == name}

    def metric_names(self) -> set[str]:
        """Every metric that has come."""
        with self._news:
            return {name for name, _ in self._points}

    def wait_for(self, met: Callable[[], bool]) -> None:
        """Returns when something is so, or fails after a while; blocks its thread."""
        with self._news:
            assert self._news.wait_for(met, PATIENCE_SECONDS), sorted(
                {span.name for span in self._spans}
            )

    def wait_for_spans(self, name: str, count: int = 1) -> list[Span]:
        """Waits for so many spans of a name."""
        self.wait_for(lambda: len(self.named(name)) >= count)
        return self.named(name)

    def answer(self) -> None:
        """Answers from now on."""
        self._answering.set()

    def take_spans(
        self, request: trace_service_pb2.ExportTraceServiceRequest, _context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """`TraceService.Export`."""
        with self._news:
            self._calls += 1
            self._news.notify_all()
        self._answering.wait()
        with self._news:
            self._spans += _spans(request)
            self._news.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def take_metrics(
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, _context: Any
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        """`MetricsService.Export`."""
        with self._news:
            self._calls += 1
            self._news.notify_all()
        self._answering.wait()
        with self._news:
            for key, point in _points(request).items():
                before = self._points.get(key, Point(0))
                self._points[key] = Point(point.value, before.exemplars + point.exemplars)
            self._news.notify_all()
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def collecting(*, answers: bool = True) -> Iterator[Collector]:
    """A collector that listens while the block runs, on a free port."""
    collector = Collector(answers=answers)
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, [_traces(collector), _metrics(collector)])
        collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield collector
        finally:
            stopped = server.stop(0)
            collector.answer()
            stopped.wait()


def _traces(collector: Collector) -> grpc.GenericRpcHandler:
    answer = trace_service_pb2.ExportTraceServiceResponse.SerializeToString
    export = grpc.unary_unary_rpc_method_handler(
        collector.take_spans, trace_service_pb2.ExportTraceServiceRequest.FromString, answer
    )
    name = trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"].full_name
    return grpc.method_handlers_generic_handler(name, {"Export": export})


def _metrics(collector: Collector) -> grpc.GenericRpcHandler:
    answer = metrics_service_pb2.ExportMetricsServiceResponse.SerializeToString
    export = grpc.unary_unary_rpc_method_handler(
        collector.take_metrics, metrics_service_pb2.ExportMetricsServiceRequest.FromString, answer
    )
    name = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"].full_name
    return grpc.method_handlers_generic_handler(name, {"Export": export})


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    return getattr(value, kind)


def _spans(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            yield from map(partial(_span, resource), scope.spans)


def _span(resource: Mapping[str, Any], span: SpanMessage) -> Span:
    return Span(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _values(span.attributes),
        resource,
        SpanMessage.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        type(span.status).StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        span.status.message,
    )


def _points(
    request: metrics_service_pb2.ExportMetricsServiceRequest,
) -> dict[tuple[str, frozenset[tuple[str, Any]]], Point]:
    points = {}
    for group in request.resource_metrics:
        for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
            kind = metric.WhichOneof("data")
            for point in getattr(metric, kind).data_points if kind else ():
                of = frozenset(_values(point.attributes).items())
                if kind == "histogram":
                    traces = tuple(one.trace_id.hex() for one in point.exemplars)
                    points[metric.name, of] = Point(point.count, traces)
                else:
                    value = getattr(point, point.WhichOneof("value"))
                    points[metric.name, of] = Point(value)
    return points
